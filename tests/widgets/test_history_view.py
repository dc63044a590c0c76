"""The history as a tree: steps, branches, pins, and thumbnails that are sent once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sega_widgets import HistoryView
from sega_widgets.guard import Guard
from sega_widgets.history_view import Thumbnail
from sega_widgets.messages import Messages

from sega_session import EditSession, EditState

from .fakes import send


class Sent:
    """What a view sends to its pages."""

    def __init__(self, view: HistoryView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.updates: list[dict[str, Any]] = []
        self.thumbnails: list[tuple[list[int], list[bool], list[bytes]]] = []
        monkeypatch.setattr(view, "_send", self._note)

    def _note(self, message: dict[str, Any], buffers: Any = None) -> None:
        if message["method"] == "update":
            self.updates.append(message["state"])
        else:
            content = message["content"]
            self.thumbnails.append((content["states"], content["exact"], list(buffers)))


class Panel:
    """A view, and what it calls."""

    def __init__(self, session: EditSession) -> None:
        self.session = session
        self.changes: list[bool] = []
        self.pins: list[tuple[int | None, str]] = []
        self.guard = Guard(Messages())
        self.view = HistoryView(
            session,
            self.changes.append,
            self.guard,
            pin=lambda number, title: self.pins.append((number, title)),
        )

    def press(self, kind: str, **values: object) -> None:
        send(self.view, {"kind": kind, **values})

    def add(self, *names: str) -> None:
        for name in names:
            self.session.add(name, warmup=1)
        self.view.refresh()

    @property
    def errors(self) -> list[str]:
        return [one["detail"] for one in self.guard.messages.toasts]


@pytest.fixture
def shown(session: EditSession) -> Panel:
    return Panel(session)


def test_the_traits_are_the_history(shown: Panel) -> None:
    view = shown.view
    assert (view.entries, view.newest) == ([], {"parent": None, "label": "unedited", "state": 0})
    shown.add("glasses", "hat")
    shown.session.undo()
    shown.session.branch("main")
    view.refresh()
    assert view.entries == [
        {"parent": None, "label": "unedited", "state": 0},
        {"parent": 0, "label": "glasses added", "state": 1},
    ]
    assert view.newest == {"parent": 1, "label": "hat added", "state": 2}
    assert (view.current, view.redo_target) == (1, 2)
    assert view.branches == {"main": 1}


def test_undo_and_redo_do_nothing_at_the_ends(shown: Panel) -> None:
    shown.add("glasses")
    shown.press("undo")
    assert shown.view.current == 0
    shown.press("undo")
    shown.view.undo()
    shown.press("redo")
    assert shown.view.current == 1
    shown.press("redo")
    shown.view.redo()
    assert shown.changes == [False, False]
    assert shown.errors == []
    shown.view.undo()
    assert shown.view.current == 0


def test_an_entry_is_gone_to_and_its_branch_is_followed(shown: Panel) -> None:
    shown.add("glasses", "beard")
    shown.press("go", entry=1)
    assert (shown.session.history.current, shown.view.current) == (1, 1)
    shown.press("name", entry=1, name="cheerful")
    assert shown.view.branches == {"cheerful": 1}
    shown.press("go", entry=0)
    assert shown.session.history.branch is None
    shown.press("go", entry=1)
    assert shown.session.history.branch == "cheerful"
    shown.press("go", entry=7)
    assert shown.errors[0].startswith("the history has no entry 7")


@pytest.mark.parametrize("on_branch", [True, False])
def test_another_entry_is_named_from_where_one_is(shown: Panel, on_branch: bool) -> None:
    shown.add("glasses", "beard")
    if on_branch:
        shown.session.branch("main")
    before = shown.session.history
    shown.press("name", entry=1, name="earlier")
    after = shown.session.history
    assert after.branches["earlier"] == 1
    assert (after.current, after.branch) == (2, before.branch)
    shown.press("name", entry=0, name="earlier")
    after = shown.session.history
    assert (after.current, after.branch) == (2, before.branch)
    assert "a name that no other branch has" in shown.errors[0]
    assert shown.view.branches == after.branches


def test_a_branch_is_renamed(shown: Panel) -> None:
    shown.session.branch("main")
    shown.press("rename", old="main", new="first")
    assert shown.view.branches == {"first": 0}
    assert shown.session.history.branch == "first"
    shown.press("rename", old="main", new="second")
    assert "no branch 'main'" in shown.errors[0]


def test_an_entry_is_pinned(shown: Panel) -> None:
    shown.add("glasses")
    shown.press("pin", entry=1)
    assert shown.view.pinned == 1
    shown.press("pin", entry=0)
    shown.press("pin", entry=None)
    assert shown.view.pinned is None
    assert shown.pins == [(1, "glasses added"), (0, "unedited"), (None, "")]
    assert shown.changes == []


def test_without_a_place_to_compare_nothing_can_be_pinned(session: EditSession) -> None:
    view = HistoryView(session, lambda moving: None)
    assert not view.can_pin
    send(view, {"kind": "pin", "entry": 0})
    assert view.pinned is None


def test_a_drag_back_to_its_start_removes_its_entry_and_its_pin(shown: Panel) -> None:
    shown.add("glasses")
    for scale in (6, 5):
        with shown.session.gesture("drag"):
            shown.session.reweight("glasses", scale=scale)
        shown.view.refresh()
        if scale == 6:
            assert shown.view.newest["label"] == "glasses: scale 5 -> 6"
            shown.view.set_thumbnail(shown.session.state, b"of six", exact=True)
            shown.press("pin", entry=2)
    assert shown.view.newest["label"] == "glasses added"
    assert shown.pins == [(2, "glasses: scale 5 → 6"), (None, "")]
    assert shown.view.thumbnails == {}


def test_states_that_are_equal_share_a_thumbnail(shown: Panel) -> None:
    shown.add("glasses")
    shown.session.invert("glasses")
    shown.session.invert("glasses")
    shown.view.refresh()
    states = [one["state"] for one in [*shown.view.entries, shown.view.newest]]
    assert states == [0, 1, 2, 1]
    history = shown.session.history
    assert shown.view.states_without_thumbnail() == [history[one].state for one in range(3)]
    # A drag leaves a state that another entry has.
    with shown.session.gesture("drag"):
        shown.session.invert("glasses")
    shown.view.refresh()
    assert shown.view.newest["state"] == 2
    shown.view.set_thumbnail(history[2].state, b"inverted", exact=True)
    with shown.session.gesture("drag"):
        shown.session.reweight("glasses", scale=7)
    shown.view.refresh()
    assert shown.view.newest["state"] == 3
    assert shown.view.thumbnails == {history[2].state: Thumbnail(b"inverted", exact=True)}


def test_exact_thumbnails_are_never_replaced_by_approximate_ones(
    shown: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent(shown.view, monkeypatch)
    view, unedited = shown.view, shown.session.state
    view.set_thumbnail(unedited, b"rough", exact=False)
    view.set_thumbnail(unedited, b"exact", exact=True)
    view.set_thumbnail(unedited, b"exact", exact=True)
    view.set_thumbnail(unedited, b"rough", exact=False)
    view.set_thumbnail(EditState(momentum_scale=0.7), b"of no entry", exact=True)
    assert {one.png for one in view.thumbnails.values()} == {b"exact"}
    assert sent.thumbnails == [([0], [False], [b"rough"]), ([0], [True], [b"exact"])]


def test_a_new_page_gets_all_thumbnails(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.add("glasses")
    for entry, png in zip(shown.session.history, (b"zero", b"one"), strict=True):
        shown.view.set_thumbnail(entry.state, png, exact=True)
    shown.guard.messages.note("saved")
    shown.guard.messages.error(RuntimeError("stays"))
    sent = Sent(shown.view, monkeypatch)
    shown.press("thumbnails")
    assert sent.thumbnails == [([0, 1], [True, True], [b"zero", b"one"])]
    assert len(shown.guard.messages.toasts) == 2


@pytest.mark.parametrize("length", [60, 500])
def test_a_drag_sends_the_newest_entry_alone(
    shown: Panel, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    shown.add("glasses")
    for scale in range(length - 2):
        shown.session.reweight("glasses", scale=6 + scale % 7 + scale / 1000)
    shown.view.refresh()
    sent = Sent(shown.view, monkeypatch)
    for value in (1.5, 2.0, 2.5):
        with shown.session.gesture("drag"):
            shown.session.reweight("glasses", scale=value)
        shown.view.refresh()
    first, *others = sent.updates
    assert len(first["entries"]) == len(shown.session.history) - 1
    assert [one.keys() for one in others] == [{"newest"}] * 2
    assert all(len(json.dumps(one)) < 150 for one in others)
