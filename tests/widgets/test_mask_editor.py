"""The mask editor: what it loads, what applying makes of the session, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue
from typing import Any, cast

import numpy as np
import pytest
from sega_widgets.guard import Guard
from sega_widgets.mask_editor import MaskEditor

from sega_session import EditSession, Render
from sega_session.errors import UnknownConceptError

from .fakes import Model, new_session

LEFT = (0.0, 0.0, 0.5, 1.0)
"""The left half of the image, as a box."""

PATIENCE = 60.0
"""Seconds to wait for an answer from another thread."""


class Notes:
    """Messages that are kept as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def clear(self) -> None:
        self.texts.clear()

    def error(self, error: BaseException) -> None:
        self.texts.append(str(error))


class Editor:
    """A mask editor, and what it told the parts around it."""

    def __init__(
        self, session: EditSession, render: Callable[[], Render | None] = lambda: None
    ) -> None:
        self.session = session
        self.notes = Notes()
        self.calls: list[object] = []
        self.answers: Queue[tuple[dict[str, Any], list[bytes]]] = Queue()
        self.widget = MaskEditor(
            session,
            Guard(cast(Any, self.notes)),
            self.calls.append,
            lambda: self.calls.append("closed"),
            render=render,
            colour=lambda name: f"the colour of {name}",
        )
        self.widget.send = lambda content, buffers=(): self.answers.put((content, buffers))

    @property
    def mask(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The mask that the page shows when it has just opened."""
        region = self.widget.region
        return np.frombuffer(region["mask"], np.uint8).reshape(region["height"], region["width"])

    def receive(self, kind: str, *buffers: bytes, **values: object) -> None:
        """Deliver a message as a page sends it."""
        data = {"method": "custom", "content": {"kind": kind, **values}}
        views = [memoryview(one) for one in buffers]
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": views})

    def apply(self, values: np.ndarray[Any, Any]) -> None:
        height, width = values.shape
        self.receive("apply", values.astype(np.uint8).tobytes(), width=width, height=height)


def painted(session: EditSession) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return something that was painted: grey at the left, white at the right, black between."""
    values = np.zeros(session.size, np.uint8)
    values[:, 0], values[:, -3:] = 100, 255
    return values


@pytest.fixture
def editor(session: EditSession) -> Editor:
    session.add("hat", warmup=1)
    return Editor(session)


def test_it_is_closed_until_it_is_opened(editor: Editor) -> None:
    assert editor.widget.region == {}
    editor.widget.show(b"png")
    assert editor.widget.picture == b""
    editor.widget.edit("hat")
    assert editor.widget.picture == b"png"
    editor.widget.show(b"another")
    assert editor.widget.picture == b"another"
    editor.receive("cancel")
    assert (editor.widget.region, editor.widget.picture) == ({}, b"")
    assert editor.calls == ["closed"]
    with pytest.raises(UnknownConceptError):
        editor.widget.edit("cap")


def test_it_opens_with_nothing_painted_or_with_the_mask(editor: Editor) -> None:
    session = editor.session
    editor.widget.edit("hat")
    region = editor.widget.region
    assert not editor.mask.any()
    assert (region["name"], region["colour"]) == ("hat", "the colour of hat")
    assert (region["masked"], region["images"], region["cell"]) == (False, 1, 2)
    session.update("hat", mask=LEFT)
    editor.widget.edit("hat")
    half = session.size[1] // 2
    assert editor.widget.region["masked"]
    assert (editor.mask[:, :half] == 255).all()
    assert not editor.mask[:, half:].any()


def test_applying_is_one_edit_and_closes(editor: Editor) -> None:
    session, values = editor.session, painted(editor.session)
    editor.widget.edit("hat")
    entries = len(session.history)
    editor.apply(values)
    assert len(session.history) == entries + 1
    assert editor.calls == [False, "closed"]
    assert editor.widget.region == {}
    mask = session["hat"].mask
    assert mask is not None
    assert mask.share == pytest.approx(values.mean() / 255, abs=1e-4)
    # What is opened again is what was painted, to the last bit.
    editor.widget.edit("hat")
    assert np.array_equal(editor.mask, values)
    editor.apply(values)
    assert len(session.history) == entries + 1
    assert editor.calls == [False, "closed", "closed"]
    session.undo()
    assert session["hat"].mask is None


def test_a_second_click_changes_nothing(editor: Editor) -> None:
    editor.widget.edit("hat")
    editor.apply(painted(editor.session))
    entries = len(editor.session.history)
    editor.apply(255 - painted(editor.session))
    editor.receive("remove")
    assert len(editor.session.history) == entries


def test_what_is_painted_is_what_is_protected(editor: Editor) -> None:
    session, values = editor.session, painted(editor.session)
    editor.widget.edit(None)
    assert not editor.mask.any()
    editor.apply(values)
    expected = new_session(Model())
    # The session's region is what may change.
    expected.protect(255 - values)
    assert session.state.region == expected.state.region
    editor.widget.edit(None)
    assert np.array_equal(editor.mask, values)
    editor.receive("remove")
    assert session.state.region is None
    assert session["hat"].mask is None
    assert editor.calls == [False, "closed"] * 2


def test_a_mask_is_removed(editor: Editor) -> None:
    editor.session.update("hat", mask=LEFT)
    editor.widget.edit("hat")
    editor.receive("remove")
    assert editor.session["hat"].mask is None
    assert editor.calls == [False, "closed"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("hat", 0, "Nothing is painted"), (None, 0, "Nothing is"), (None, 255, "Leave a part unpa")],
)
def test_masks_without_effect_are_refused(
    editor: Editor, name: str | None, value: int, words: str
) -> None:
    entries = len(editor.session.history)
    editor.widget.edit(name)
    editor.apply(np.full(editor.session.size, value))
    [text] = editor.notes.texts
    assert words in text
    assert len(editor.session.history) == entries
    assert editor.calls == []
    assert editor.widget.region


