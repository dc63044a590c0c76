"""The panel as a whole: its sessions, keys, files and threads, without a browser."""

from __future__ import annotations

import threading
from pathlib import Path

from ipywidgets import Widget
from sega_widgets import EditPanel
from sega_widgets.children import iter_widgets
from sega_widgets.keys import Keys

from sega_session import EditSession

from .fakes import Model, add, new_session, send


def part(panel: EditPanel, kind: type[Widget]) -> Widget:
    """Return the part of a class that is on the panel."""
    (found,) = (one for one in iter_widgets(panel) if isinstance(one, kind))
    return found


def generate(panel: EditPanel, seeds: str) -> None:
    """Begin an image of other seeds."""
    scene = panel.view.scene
    fields = {name: scene.scene[name] for name in ("prompt", "negative", "steps", "guidance")}
    size = {name: scene.scene[name] for name in ("width", "height")}
    send(scene, {"kind": "generate", "seeds": seeds, "keep": True, **fields, **size})
    assert scene.wait(60)


def titles(panel: EditPanel) -> list[str]:
    found: list[str] = panel.tabs.titles
    return found


def test_sessions_are_tabs(panel: EditPanel) -> None:
    first = panel.view
    assert titles(panel) == ["a cat · 0"]
    generate(panel, "7")
    second = panel.view
    assert titles(panel) == ["a cat · 0", "a cat · 7"]
    send(panel.tabs, {"kind": "select", "number": 0})
    assert panel.view is first
    send(panel.tabs, {"kind": "close", "number": 1})
    assert panel.view is first
    assert panel.views == (first,)
    assert second.comm is None
    assert second.worker.closed
    send(panel.tabs, {"kind": "close", "number": 0})
    assert panel.views == (first,)
    generate(panel, "8")
    for _ in range(2):
        send(panel.tabs, {"kind": "close", "number": 1})
    assert panel.view is first
    assert panel.messages.toasts == []


def test_a_session_without_a_prompt_has_a_title(inline: None, tmp_path: Path) -> None:
    panel = EditPanel(EditSession(Model(), "", num_inference_steps=6), folder=tmp_path)
    assert titles(panel) == ["No prompt · 0"]
    panel.close()


def test_keys_undo_redo_and_save(panel: EditPanel, tmp_path: Path) -> None:
    keys = part(panel, Keys)
    add(panel, "glasses")
    send(keys, {"kind": "step", "name": "undo"})
    assert panel.session.concepts == ()
    send(keys, {"kind": "step", "name": "undo"})
    send(keys, {"kind": "step", "name": "redo"})
    assert len(panel.session.concepts) == 1
    send(keys, {"kind": "step", "name": "save"})
    assert [one.name for one in tmp_path.glob("*.safetensors")] == ["a-cat.safetensors"]


def test_a_removed_concept_is_offered_back(panel: EditPanel) -> None:
    add(panel, "glasses")
    row = panel.concepts.concepts[0]["id"]
    send(panel.concepts, {"kind": "remove", "row": row})
    (offer,) = (one for one in panel.messages.toasts if one["kind"] == "offer")
    assert offer["text"] == "“glasses” removed"
    send(panel.messages, {"kind": "press_toast", "id": offer["id"]})
    assert [one.name for one in panel.session.concepts] == ["glasses"]


def test_a_session_that_is_open_is_gone_to(panel: EditPanel) -> None:
    first = panel.view
    add(panel, "glasses")
    keeper = first.keeper
    assert keeper is not None
    assert keeper.wait(60)
    generate(panel, "7")
    send(panel.view.files, {"kind": "open", "name": keeper.kept.name})
    assert panel.view is first
    assert len(panel.views) == 2


def test_a_pinned_entry_is_compared_with(panel: EditPanel) -> None:
    add(panel, "glasses", "beard")
    send(panel.history, {"kind": "pin", "entry": 1})
    assert panel.view.image.reference == "glasses added"
    send(panel.history, {"kind": "pin", "entry": None})
    assert panel.view.image.reference != "glasses added"


def test_a_tool_stands_in_the_place_of_the_image(panel: EditPanel) -> None:
    view = panel.view
    add(panel, "glasses")
    row = panel.concepts.concepts[0]["id"]
    send(panel.concepts, {"kind": "mask", "row": row})
    assert view.tool == "mask"
    assert view.mask.region["name"] == "glasses"
    send(view.mask, {"kind": "cancel"})
    assert view.tool is None
    send(panel.concepts, {"kind": "protect"})
    assert view.mask.region["name"] is None
    send(view.scene, {"kind": "explore"})
    assert view.tool == "explorer"
    send(panel.concepts, {"kind": "protect"})
    assert view.tool == "mask"
    assert not view.explorer.is_open
    send(view.scene, {"kind": "explore"})
    send(view.explorer, {"kind": "leave"})
    assert view.tool is None


def test_edits_are_kept_unless_that_is_switched_off(inline: None, tmp_path: Path) -> None:
    for kept, folder in ((True, tmp_path / "kept"), (False, tmp_path / "not")):
        folder.mkdir()
        panel = EditPanel(new_session(Model()), folder=folder, autosave=kept)
        add(panel, "glasses")
        panel.close()
        assert [one.name for one in folder.rglob("a-cat.safetensors")] == [
            "a-cat.safetensors"
        ] * kept


def test_closing_ends_the_threads_and_all_widgets(
    session: EditSession, inline: None, tmp_path: Path
) -> None:
    panel = EditPanel(session, folder=tmp_path)
    generate(panel, "5")
    widgets = [*iter_widgets(panel), *iter_widgets(panel.views[0])]
    panel.close()
    for view in panel.views:
        assert view.worker.closed
    assert [one for one in widgets if one.comm is not None] == []


def test_edits_from_many_threads_leave_controls_and_session_alike(
    session: EditSession, tmp_path: Path
) -> None:
    """With the real worker."""
    panel = EditPanel(session, folder=tmp_path)
    add(panel, "glasses")
    row, begin = panel.concepts.concepts[0]["id"], threading.Barrier(4)

    def drag(view: str) -> None:
        begin.wait()
        for number in range(20):
            move = {"view": view, "row": row, "field": "scale", "drag": view, "number": number}
            value = float((number * 7 + len(view)) % 19)
            send(panel.concepts, {"kind": "move", **move, "value": value, "end": number == 19})

    def walk() -> None:
        begin.wait()
        for _ in range(20):
            panel.history.undo()
            panel.history.redo()

    threads = [threading.Thread(target=drag, args=(one,)) for one in ("a", "bb")]
    threads.append(threading.Thread(target=walk))
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join(60)
    send(panel.view.progress, {"kind": "render"})
    assert panel.view.worker.wait(60)
    shown = [(one["name"], one["scale"]) for one in panel.concepts.concepts]
    assert shown == [
        (one.name, -one.scale if one.inverted else one.scale) for one in panel.session.concepts
    ]
    assert panel.session.history.problems() == []
    render = panel.view.image.render
    assert render is not None
    assert render.exact
    assert render.state == panel.session.state
    panel.close()
