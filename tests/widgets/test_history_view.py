"""The history as a tree: undo, redo, branches and thumbnails."""

from __future__ import annotations

from sega_widgets import EditPanel, HistoryView
from sega_widgets.history_view import iter_tree

from sega_session import EditSession, EditState

from .fakes import add, worker_of


def test_undo_and_redo_move_the_controls_and_edit_nothing(panel: EditPanel) -> None:
    history = panel.history
    assert (history.undo.disabled, history.redo.disabled) == (True, True)
    add(panel, "glasses")
    slider = panel.concepts.row("glasses").scale
    slider.value = -7.0
    assert len(panel.session.history) == 3
    history.undo.click()
    assert slider.value == 5
    history.undo.click()
    assert panel.concepts.rows == ()
    history.redo.click()
    history.redo.click()
    assert panel.concepts.row("glasses").scale.value == -7
    assert len(panel.session.history) == 3
    assert worker_of(panel).posts[-4:] == [False] * 4


def test_a_click_goes_to_an_entry(panel: EditPanel) -> None:
    add(panel, "glasses", "beard")
    panel.history.rows[1].button.click()
    assert panel.session.history.current == 1
    add(panel, "hat")
    assert [number for number, _ in iter_tree(panel.session.history)] == [0, 1, 2, 3]
    assert [depth for _, depth in iter_tree(panel.session.history)] == [0, 0, 1, 1]
    last = panel.history.rows[3]
    assert last.button.description == "● 3 hat added"
    assert last.layout.margin == "0 0 0 20px"


def test_a_branch_is_named_and_followed(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.history.name.value = "cheerful"
    assert panel.history.name.value == ""
    assert panel.history.rows[1].button.description == "● 1 glasses added (cheerful)"
    panel.history.rows[0].button.click()
    panel.history.rows[1].button.click()
    assert panel.session.history.branch == "cheerful"
    panel.history.name.value = "cheerful"
    assert "no other branch has" in panel.messages.value


def test_a_drag_back_to_its_start_removes_its_entry(panel: EditPanel) -> None:
    add(panel, "glasses")
    slider = panel.concepts.row("glasses").scale
    slider.value = 6.0
    assert len(panel.history.rows) == 3
    slider.value = 5.0
    assert len(panel.history.rows) == 2


def test_exact_thumbnails_are_never_replaced_by_approximate_ones(session: EditSession) -> None:
    history = HistoryView(session, lambda moving: None)
    unedited = session.state
    history.set_thumbnail(unedited, b"exact", exact=True)
    history.set_thumbnail(unedited, b"rough", exact=False)
    assert history.rows[0].thumbnail.value == b"exact"
    session.add("glasses", warmup=1)
    assert history.states_without_thumbnail() == [session.state]
    history.set_thumbnail(session.state, b"rough", exact=False)
    history.refresh()
    assert history.rows[1].thumbnail.value == b"rough"
    assert "approximate" in history.rows[1].button.tooltip
    history.set_thumbnail(EditState(momentum_scale=0.7), b"of no entry", exact=True)
    history.refresh()
    assert {one.png for one in history.thumbnails.values()} == {b"exact", b"rough"}
    assert history.thumbnails.keys() == {unedited, session.state}
