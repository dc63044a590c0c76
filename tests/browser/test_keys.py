"""The keys of a panel and their sheet, in a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from anywidget import AnyWidget
from ipywidgets import VBox
from playwright.sync_api import Locator, expect
from sega_widgets.keys import PANEL, Keys

from .stage import Stage

FIELDS = """
const fields = `
  <input aria-label="text"><input type="number" aria-label="number">
  <textarea aria-label="long"></textarea>
  <input type="range" aria-label="slider"><button>A button</button>
  <div contenteditable="true" role="textbox" aria-label="rich">rich</div>
  <section data-sega-own-undo><button>A brush</button></section>`;
export default { render: ({ el }) => { el.innerHTML = fields; } };
"""

# A page's own keys, as those of a notebook: the panel's must not reach them.
LISTEN = """() => {
    window.reached = [];
    document.addEventListener("keydown", (event) => reached.push(event.key), true);
    const button = document.createElement("button");
    document.body.prepend(Object.assign(button, { textContent: "Outside" }));
}"""


class Fields(AnyWidget):
    """Elements that may have the focus."""

    _esm = FIELDS


class Panels:
    """Two panels on a page, and the steps that their keys asked for."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.steps: list[tuple[int, str]] = []
        panels = [VBox([Fields(), Keys(self._step(number))]) for number in range(2)]
        for panel in panels:
            panel.add_class(PANEL)
        stage.show(VBox(panels))
        expect(stage.page.locator(".sega-keys")).to_have_count(2)
        stage.page.evaluate(LISTEN)

    def _step(self, number: int) -> Callable[[str], None]:
        return lambda name: self.steps.append((number, name))

    def get(self, role: str, name: str, panel: int = 0) -> Locator:
        found = self.stage.page.locator(f".{PANEL}").nth(panel)
        return found.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]

    def press(self, *keys: str) -> list[tuple[int, str]]:
        """Press keys; return the steps of them."""
        self.steps.clear()
        for key in keys:
            self.stage.page.keyboard.press(key)
        self.stage.page.evaluate("0")
        return list(self.steps)


@pytest.fixture
def panels(stage: Stage) -> Panels:
    return Panels(stage)


STEPS = ("Control+z", "Control+Shift+Z", "Control+y", "Control+s")
ALL = [(0, "undo"), (0, "redo"), (0, "redo"), (0, "save")]


@pytest.mark.parametrize(("role", "name"), [("button", "A button"), ("slider", "slider")])
def test_keys_are_steps_of_the_panel_with_the_focus(panels: Panels, role: str, name: str) -> None:
    panels.get(role, name).focus()
    assert panels.press(*STEPS) == ALL
    assert (
        panels.stage.page.evaluate("reached.filter((key) => key !== 'Control' && key !== 'Shift')")
        == []
    )
    panels.get(role, name, panel=1).focus()
    assert panels.press(*STEPS) == [(1, step) for _, step in ALL]
    panels.stage.page.get_by_role("button", name="Outside").focus()
    assert panels.press(*STEPS[:3]) == []


def test_other_keys_reach_the_page(panels: Panels) -> None:
    panels.get("button", "A button").focus()
    assert panels.press("x", "Control+Alt+z") == []
    assert {"x", "z"} <= set(panels.stage.page.evaluate("reached"))


@pytest.mark.parametrize("name", ["text", "long"])
def test_a_field_with_text_has_its_own_undo(panels: Panels, name: str) -> None:
    field = panels.get("textbox", name)
    field.focus()
    assert panels.press("Control+z", "Control+y") == [(0, "undo"), (0, "redo")]
    field.press_sequentially("hat")
    assert panels.press("Control+z", "Control+y") == []
    field.fill("")
    # What was typed can still be brought back.
    assert panels.press("Control+z") == []
    field.fill("")
    assert panels.press("Enter", "Control+s") == [(0, "save")]
    field.fill("")
    # Enter submits a field of one line; then there is nothing to bring back.
    assert panels.press("Enter", "Control+z") == ([(0, "undo")] if name == "text" else [])


def test_text_that_the_program_set_is_the_fields_too(panels: Panels) -> None:
    number = panels.get("spinbutton", "number")
    number.evaluate("field => { field.value = 3; }")
    number.focus()
    assert panels.press("Control+z") == []
    panels.get("textbox", "rich").focus()
    assert panels.press("Control+z") == []


def test_a_part_may_have_its_own_undo(panels: Panels) -> None:
    panels.get("button", "A brush").focus()
    assert panels.press(*STEPS) == [(0, "save")]
    assert "z" in panels.stage.page.evaluate("reached")


def test_the_focus_may_be_lost_with_its_control(panels: Panels) -> None:
    button = panels.get("button", "A button", panel=1)
    button.focus()
    button.evaluate("button => button.remove()")
    assert panels.press("Control+z") == [(1, "undo")]
    panels.stage.page.mouse.click(1000, 700)
    assert panels.press("Control+z") == []


def test_a_press_on_the_panel_counts(panels: Panels) -> None:
    panel = panels.stage.page.locator(f".{PANEL}").first
    panel.click(position={"x": 600, "y": 4})
    assert panels.press("Control+z") == [(0, "undo")]


def test_the_sheet_opens_and_closes(panels: Panels) -> None:
    page = panels.stage.page
    sheet = page.get_by_role("dialog", name="Keys")
    panels.get("textbox", "text").focus()
    page.keyboard.press("?")
    expect(sheet).to_be_hidden()
    expect(panels.get("textbox", "text")).to_have_value("?")
    panels.get("button", "A button").focus()
    page.keyboard.press("?")
    expect(sheet).to_be_visible()
    expect(sheet.get_by_text("Undo", exact=True)).to_be_visible()
    expect(sheet.locator("kbd").first).to_have_text("Ctrl")
    assert panels.press("Control+z") == []
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(panels.get("button", "A button")).to_be_focused()
    panels.get("button", "Keys (?)").click()
    expect(sheet).to_be_visible()
    page.mouse.click(5, 5)
    expect(sheet).to_be_hidden()


@pytest.mark.parametrize("width", [1200, 360])
def test_the_sheet_is_accessible(panels: Panels, scheme: str, width: int) -> None:
    page = panels.stage.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    panels.get("button", "Keys (?)").click()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert [one for one in panels.stage.violations() if "sega-keys" in one] == []
    panels.stage.picture(f"keys-{scheme}-{width}")
