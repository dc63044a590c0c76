"""`sega-session grid` writes the sheet of the same grid in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sega_session import EditSession, grids
from sega_session.models import Request
from sega_session.testing import FakeModel

from .conftest import Command

SMALL = ("--steps", "4", "--size", "32", "--seed", "0", "--prompt", "a cat")
GRID = ("grid", *SMALL, "--add", "hat", "--out", "a.png", "--x")


def begin(steps: int = 4) -> EditSession:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=steps, height=32, width=32)
    session.add("hat")
    return session


def test_a_grid_is_one_sheet(command: Command, model: FakeModel) -> None:
    done = command(*GRID, "hat.scale=0,3,6", "--y", "seed=0..1")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"a.png: 3 x 2 images, exact, {model.rows} evaluations\n"
    found = grids.grid(
        begin(), x=grids.vary("hat.scale", [0, 3, 6]), y=grids.vary("seed", [0, 1]), progress=False
    )
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(found.sheet()))


def test_a_grid_of_a_file_leaves_it_as_it_was(command: Command, model: FakeModel) -> None:
    begin(steps=20).save("a.safetensors")
    before = Path("a.safetensors").read_bytes()
    grid = ("grid", "a.safetensors", "--add", "smile", "--x", "mode=preview,exact")
    done = command(*grid, "--out", "a.png")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("a.png: 2 x 1 images, approximate ones marked, ")
    assert Path("a.safetensors").read_bytes() == before


def test_what_a_grid_cannot_vary_is_said_before_it_begins(
    command: Command, model: FakeModel
) -> None:
    for axis, message in (
        (
            "hat.scale=1,-1",
            "scale is -1.0; allowed: a finite number, at least 0. To push the image "
            "away from a concept, set its field inverted to true.",
        ),
        ("hut.scale=1,2", "name is 'hut'; allowed: one of 'hat'. Did you mean 'hat'?"),
        ("steps=0,1", "steps is 0; allowed: an integer, at least 1, at most 10000."),
        ("skip=0.5", "skip is 0.5; allowed: 0 where the images are made from noise."),
    ):
        failed = command(*GRID, axis)
        assert (failed.code, failed.out, failed.err) == (1, "", f"error: {message}\n")
    for arguments, message in (
        (("seed=a",), "--x: seed is 'a'; allowed: an integer."),
        (("seed=1", "--y", "hat"), "--y: 'hat' is no setting; allowed: NAME.FIELD=VALUE, or"),
    ):
        failed = command(*GRID, *arguments)
        assert (failed.code, failed.out) == (2, "")
        assert message in failed.err
    assert model.rows == 0
    assert not Path("a.png").exists()


def test_what_is_done_is_kept_when_a_grid_is_interrupted(
    command: Command, model: FakeModel
) -> None:
    def interrupt(_: Sequence[Request]) -> None:
        if model.calls == 6:
            raise KeyboardInterrupt

    model.on_evaluate = interrupt
    ended = command(*GRID, "seed=0..3", "--quiet")
    assert (ended.code, ended.out) == (130, "")
    assert ended.err == ("warning: 1 of 4 cells were rendered; ^C ended the grid. Run it again.\n")
    before = Path("a.png").read_bytes()
    model.calls = 6
    ended = command(*GRID, "seed=0..3", "--force")
    assert (ended.code, ended.out) == (130, "")
    assert Path("a.png").read_bytes() == before
