"""The panel in a browser: undo keys, heat maps, the strip, other sessions, accessible names."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .pages import PanelPage


def test_keys_undo_and_redo(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    edited = panel.rendered(unedited)
    # The field is empty and still has the focus.
    panel.page.keyboard.press("Control+z")
    panel.until(lambda: panel.exact() == unedited)
    panel.page.keyboard.press("Control+Shift+Z")
    panel.until(lambda: panel.exact() == edited)
    panel.handle("glasses").focus()
    panel.page.keyboard.press("ArrowRight")
    expect(panel.number("glasses")).to_have_text("4.1")
    panel.page.keyboard.press("Control+z")
    expect(panel.number("glasses")).to_have_text("4.0")
    # Undo removes the slider that has the focus.
    panel.page.keyboard.press("Control+z")
    expect(panel.handle("glasses")).to_have_count(0)
    panel.page.keyboard.press("Control+Shift+Z")
    expect(panel.number("glasses")).to_have_text("4.0")
    panel.until(lambda: panel.exact() == edited)
    panel.image.click()
    panel.page.keyboard.press("Control+z")
    expect(panel.handle("glasses")).to_have_count(0)


def test_typed_text_has_its_own_undo(panel: PanelPage) -> None:
    panel.add("glasses")
    # The program empties the field, which clears the browser's undo history.
    expect(panel.text).to_have_value("")
    panel.rendered()
    panel.text.press_sequentially("bea")
    panel.page.keyboard.press("Control+a")
    panel.page.keyboard.press("Delete")
    expect(panel.text).to_have_value("")
    panel.page.keyboard.press("Control+z")
    expect(panel.text).to_have_value("bea")
    expect(panel.handle("glasses")).to_be_visible()
    expect(panel.entries).to_have_count(2)


def test_a_heat_map_covers_the_image(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    plain = panel.rendered(unedited)
    panel.button("Where").click()
    expect(panel.caption).to_have_text("exact · where “glasses” acts")
    panel.until(lambda: panel.pixels() not in {"", plain})
    panel.button("Image").click()
    panel.until(lambda: panel.exact() == plain)


def test_a_strip_is_rendered_and_a_click_sets_a_scale(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    plain = panel.rendered(unedited)
    panel.button("Strength strip").click()
    images = panel.root.get_by_alt_text(re.compile("^glasses: set the scale to "))
    expect(images).to_have_count(7)
    panel.until(lambda: len({panel.pixels_of(one) for one in images.all()} - {""}) == 7)
    panel.root.get_by_alt_text("glasses: set the scale to 9").click()
    expect(panel.number("glasses")).to_have_text("9.0")
    expect(panel.entries).to_have_count(3)
    panel.rendered(plain)


def test_another_seed_is_another_session_and_the_first_stays(panel: PanelPage) -> None:
    unedited = panel.pixels()
    panel.add("glasses")
    edited = panel.rendered(unedited)
    seed = panel.root.get_by_label("Seed", exact=True)
    seed.fill("3, 4")
    seed.press("Enter")
    expect(panel.entries).to_have_text(["● 0 unedited"])
    panel.rendered(edited)
    # A click enlarges one image of a batch.
    panel.root.get_by_alt_text("Enlarge the image of seed 4").click()
    expect(panel.caption).to_have_text("seed 4 · exact")
    panel.button("All seeds").click()
    expect(panel.caption).to_have_text("exact")
    sessions = panel.root.get_by_label("Session", exact=True)
    expect(sessions).to_have_value("2: a portrait of a person, seed 3, 4")
    sessions.select_option("1: a portrait of a person, seed 33")
    panel.until(lambda: panel.exact() == edited)
    expect(panel.number("glasses")).to_have_text("4.0")


def test_images_and_sliders_have_names(panel: PanelPage) -> None:
    panel.add("glasses")
    panel.rendered()
    expect(panel.image).to_have_attribute("alt", "a portrait of a person; glasses 4")
    expect(panel.handle("glasses")).to_have_attribute(
        "aria-label", re.compile("^glasses: scale, -20 to 20")
    )
    expect(panel.handle("glasses")).to_have_attribute("aria-valuetext", "4.0")
    expect(panel.root.get_by_role("checkbox", name="glasses on")).to_be_checked()
    expect(panel.text).to_have_attribute("title", re.compile("^Add a concept"))
    for name, pressed in {"Image": "true", "Where": "false", "Strength strip": "false"}.items():
        expect(panel.button(name)).to_have_attribute("aria-pressed", pressed)
    panel.button("Where").click()
    expect(panel.button("Where")).to_have_attribute("aria-pressed", "true")
    expect(panel.root.get_by_alt_text("You are at 1 glasses added")).to_be_visible()
