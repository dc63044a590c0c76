"""The explorer: tiles of other seeds and prompts, and of two concepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from sega_widgets.explorer import Explorer
from sega_widgets.guard import Guard
from sega_widgets.worker import RenderWorker

from sega_session import EditSession, SegaSessionError

from .fakes import Model, Notes
from .test_scene_bar import LIMIT


class Shown:
    """An explorer, and what it asked its panel for."""

    def __init__(self, session: EditSession) -> None:
        self.session = session
        self.notes = Notes()
        self.begun: list[EditSession] = []
        self.closed = 0
        self.changed: list[bool] = []
        self.renders = 0
        self.rerender: Callable[[], object] = lambda: None
        self.sent: list[tuple[str, str]] = []
        self.explorer = Explorer(
            session,
            Guard(cast(Any, self.notes)),
            self.begun.append,
            self._close,
            changed=self.changed.append,
            rerender=self._rerender,
        )
        self.explorer.send = lambda content, *_: self.sent.append(
            (content["kind"], content.get("key", ""))
        )

    def _close(self) -> None:
        self.closed += 1

    def _rerender(self) -> None:
        self.renders += 1
        self.rerender()

    def do(self, kind: str, **values: Any) -> None:
        """Deliver a message as a page sends it."""
        message = {"method": "custom", "content": {"kind": kind, **values}}
        self.explorer.comm.handle_msg({"content": {"data": message}, "buffers": []})

    def render(self, count: int | None = None) -> None:
        """Render tiles, and show them, as the render thread does."""
        for number, show in enumerate(self.explorer.render_missing(lambda *_: None), 1):
            show()
            if number == count:
                return

    @property
    def captions(self) -> list[str]:
        return [tile["caption"] for tile in self.explorer.tiles]

    @property
    def qualities(self) -> list[str]:
        return [tile["quality"] for tile in self.explorer.tiles]

    def key(self, place: int) -> str:
        found: str = self.explorer.tiles[place]["key"]
        return found

    def session_of(self, place: int) -> EditSession:
        found = self.explorer.cells[place].session
        assert found is not None
        return found


@pytest.fixture
def shown(session: EditSession) -> Shown:
    session.add("hat", scale=6)
    session.add("beard", scale=4)
    session.render()
    return Shown(session)


def test_nothing_is_rendered_until_it_is_open(shown: Shown, model: Model) -> None:
    shown.explorer.refresh()
    assert list(shown.explorer.render_missing(lambda *_: None)) == []
    assert (shown.explorer.tiles, shown.renders) == ([], 0)


def test_nine_new_seeds_have_the_present_edits(shown: Shown) -> None:
    shown.explorer.explore()
    assert (len({*shown.captions}), shown.renders) == (9, 1)
    assert all(tile["waiting"] for tile in shown.explorer.tiles)
    shown.render(2)
    assert [tile["waiting"] for tile in shown.explorer.tiles] == [False] * 2 + [True] * 7
    shown.render()
    assert shown.qualities == ["exact"] * 9
    assert shown.sent == [("image", shown.key(place)) for place in range(9)]
    other = shown.session_of(3)
    assert f"Seed {other.seeds[0]}" == shown.captions[3]
    assert (other.state, other.prompt) == (shown.session.state, "a cat")
    assert other.plan() == 0
    shown.explorer.explore()
    assert shown.renders == 1


def test_what_was_cut_off_goes_on_where_it_was(shown: Shown, model: Model) -> None:
    shown.explorer.explore()
    calls = 0

    def stop(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(iter(shown.explorer.render_missing(stop)))
    other = shown.session_of(0)
    shown.render()
    assert shown.session_of(0) is other
    assert shown.qualities == ["exact"] * 9


def test_more_are_others(shown: Shown) -> None:
    shown.explorer.explore()
    shown.render()
    before, kept = shown.captions, shown.session_of(0)
    assert kept.plan() == 0
    shown.do("more")
    assert not {*before} & {*shown.captions}
    # The session of a tile that is gone holds no recorded tensors.
    assert kept.plan() > 0
    assert shown.renders == 2


def test_a_tile_is_kept(shown: Shown) -> None:
    shown.explorer.explore()
    shown.render(2)
    first, second = shown.session_of(0), shown.session_of(1)
    shown.do("keep", key=shown.key(5))  # It has no image yet.
    assert not shown.begun
    shown.do("keep", key=shown.key(1))
    assert shown.begun == [second]
    assert (second.plan(), first.plan() > 0) == (0, True)
    assert (shown.explorer.is_open, shown.explorer.tiles, shown.closed) == (False, [], 1)


def test_edits_made_meanwhile_are_shown(shown: Shown) -> None:
    shown.explorer.explore()
    shown.render(3)
    shown.session.reweight("hat", scale=2)
    shown.explorer.refresh()
    # The images of the edits before stay until the others are rendered.
    assert all(tile["waiting"] for tile in shown.explorer.tiles)
    assert len([one for one in shown.explorer.cells if one.image is not None]) == 3
    shown.do("keep", key=shown.key(0))
    assert not shown.begun
    shown.render()
    assert shown.qualities == ["exact"] * 9
    assert all(shown.session_of(place).state == shown.session.state for place in range(9))


def test_prompts_are_lines(shown: Shown) -> None:
    shown.explorer.explore()
    shown.do("choose", what="prompts")
    assert shown.captions == ["a cat"]
    shown.do("show_prompts", text="a dog\n\n  a fox \n")
    assert shown.captions == ["a dog", "a fox"]
    shown.render()
    assert [shown.session_of(place).prompt for place in range(2)] == ["a dog", "a fox"]
    assert shown.session_of(1).state == shown.session.state
    shown.do("show_prompts", text="\n".join("abcdefghij"))
    assert shown.notes.text == "There are 10 prompts, and up to 9 are shown at once."
    assert shown.captions == ["a dog", "a fox"]
    shown.do("show_prompts", text=" ")
    assert shown.captions == []


def test_two_concepts_are_a_grid_of_scales(shown: Shown) -> None:
    shown.explorer.explore()
    shown.do("choose", what="concepts")
    assert shown.explorer.axes == {
        "known": ["hat", "beard"],
        "names": ["hat", "beard"],
        "scales": [["-8", "-4", "0", "4", "8"]] * 2,
    }
    assert (shown.captions[0], shown.captions[-1]) == ("hat -8, beard 8", "hat 8, beard -8")
    shown.render(25)
    assert all(not tile["waiting"] for tile in shown.explorer.tiles)
    assert {*shown.qualities} <= {"exact", "close", "rough"}
    assert shown.qualities.count("exact") < 25
    shown.render()
    assert shown.qualities == ["exact"] * 25
    assert len(shown.session.history) == 3


def test_the_nearest_strengths_come_first(shown: Shown) -> None:
    shown.explorer.explore()
    shown.do("choose", what="concepts")
    shown.render(1)
    [first] = [one for one in shown.explorer.tiles if not one["waiting"]]
    assert first["caption"] in ("hat 4, beard 4", "hat 8, beard 4")


def test_a_click_sets_both_strengths_at_once(shown: Shown) -> None:
    shown.explorer.explore()
    shown.do("choose", what="concepts")
    shown.render()
    place = shown.captions.index("hat -4, beard 0")
    sent = len(shown.sent)
    shown.do("apply", key=shown.key(place))
    hat, beard = shown.session.concepts
    assert (hat.scale, hat.inverted, beard.scale, beard.inverted) == (4, True, 0, False)
    assert shown.session.history.entry.label == "hat -4, beard 0"
    assert len(shown.session.history) == 4
    assert (shown.changed, shown.notes.text) == ([False], "")
    assert [tile["chosen"] for tile in shown.explorer.tiles].index(True) == place
    # Its images stay, since each is of the same state as before.
    assert shown.qualities == ["exact"] * 25
    assert len(shown.sent) == sent


def test_other_concepts_can_be_chosen(shown: Shown) -> None:
    shown.session.add("scarf", scale=20)
    shown.explorer.explore()
    shown.do("choose", what="concepts")
    shown.do("show_concepts", across="scarf", up="hat")
    assert shown.explorer.axes["names"] == ["scarf", "hat"]
    assert shown.explorer.axes["scales"][0] == ["-20", "-10", "0", "10", "20"]
    shown.session.remove("scarf")
    shown.explorer.refresh()
    assert shown.explorer.axes["names"] == ["hat", "beard"]
    shown.session.remove("hat")
    shown.explorer.refresh()
    assert (shown.explorer.axes["scales"], shown.explorer.tiles) == ([], [])


def test_a_tile_says_why_it_cannot_be_rendered(shown: Shown) -> None:
    shown.explorer.explore()
    shown.do("show_prompts", text="a dog\na fox")
    model: Any = shown.session.pipeline
    encode = model.on_encode

    def refuse(prompt: str) -> None:
        if prompt == "a dog":
            raise SegaSessionError("no dogs")

    model.on_encode = refuse
    shown.render()
    assert [tile["problem"] for tile in shown.explorer.tiles] == ["no dogs", ""]
    # It is not tried again until something has changed.
    assert list(shown.explorer.render_missing(lambda *_: None)) == []
    model.on_encode = encode
    shown.session.reweight("hat", scale=1)
    shown.explorer.refresh()
    shown.render()
    assert shown.qualities == ["exact", "exact"]


def test_a_page_that_opens_later_gets_all_images(shown: Shown) -> None:
    shown.explorer.explore()
    shown.render(4)
    shown.sent.clear()
    shown.do("ready")
    assert shown.sent == [("image", shown.key(place)) for place in range(4)]
    shown.do("enlarge", key=shown.key(0))
    assert shown.sent[-1] == ("large", shown.key(0))


def test_it_is_rendered_on_the_render_thread(shown: Shown) -> None:
    explorer = shown.explorer
    failures: list[Exception] = []
    with RenderWorker(
        shown.session,
        show=lambda _: None,
        progress=lambda _: None,
        fail=failures.append,
        more=explorer.render_missing,
    ) as worker:
        shown.rerender = worker.post
        explorer.explore()
        for _ in range(3):
            shown.do("more")
        shown.do("choose", what="concepts")
        shown.do("choose", what="seeds")
        assert worker.wait(LIMIT)
        assert shown.qualities == ["exact"] * 9
        shown.do("keep", key=shown.key(8))
    assert failures == []
    assert shown.begun[0].plan() == 0


def test_leaving_closes_the_sessions(shown: Shown) -> None:
    shown.explorer.explore()
    shown.render()
    other = shown.session_of(0)
    shown.do("leave")
    assert (shown.closed, shown.explorer.is_open, shown.explorer.tiles) == (1, False, [])
    assert other.plan() > 0
    shown.explorer.explore()
    assert len(shown.explorer.tiles) == 9
