"""The panel in a browser, in JupyterLab and in Voilà: concepts, history, files, keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .pages import NotebookPage, PanelPage

PREVIEW = re.compile("^preview: ")

in_lab = pytest.mark.parametrize("server", ["lab"], indirect=True)


def test_a_concept_is_added_and_rendered(panel: PanelPage) -> None:
    before = panel.pixels()
    panel.add("glasses")
    expect(panel.handle("glasses")).to_be_visible()
    expect(panel.number("glasses")).to_have_text("4.0")
    expect(panel.text).to_have_value("")
    panel.rendered(before)
    expect(panel.entries).to_have_text(["○ 0 unedited", "● 1 glasses added"])


def test_a_drag_shows_previews_and_is_one_entry(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    before = panel.rendered(unedited)
    seen: set[str] = set()
    with panel.dragged("glasses") as move:
        # Previews appear while the handle moves, not only after it has stopped.
        for step in range(400):
            move(5 + step % 40)
            if PREVIEW.match(panel.caption.inner_text()):
                seen.add(panel.pixels())
            if len(seen - {"", before}) > 2:
                break
        assert len(seen - {"", before}) > 2
        move(40)
        during = panel.handle("glasses").bounding_box()
    panel.rendered(before)
    expect(panel.entries).to_have_count(3)
    expect(panel.current).to_have_text(re.compile("^● 2 glasses: scale 4 -> "))
    # The handle stays where it was released.
    assert panel.handle("glasses").bounding_box() == during


def test_undo_and_redo(panel: PanelPage) -> None:
    unedited = panel.pixels()
    expect(panel.button("Undo")).to_be_disabled()
    panel.add("glasses")
    edited = panel.rendered(unedited)
    panel.button("Undo").click()
    panel.until(lambda: panel.exact() == unedited)
    expect(panel.handle("glasses")).to_have_count(0)
    expect(panel.button("Undo")).to_be_disabled()
    panel.button("Redo").click()
    panel.until(lambda: panel.exact() == edited)
    expect(panel.number("glasses")).to_have_text("4.0")
    expect(panel.entries).to_have_count(2)


def test_invert_changes_the_sign(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    edited = panel.rendered(unedited)
    panel.invert("glasses")
    expect(panel.number("glasses")).to_have_text("\N{MINUS SIGN}4.0")
    panel.rendered(edited)
    panel.invert("glasses")
    expect(panel.number("glasses")).to_have_text("4.0")
    panel.until(lambda: panel.exact() == edited)


def test_the_comparison_is_moved_by_mouse_and_keys(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    panel.rendered(unedited)
    panel.compare()
    expect(panel.divider).to_have_value("0.5")
    images = panel.compared.bounding_box()
    assert images is not None
    left, width = images["x"], images["width"]
    y = images["y"] + images["height"] / 2
    panel.page.mouse.move(left + width / 2, y)
    panel.page.mouse.down()
    panel.page.mouse.move(left + width / 4, y, steps=5)
    panel.page.mouse.up()
    panel.until(lambda: abs(float(panel.divider.input_value()) - 0.25) < 0.02)
    before = float(panel.divider.input_value())
    panel.divider.focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.keyboard.press("ArrowRight")
    expect(panel.divider).to_have_value(f"{before + 0.02:g}")
    panel.page.keyboard.press("Home")
    expect(panel.divider).to_have_value("0")


def test_a_session_is_saved_edited_and_loaded(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    saved = panel.rendered(unedited)
    panel.file.fill("kept.safetensors")
    panel.file.press("Enter")
    panel.button("Save").click()
    expect(panel.status).to_contain_text("Saved: ")
    panel.add("a beard")
    panel.rendered(saved)
    expect(panel.entries).to_have_count(3)
    panel.button("Load").click()
    expect(panel.status).to_contain_text("Loaded: ")
    panel.until(lambda: panel.exact() == saved)
    expect(panel.entries).to_have_text(["○ 0 unedited", "● 1 glasses added"])
    expect(panel.handle("a beard")).to_have_count(0)


def test_a_render_is_cancelled_and_the_panel_goes_on(notebook: NotebookPage) -> None:
    panel = notebook.panel("Slow panel")
    expect(panel.bar).to_be_visible()
    panel.button("Cancel").click()
    expect(panel.bar).to_be_hidden()
    expect(panel.button("Cancel")).to_be_disabled()
    expect(panel.caption).to_have_text("No image yet.")
    panel.add("glasses")
    expect(panel.handle("glasses")).to_be_visible()
    expect(panel.bar).to_be_visible()
    panel.button("Cancel").click()
    expect(panel.bar).to_be_hidden()


@in_lab
def test_a_slider_moves_while_a_cell_is_busy(notebook: NotebookPage, panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    before = panel.rendered(unedited)
    output, wake = notebook.output(1), notebook.server.folder / "wake"
    notebook.run(1)
    try:
        expect(output).to_have_text("asleep")
        with panel.dragged("glasses") as move:
            move(20)
            move(40)
        panel.rendered(before)
        expect(panel.current).to_have_text(re.compile("^● 2 glasses: scale 4 -> "))
        expect(output).to_have_text("asleep")
    finally:
        wake.touch()
    expect(output).to_contain_text("awake")


def test_an_error_is_shown_until_the_next_action(panel: PanelPage) -> None:
    panel.add("glasses")
    expect(panel.handle("glasses")).to_be_visible()
    # Typing the same text again is a change only after the field was emptied.
    expect(panel.text).to_have_value("")
    panel.add("glasses")
    expect(panel.alert).to_contain_text("Not done")
    expect(panel.text).to_have_value("glasses")
    panel.add("a beard")
    expect(panel.handle("a beard")).to_be_visible()
    expect(panel.alert).to_have_count(0)


def test_the_keyboard_is_enough(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.tab_to(panel.text)
    panel.page.keyboard.type("glasses")
    panel.page.keyboard.press("Enter")
    before = panel.rendered(unedited)
    panel.tab_to(panel.handle("glasses"))
    panel.page.keyboard.press("ArrowRight")
    expect(panel.number("glasses")).not_to_have_text("4.0")
    panel.rendered(before)
    expect(panel.current).to_have_text(re.compile("^● 2 glasses: scale 4 -> 4.1"))
