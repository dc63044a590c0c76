"""The panel as a whole: its sessions, keys, tooltips and threads, without a browser."""

from __future__ import annotations

import threading

from ipywidgets import ToggleButtons, Widget
from sega_widgets import EditPanel
from sega_widgets.access import Access
from sega_widgets.children import iter_widgets

from sega_session import EditSession

from .fakes import HandTimer, add, send


def access_of(panel: EditPanel) -> Access:
    (access,) = (one for one in iter_widgets(panel) if isinstance(one, Access))
    return access


def session_bar(panel: EditPanel) -> Widget:
    (bar,) = (one for one in panel.children if panel.sessions in getattr(one, "children", ()))
    return bar


def test_a_session_is_closed(panel: EditPanel) -> None:
    first = panel.view
    assert session_bar(panel).layout.display == "none"
    first.scene.new.click()
    second = panel.view
    assert session_bar(panel).layout.display == ""
    panel.end.click()
    assert panel.view is first
    assert panel.views == (first,)
    assert second.comm is None
    assert second.worker.closed
    assert session_bar(panel).layout.display == "none"
    first.scene.new.click()
    assert panel.view.files.file.value == "session-3.safetensors"


def test_keys_undo_and_redo(panel: EditPanel) -> None:
    access = access_of(panel)
    add(panel, "glasses")
    send(access, {"step": "undo"})
    assert panel.session.concepts == ()
    send(access, {"step": "undo"})
    send(access, {"step": "redo"})
    assert len(panel.session.concepts) == 1
    assert panel.messages.value == ""


def test_every_control_has_a_description_and_a_tooltip(panel: EditPanel) -> None:
    add(panel, "glasses")
    panel.view.strip.shown.value = True
    controls = [one for one in iter_widgets(panel) if hasattr(one, "disabled")]
    assert len(controls) > 20
    tips = set(access_of(panel).tips)
    assert {"Prompt", "Seed", "Concept", "Branch", "File", "of", "Session"} <= tips
    for control in controls:
        if isinstance(control, ToggleButtons):
            assert len(control.tooltips) == len(control.options)
            continue
        assert control.tooltip, control
        assert control.description, control


def test_closing_ends_the_threads_and_all_widgets(session: EditSession, inline: None) -> None:
    panel = EditPanel(session)
    panel.view.scene.new.click()
    widgets = [*iter_widgets(panel), *iter_widgets(panel.views[0])]
    panel.close()
    for view in panel.views:
        assert view.worker.closed
    assert [one for one in widgets if one.comm is not None] == []


def test_edits_from_many_threads_leave_controls_and_session_alike(
    session: EditSession, timers: list[HandTimer]
) -> None:
    """With the real worker."""
    panel = EditPanel(session)
    add(panel, "glasses")
    slider, begin = panel.concepts.row("glasses").scale, threading.Barrier(4)

    def drag(offset: int) -> None:
        begin.wait()
        for value in range(20):
            slider.value = float((value * 7 + offset) % 19)

    def walk() -> None:
        begin.wait()
        for _ in range(20):
            panel.history.undo.click()
            panel.history.redo.click()

    threads = [threading.Thread(target=drag, args=(n,)) for n in (0, 5)]
    threads.append(threading.Thread(target=walk))
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join(60)
    panel.view.progress.render.click()
    assert panel.view.worker.wait(60)
    names = [concept.name for concept in panel.session.concepts]
    assert [one.scale.description for one in panel.concepts.rows] == names
    for one, concept in zip(panel.concepts.rows, panel.session.concepts, strict=True):
        assert one.scale.value == (-concept.scale if concept.inverted else concept.scale)
    assert panel.session.history.problems() == []
    render = panel.view.image.render
    assert render is not None
    assert render.exact
    assert render.state == panel.session.state
    panel.close()