def test_a_mask_of_another_size_is_refused(editor: Editor) -> None:
    height, width = editor.session.size
    editor.widget.edit("hat")
    for shape in ((height, width + 2), (height * 2, width // 2)):
        editor.apply(np.full(shape, 255))
        assert "size of the painted mask" in editor.notes.texts[0]
    editor.receive("apply", b"\xff", width=width, height=height)
    assert "size of the painted mask" in editor.notes.texts[0]
    assert editor.session["hat"].mask is None


def test_a_concept_that_was_removed_meanwhile_gets_no_mask(editor: Editor) -> None:
    editor.widget.edit("hat")
    editor.session.remove("hat")
    editor.apply(painted(editor.session))
    assert editor.notes.texts == [
        "“hat” is no longer a concept of this image. Undo brings it back; what you painted stays "
        "here until you cancel."
    ]
    editor.session.undo()
    editor.apply(painted(editor.session))
    assert editor.session["hat"].mask is not None


def test_masks_of_several_images_are_joined() -> None:
    session = new_session(Model(), seed=[1, 2])
    height, width = session.size
    masks = np.zeros((2, height, width), np.uint8)
    masks[0, 0], masks[1, :, 0] = 200, 100
    session.add("hat", warmup=1, mask=masks)
    editor = Editor(session)
    editor.widget.edit("hat")
    assert editor.widget.region["images"] == 2
    assert np.array_equal(editor.mask, masks.max(axis=0))
    session.protect(masks)
    editor.widget.edit(None)
    assert np.array_equal(editor.mask, 255 - masks.min(axis=0))


# From the heat map.


def test_the_region_of_the_heat_map_comes_at_the_size_of_the_image() -> None:
    session = new_session(Model(), seed=[1, 2])
    session.add("hat", warmup=1)
    render = session.render()
    editor = Editor(session, lambda: render)
    editor.widget.edit("hat")
    editor.receive("heat")
    content, [values] = editor.answers.get(timeout=PATIENCE)
    assert content == {"kind": "heat", "name": "hat"}
    found = np.frombuffer(values, np.uint8).reshape(session.size)
    heat = session.heat_mask(render, "hat").any(axis=0)
    assert 0 < heat.mean() < 1
    cell = editor.widget.region["cell"]
    rough = found.reshape(heat.shape[0], cell, heat.shape[1], cell).mean(axis=(1, 3)) / 255
    assert np.array_equal(rough > 0.5, heat)


def test_without_an_exact_render_the_reason_is_said() -> None:
    session = new_session(Model())
    before = session.render()
    session.add("hat", warmup=1)
    shown: list[Render | None] = [None, before, session.render("preview")]
    while shown:
        editor = Editor(session, shown.pop)
        editor.widget.edit("hat")
        editor.receive("heat")
        content, buffers = editor.answers.get(timeout=PATIENCE)
        assert content["problem"] == "Where “hat” acts is known once its exact image is rendered."
        assert not buffers


def test_what_is_no_longer_recorded_is_said() -> None:
    session = new_session(Model(), cache_bytes=0)
    session.add("hat", warmup=1)
    render = session.render()
    editor = Editor(session, lambda: render)
    editor.widget.edit("hat")
    editor.receive("heat")
    content, buffers = editor.answers.get(timeout=PATIENCE)
    assert content["problem"].startswith("Where “hat” acts is no longer recorded.")
    assert not buffers


def test_the_protected_region_has_no_heat_map(editor: Editor) -> None:
    editor.widget.edit(None)
    editor.receive("heat")
    assert editor.answers.empty()
