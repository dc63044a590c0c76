"""The panel in JupyterLab and in Voilà: what only a real page and a real kernel show."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .pages import NotebookPage, PanelPage

WIDTHS = (1440, 800)

# How much is too wide for the box that scrolls the panel. A box inside the output would clip
# popovers, and hold the picture where it is.
TOO_WIDE = """panel => {
    let box = panel.parentElement;
    while (getComputedStyle(box).overflow === "visible") box = box.parentElement;
    return box.closest(".jp-OutputArea") ? box.className : box.scrollWidth - box.clientWidth;
}"""

in_lab = pytest.mark.parametrize("server", ["lab"], indirect=True)


def test_a_concept_is_added_and_rendered(panel: PanelPage) -> None:
    before = panel.pixels()
    panel.button("glasses").click()
    expect(panel.number("glasses")).to_have_value("4.0")
    panel.rendered(before)
    expect(panel.entries).to_have_count(2)


def test_a_drag_shows_previews_and_is_one_entry(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.button("glasses").click()
    before = panel.rendered(unedited)
    seen: set[str] = set()
    with panel.dragged("glasses") as move:
        # Previews appear while the handle moves, not only after it has stopped.
        for step in range(400):
            move(5 + step % 40)
            seen.add(panel.pixels())
            if len(seen - {"", before}) > 2:
                break
        assert len(seen - {"", before}) > 2
        move(40)
    panel.rendered(before)
    expect(panel.entries).to_have_count(3)


def test_the_keys_of_the_panel_are_not_the_notebooks(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.button("glasses").click()
    edited = panel.rendered(unedited)
    panel.slider("glasses").focus()
    panel.page.keyboard.press("ArrowRight")
    expect(panel.number("glasses")).to_have_value("4.1")
    panel.page.keyboard.press("Control+z")
    panel.until(lambda: panel.exact() == edited)
    panel.page.keyboard.press("Control+z")
    panel.until(lambda: panel.exact() == unedited)
    panel.page.keyboard.press("Control+Shift+Z")
    panel.until(lambda: panel.exact() == edited)


def test_a_render_is_cancelled(notebook: NotebookPage) -> None:
    panel = notebook.panel("Slow panel")
    panel.button("Cancel").click()
    expect(panel.progress).to_have_text("Stopped")


@in_lab
def test_a_slider_moves_while_a_cell_is_busy(notebook: NotebookPage, panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.button("glasses").click()
    before = panel.rendered(unedited)
    output, wake = notebook.output(1), notebook.server.folder / "wake"
    notebook.run(1)
    try:
        expect(output).to_have_text("asleep")
        with panel.dragged("glasses") as move:
            move(20)
            move(40)
        panel.rendered(before)
        expect(panel.entries).to_have_count(3)
        expect(output).to_have_text("asleep")
    finally:
        wake.touch()
    expect(output).to_contain_text("awake")


def test_it_looks_right(panel: PanelPage, notebook: NotebookPage) -> None:
    before = panel.pixels()
    for name in ("glasses", "smile"):
        panel.button(name).click()
        before = panel.rendered(before)
    themes = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
    for width in WIDTHS:
        panel.fit(width)
        for scheme, theme in themes.items():
            if notebook.server.name == "lab":
                notebook.theme(theme)
                notebook.screenshot(f"lab-{scheme}-{width}")
        assert panel.root.evaluate(TOO_WIDE) == 0
    if notebook.server.name == "lab":
        notebook.theme(themes["light"])


@in_lab
def test_a_notebook_keeps_the_picture_of_a_kernel_that_has_ended(notebook: NotebookPage) -> None:
    output = notebook.output(2)
    panel = PanelPage(notebook.page, output.locator(".sega-panel"))
    notebook.run(2)
    before = panel.rendered()
    panel.button("glasses").click()
    panel.rendered(before)
    kept = output.get_by_alt_text("The last picture: a portrait of a person, seed 33")
    expect(kept).to_have_count(1)
    expect(kept).to_be_hidden()
    notebook.restart()
    expect(panel.root.get_by_text("The kernel has ended. Run the cell again")).to_be_visible()
    notebook.reopen()
    expect(kept).to_be_visible()
    expect(output.get_by_text("Run the cell to go on")).to_be_visible()
    expect(output.get_by_text("Error displaying widget").filter(visible=True)).to_have_count(0)
    notebook.screenshot("lab-reopened")
    notebook.run(0)
    notebook.run(2)
    output.get_by_role("button", name="Go on with").click()
    expect(panel.slider("glasses")).to_be_visible()
    expect(kept).to_be_hidden()
    # Jupyter looked for the widgets that the notebook's file names.
    missing = "Error: widget model not found"
    notebook.errors = [one for one in notebook.errors if not one.startswith(missing)]
