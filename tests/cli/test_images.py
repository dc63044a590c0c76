"""`sega-session edit` and `render` do what the same edits in Python do."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sega_session import EditSession
from sega_session.testing import FakeModel

from .conftest import Command

SMALL = ("--steps", "4", "--size", "32")


def pixels(image: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(image)


def test_an_edit_is_rendered_and_can_be_edited_again(command: Command, model: FakeModel) -> None:
    done = command(
        *("edit", "--prompt", "a cat", "--seed", "7", *SMALL, "--guidance-scale", "3"),
        *("--add", "glasses:4", "--add", "a red hat", "--out", "a.png"),
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == f"a.png: exact, {model.rows} evaluations\n"

    other = EditSession(
        FakeModel(), "a cat", seed=7, num_inference_steps=4, guidance_scale=3, height=32, width=32
    )
    other.add("glasses", scale=4, threshold=0.975, warmup=1)
    other.add("a red hat")
    read = EditSession.from_image("a.png", FakeModel())
    assert (read.scene, read.state) == (other.scene, other.state)
    assert (pixels(Image.open("a.png")) == pixels(other.render().image)).all()

    done = command(
        *("edit", "a.png", "--remove", "a red hat", "--add", "smile:-2", "--prompt", "a dog"),
        *("--set", "glasses.threshold=0.5", "--set", "momentum-scale=0", "--out", "b.png"),
    )
    assert (done.code, done.err) == (0, "")
    other = other.another(prompt="a dog")
    other.remove("a red hat")
    other.add("smile", scale=2, threshold=0.99, warmup=1, inverted=True)
    other.update("glasses", threshold=0.5)
    other.momentum(scale=0)
    read = EditSession.from_image("b.png", FakeModel())
    assert (read.scene, read.state) == (other.scene, other.state)
