"""The strip of one concept at several scales."""

from __future__ import annotations

from typing import Any

import pytest
from sega_widgets.strip import COUNT, StripView

from sega_session import EditSession, EditState, Render
from sega_session.errors import NotFiniteError

from .fakes import send

SCALES = [-9, -6, -3, 0, 3, 6, 9]


class Strip:
    """A strip that is rendered when a test says so.

    Attributes:
        changes: the arguments of the calls after an edit.
        rerenders: how often the strip asked to be rendered.
        rendered: the mode and the scale of each render.
    """

    def __init__(self, session: EditSession) -> None:
        self.session = session
        self.changes: list[bool] = []
        self.rerenders = 0
        self.rendered: list[tuple[str, float]] = []
        self.view = StripView(session, self.changes.append, rerender=self.count)

    def count(self) -> None:
        self.rerenders += 1

    def try_render(self, mode: str, state: EditState) -> Render | None:
        concept = state.concept(self.view.concept)
        scale = -concept.scale if concept.inverted else concept.scale
        self.rendered.append((mode, scale))
        modes: Any = mode
        try:
            return self.session.render(modes, state=state)
        except NotFiniteError:
            return None

    def render(self, number: int = 10**6) -> None:
        """Render some of the missing images as the render thread does, or all."""
        for _, show in zip(range(number), self.view.render_missing(self.try_render), strict=False):
            show()

    def do(self, kind: str, **values: object) -> None:
        """Act as the page does."""
        send(self.view, {"kind": kind, **values})

    def column(self, name: str) -> list[Any]:
        return [one[name] for one in self.view.tiles]


@pytest.fixture
def strip(session: EditSession) -> Strip:
    session.add("glasses", warmup=1)
    session.render()
    return Strip(session)


def test_a_strip_is_empty_until_it_is_opened(session: EditSession) -> None:
    strip = Strip(session)
    strip.do("open", shown=True)
    strip.render()
    assert (strip.view.concepts, strip.view.tiles, strip.rendered) == ([], [], [])
    assert strip.rerenders == 0
    session.add("glasses", warmup=1)
    strip.view.refresh()
    assert strip.column("scale") == SCALES
    strip.do("open", shown=False)
    assert strip.view.tiles == []
    strip.render()
    assert strip.rendered == []


def test_previews_come_first_and_then_exact_images(strip: Strip) -> None:
    view = strip.view
    strip.do("open", shown=True)
    assert strip.rerenders == 1
    assert (view.progress, strip.column("quality")) == ("0 of 7", ["missing"] * COUNT)
    strip.render(3)
    # The images beside the present scale, 5, come first.
    assert strip.rendered == [("preview", 6), ("preview", 3), ("preview", 9)]
    assert view.progress == "3 of 7"
    assert [bool(png) for png in view.pngs] == [False] * 4 + [True] * 3
    strip.render(4)
    assert view.progress.endswith(" of 7 exact")
    assert "rough" in strip.column("quality")
    assert [mode for mode, _ in strip.rendered] == ["preview"] * 7
    previews = view.pngs
    strip.render()
    assert (view.progress, strip.column("quality")) == ("", ["exact"] * COUNT)
    assert len({*view.pngs}) == COUNT
    assert view.pngs != previews
    # All is known now.
    rendered = len(strip.rendered)
    strip.render()
    strip.do("open", shown=False)
    strip.do("open", shown=True)
    assert (len(strip.rendered), strip.rerenders) == (rendered, 1)


def test_a_click_sets_the_scale_in_one_entry(strip: Strip) -> None:
    session = strip.session
    strip.do("open", shown=True)
    strip.render()
    pngs, entries = strip.view.pngs, len(session.history)
    assert strip.column("current") == [False] * COUNT
    strip.do("scale", name="glasses", scale=-9)
    concept = session.concepts[0]
    assert (concept.scale, concept.inverted, strip.changes) == (9, True, [False])
    assert len(session.history) == entries + 1
    assert strip.column("current") == [True] + [False] * 6
    # The states are the same, so the images are.
    assert (strip.view.pngs, strip.view.progress) == (pngs, "")
    strip.do("scale", name="glasses", scale=-9)
    strip.do("scale", name="removed meanwhile", scale=3)
    assert len(session.history) == entries + 1


def test_images_of_an_earlier_state_are_marked(strip: Strip) -> None:
    strip.do("open", shown=True)
    strip.render()
    pngs = strip.view.pngs
    strip.session.update("glasses", threshold=0.5)
    strip.view.refresh()
    assert strip.column("quality") == ["earlier"] * COUNT
    assert (strip.view.pngs, strip.view.progress) == (pngs, "0 of 7")
    # After an undo they are right again.
    strip.session.undo()
    strip.view.refresh()
    assert strip.column("quality") == ["exact"] * COUNT
    # Those of another concept are not shown.
    strip.session.add("beard", warmup=1)
    strip.view.refresh()
    strip.do("concept", name="beard")
    assert strip.column("quality") == ["missing"] * COUNT
    assert strip.view.pngs == (b"",) * COUNT
    assert strip.view.concept == "beard"


def test_a_strip_reaches_as_far_as_the_concept(strip: Strip) -> None:
    strip.session.update("glasses", scale=15)
    strip.view.refresh()
    strip.do("open", shown=True)
    assert strip.column("scale") == [-15, -10, -5, 0, 5, 10, 15]
    assert strip.column("alt")[0] == "glasses at -15"


def test_images_that_fail_are_marked_and_left_out(
    strip: Strip, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = strip.session.render

    def some(_: object, mode: Any = "exact", *, state: EditState, **arguments: Any) -> Any:
        if state.concepts[0].scale == 9:
            raise NotFiniteError("overflow")
        return render(mode, state=state, **arguments)

    monkeypatch.setattr(EditSession, "render", some)
    strip.do("open", shown=True)
    strip.render()
    assert strip.column("quality") == ["failed", *["exact"] * 5, "failed"]
    assert strip.view.progress == ""
    rendered = len(strip.rendered)
    strip.render()
    assert len(strip.rendered) == rendered


def test_an_image_that_comes_after_an_edit_is_not_shown(strip: Strip) -> None:
    strip.do("open", shown=True)
    late = next(strip.view.render_missing(strip.try_render))
    strip.session.remove("glasses")
    strip.view.refresh()
    late()
    assert (strip.view.tiles, strip.view.pngs) == ([], (b"",) * COUNT)
