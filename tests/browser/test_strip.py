"""The strip of strengths in a browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect
from sega_widgets.strip import StripView

from sega_session import EditSession, EditState, Render

from ..widgets.fakes import Model, new_session
from .stage import Stage


class Strip:
    """A strip on a stage that a test renders image by image."""

    def __init__(self, stage: Stage, session: EditSession) -> None:
        self.stage, self.page, self.session = stage, stage.page, session
        self.view = StripView(session, lambda _: self.view.refresh(), rerender=lambda: None)
        stage.show(self.view)
        self.tiles = self.page.locator(".sega-strip-tile")
        self.note = self.page.locator(".sega-strip-note")
        self.toggle = self.page.get_by_role("button", name="Strengths")

    def try_render(self, mode: str, state: EditState) -> Render | None:
        modes: Any = mode
        return self.session.render(modes, state=state)

    def render(self, number: int = 10**6) -> None:
        for _, show in zip(range(number), self.view.render_missing(self.try_render), strict=False):
            show()


@pytest.fixture
def strip(stage: Stage) -> Strip:
    session = new_session(Model())
    session.add("glasses", warmup=1)
    session.render()
    return Strip(stage, session)


def test_a_strip_fills_and_a_click_sets_the_scale(strip: Strip) -> None:
    expect(strip.tiles.first).to_be_hidden()
    expect(strip.toggle).to_have_attribute("aria-expanded", "false")
    before = strip.toggle.bounding_box()
    strip.toggle.press("Enter")
    expect(strip.toggle).to_have_attribute("aria-expanded", "true")
    assert strip.toggle.bounding_box() == before
    expect(strip.tiles).to_have_count(7)
    expect(strip.note).to_have_text("0 of 7")
    place = strip.tiles.first.bounding_box()
    strip.render(7)
    expect(strip.note).to_contain_text("of 7 exact")
    expect(strip.tiles.first).to_contain_text("Rough")
    strip.render()
    expect(strip.note).to_have_text("")
    expect(strip.page.get_by_text("Rough")).to_have_count(0)
    assert strip.tiles.first.bounding_box() == place
    strip.page.get_by_role("button", name="glasses at -9").click()
    expect(strip.tiles.first).to_have_attribute("aria-pressed", "true")
    concept = strip.session.concepts[0]
    assert (concept.scale, concept.inverted) == (9, True)
    assert len(strip.session.history) == 3


def test_a_strip_follows_the_concepts(strip: Strip) -> None:
    strip.toggle.click()
    strip.session.add("beard", warmup=1)
    strip.view.refresh()
    choice = strip.page.get_by_role("combobox", name="Concept of the strip")
    choice.select_option("beard")
    strip.render(7)
    expect(strip.page.get_by_role("button", name="beard at -9")).to_be_visible()
    for name in ("beard", "glasses"):
        strip.session.remove(name)
        strip.view.refresh()
    expect(strip.toggle).to_be_disabled()
    expect(strip.page.get_by_text("Add a concept to see it")).to_be_visible()
    expect(strip.tiles.first).to_be_hidden()


def test_it_is_accessible_and_beautiful(strip: Strip, scheme: Any) -> None:
    strip.page.emulate_media(color_scheme=scheme)
    assert strip.stage.violations() == []
    strip.toggle.click()
    strip.render(4)
    expect(strip.page.locator(".sega-strip-tile .sega-picture-image").last).to_be_visible()
    assert strip.stage.violations() == []
    strip.stage.picture(f"strip-{scheme}")
    strip.page.set_viewport_size({"width": 360, "height": 740})
    strip.render()
    strip.page.wait_for_timeout(100)
    assert strip.stage.violations() == []
    strip.stage.picture(f"strip-narrow-{scheme}")
    assert strip.page.evaluate("document.documentElement.scrollWidth") == 360
