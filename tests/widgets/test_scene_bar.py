"""The scene bar: sessions of other scenes, of photographs, and of our own PNG files."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from sega_widgets.guard import Guard
from sega_widgets.scene_bar import MAX_BYTES, SHORT_SEEDS, SceneBar, new_seeds

from sega_session import EditSession
from sega_session.testing import FakeModel

from .fakes import Notes

LIMIT = 30.0
"""Seconds to wait for a session that begins."""


class Bar:
    """A scene bar, and what it began."""

    def __init__(self, session: EditSession, **options: Any) -> None:
        self.notes = Notes()
        self.begun: list[EditSession] = []
        self.bar = SceneBar(session, Guard(cast(Any, self.notes)), self.begun.append, **options)

    def send(self, kind: str, buffers: tuple[bytes, ...] = (), **values: Any) -> None:
        """Deliver a message as a page sends it, and wait for what it begins."""
        message = {"method": "custom", "content": {"kind": kind, **values}}
        views = [memoryview(one) for one in buffers]
        self.bar.comm.handle_msg({"content": {"data": message}, "buffers": views})
        assert self.bar.wait(LIMIT)

    def submit(self, kind: str = "generate", *, keep: bool = True, **changed: str) -> None:
        """Press a button after changing some fields."""
        names = ("prompt", "negative", "seeds", "steps", "guidance", "width", "height")
        values = {name: self.bar.scene[name] for name in names} | changed
        self.send(kind, **values, keep=keep)

    def drop(self, name: str, content: bytes, part: int = 2**20) -> None:
        """Drop a file, which comes in parts."""
        self.send("photo", name=name, size=len(content))
        for begin in range(0, max(len(content), 1), part):
            self.send("part", (content[begin : begin + part],))

    @property
    def session(self) -> EditSession:
        [found] = self.begun
        return found


@pytest.fixture
def bar(session: EditSession) -> Bar:
    return Bar(session)


def png(size: tuple[int, int] = (16, 16)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_fields_show_the_scene(session: EditSession, bar: Bar) -> None:
    assert bar.bar.scene == {
        "prompt": "a cat",
        "negative": "",
        "seeds": "0",
        "steps": "6",
        "guidance": "7.5",
        "width": "16",
        "height": "16",
        "factor": 2,
        "photograph": False,
    }
    assert not bar.bar.edited
    session.add("hat")
    bar.bar.refresh()
    assert bar.bar.edited


def test_a_new_session_has_the_values_and_the_edits(session: EditSession, bar: Bar) -> None:
    session.add("hat", scale=6)
    session.add("beard")
    session.undo()
    bar.submit(
        prompt="a dog", negative="blurry", seeds="3, 4", steps="12", guidance="6", height="32"
    )
    scene = bar.session.scene
    assert (scene.prompt, scene.negative_prompt, scene.seeds) == ("a dog", "blurry", (3, 4))
    assert (scene.num_inference_steps, scene.guidance_scale) == (12, 6)
    assert bar.session.size == (32, 16)
    assert [concept.name for concept in bar.session] == ["hat"]
    assert len(bar.session.history) == 2
    assert bar.session.pipeline is session.pipeline
    assert (bar.notes.text, bar.bar.busy) == ("", "")


def test_edits_can_be_left_behind(session: EditSession, bar: Bar) -> None:
    session.add("hat")
    bar.submit(keep=False, seeds="5")
    assert bar.session.concepts == ()


def test_the_dice_draws_as_many_seeds_as_there_are(session: EditSession, bar: Bar) -> None:
    session.add("hat")
    bar.submit("draw", seeds="1, 2, 3", prompt="a dog")
    assert len({*bar.session.seeds}) == 3
    assert bar.session.seeds != (1, 2, 3)
    assert (bar.session.prompt, len(bar.session.concepts)) == ("a dog", 1)


def test_new_seeds_are_short_and_differ() -> None:
    assert len({*new_seeds(1000)}) == 1000
    assert max(new_seeds(100)) < SHORT_SEEDS


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("seeds", "eight", "The seed must be a whole number, or several with commas."),
        ("seeds", "", "The seed must be a whole number, or several with commas."),
        ("seeds", "-1", "The seed must be an integer, at least 0, less than 2**64."),
        ("steps", "", "The number of steps must be a whole number."),
        ("steps", "0", "The number of steps must be an integer, at least 1, at most 10000."),
        ("guidance", "much", "The guidance scale must be a number."),
        ("guidance", "-1", "The guidance scale must be a finite number, at least 0."),
        ("height", "17", "The height must be a multiple of 2 pixels."),
        ("width", "", "The width must be a whole number."),
    ],
)
def test_errors_call_the_fields_as_the_panel_does(
    bar: Bar, field: str, text: str, message: str
) -> None:
    changed: Any = {field: text}
    bar.submit(**changed)
    assert (bar.notes.text, bar.begun, bar.bar.busy) == (message, [], "")


def test_masks_do_not_fit_another_size(session: EditSession, bar: Bar) -> None:
    session.add("hat", mask=(0, 0, 0.5, 1))
    bar.submit(width="32")
    assert bar.notes.text.startswith("The edits have masks, which fit this size only.")
    assert not bar.begun
    bar.submit(width="32", keep=False)
    assert bar.session.size == (16, 32)


def test_warnings_are_shown_after_the_session_began(session: EditSession, bar: Bar) -> None:
    session.add("hat")
    with pytest.warns(match="scale is 0"):
        session.reweight("hat", scale=0)
    bar.submit(seeds="5")
    assert len(bar.begun) == 1
    assert "'hat' has no effect: scale is 0" in bar.notes.text


def test_the_pipeline_is_used_alone(session: EditSession) -> None:
    order: list[str] = []

    @contextmanager
    def alone() -> Iterator[None]:
        order.append("stop")
        yield
        order.append("go on")

    bar = Bar(session, alone=alone)
    bar.submit(seeds="5")
    assert order == ["stop", "go on"]
    bar.submit(steps="0")
    assert order == ["stop", "go on", "stop"]


def test_the_explorer_is_opened(session: EditSession) -> None:
    opened: list[bool] = []
    bar = Bar(session, explore=lambda: opened.append(True))
    assert bar.bar.explores
    bar.send("explore")
    assert opened == [True]
    none = Bar(session)
    none.send("explore")
    assert not none.bar.explores


def test_a_photograph_begins_a_session(session: EditSession, bar: Bar) -> None:
    session.add("hat")
    bar.drop("me.png", png((20, 30)), part=100)
    scene = bar.session.scene
    assert (len(bar.session.photographs), bar.session.size) == (1, (16, 16))
    assert (scene.prompt, scene.num_inference_steps, scene.skip) == ("", 6, 0.15)
    assert bar.session.concepts == ()
    assert bar.notes.text == ""


def test_another_session_of_a_photograph_inverts_it_again() -> None:
    session = EditSession.from_photo(
        np.zeros((16, 16, 3), np.uint8), FakeModel(), num_inference_steps=4
    )
    bar = Bar(session)
    assert bar.bar.scene["photograph"]
    bar.submit(seeds="5")
    assert bar.session.scene.photograph == session.scene.photograph
    assert bar.bar.progress == 1


def test_our_own_png_continues_its_session(tmp_path: Path, session: EditSession) -> None:
    made = session.another(prompt="a fox", seed=9)
    made.add("hat", scale=6)
    [path] = made.render().save(tmp_path / "fox.png")
    bar = Bar(session)
    bar.drop("fox.png", path.read_bytes())
    assert (bar.session.scene, bar.session.state) == (made.scene, made.state)
    assert bar.session.photographs == []


def test_our_own_png_with_a_mask_is_a_photograph(tmp_path: Path, session: EditSession) -> None:
    session.add("hat", mask=(0, 0, 0.5, 1))
    [path] = session.render().save(tmp_path / "hat.png")
    bar = Bar(session)
    bar.drop("hat.png", path.read_bytes())
    assert len(bar.session.photographs) == 1
    assert bar.notes.text.startswith("hat.png was made with a photograph, a mask or embeddings")


@pytest.mark.parametrize("content", [b"", b"no image", png()[:80]])
def test_what_is_no_image_is_refused(bar: Bar, content: bytes) -> None:
    bar.drop("notes.png", content)
    assert bar.notes.text.startswith("notes.png cannot be used as a photograph; allowed: ")
    assert bar.notes.text.endswith("Save it as PNG or JPEG, and try again.")
    assert (bar.begun, bar.bar.busy) == ([], "")


def test_too_large_a_file_is_refused(bar: Bar) -> None:
    bar.send("photo", name="me.tiff", size=MAX_BYTES + 2**20)
    assert bar.notes.text == (
        "me.tiff has 51 MB, and a photograph can have up to 50. Save it smaller, for example as "
        "JPEG."
    )


def blocked(session: EditSession) -> tuple[Bar, Event, Callable[[], None]]:
    """Return a bar whose inversion waits, an event set when it does, and what lets it go on."""
    model: Any = session.pipeline
    reached, go = Event(), Event()

    def wait(_: object) -> None:
        reached.set()
        assert go.wait(LIMIT)

    model.on_evaluate = wait
    return Bar(session), reached, go.set


def begin_photo(bar: Bar) -> None:
    """Deliver a photograph, and do not wait."""
    content = png()
    for kind, buffers, values in (
        ("photo", [], {"name": "me.png", "size": len(content)}),
        ("part", [memoryview(content)], {}),
    ):
        message = {"method": "custom", "content": {"kind": kind, **values}}
        bar.bar.comm.handle_msg({"content": {"data": message}, "buffers": buffers})


def test_an_inversion_can_be_cancelled() -> None:
    bar, reached, go_on = blocked(EditSession(FakeModel(), "a cat", num_inference_steps=4))
    begin_photo(bar)
    assert reached.wait(LIMIT)
    assert bar.bar.busy == "Reading the photograph"
    # A second one does not begin meanwhile.
    begin_photo(bar)
    assert [one.name for one in threading.enumerate()].count("sega-begin") == 1
    message = {"method": "custom", "content": {"kind": "cancel"}}
    bar.bar.comm.handle_msg({"content": {"data": message}, "buffers": []})
    go_on()
    assert bar.bar.wait(LIMIT)
    assert (bar.begun, bar.notes.text, bar.bar.busy) == ([], "", "")


def test_a_closed_bar_begins_nothing() -> None:
    bar, reached, go_on = blocked(EditSession(FakeModel(), "a cat", num_inference_steps=4))
    begin_photo(bar)
    assert reached.wait(LIMIT)
    bar.bar.close()
    go_on()
    assert bar.bar.wait(LIMIT)
    assert bar.begun == []
