"""The explorer in a browser."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from playwright.sync_api import Page, ViewportSize, expect
from sega_widgets.explorer import Explorer
from sega_widgets.guard import Guard

from sega_session import EditSession
from sega_session.testing import FakeModel

from ..widgets.fakes import Notes
from .stage import Stage


class Explored:
    """An open explorer on a stage."""

    def __init__(self, stage: Stage, session: EditSession) -> None:
        self.page: Page = stage.page
        self.session = session
        self.begun: list[EditSession] = []
        self.closed = threading.Event()
        self.explorer = Explorer(
            session,
            Guard(cast(Any, Notes())),
            self.begun.append,
            self.closed.set,
            changed=lambda _: None,
            rerender=lambda: None,
        )
        self.explorer.explore()
        stage.show(self.explorer)

    def render(self, count: int = 100) -> None:
        """Render tiles, as the render thread does."""
        for number, show in enumerate(self.explorer.render_missing(lambda *_: None), 1):
            show()
            if number == count:
                return

    def choose(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_timeout(100)


@pytest.fixture
def explored(stage: Stage) -> Explored:
    session = EditSession(FakeModel(), "a portrait", seed=7, num_inference_steps=6)
    session.add("hat", scale=4, warmup=0)
    session.add("beard", scale=4, warmup=0)
    session.render()
    return Explored(stage, session)


def test_a_seed_is_looked_at_and_kept(explored: Explored) -> None:
    page = explored.page
    expect(page.get_by_role("status")).to_have_text("0 of 9")
    explored.render()
    expect(page.get_by_role("status")).to_have_text("")
    seeds = [tile["caption"] for tile in explored.explorer.tiles]
    page.get_by_role("button", name=seeds[4]).click()
    keep = page.get_by_role("button", name="Keep this one")
    expect(keep).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name=seeds[5])).to_be_visible()
    page.keyboard.press("Escape")
    expect(keep).to_be_hidden()
    expect(page.get_by_role("button", name=seeds[5])).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    keep.click()
    page.wait_for_timeout(200)
    [session] = explored.begun
    assert f"Seed {session.seeds[0]}" == seeds[4]
    assert len(session.concepts) == 2
    assert explored.closed.is_set()


def test_prompts_are_typed(explored: Explored) -> None:
    page = explored.page
    explored.choose("Prompts")
    page.get_by_label("Prompts, one in each line").fill("a dog\na fox")
    explored.choose("Show")
    assert [tile["caption"] for tile in explored.explorer.tiles] == ["a dog", "a fox"]
    explored.render()
    expect(page.get_by_role("button", name="a fox").locator("img")).to_be_visible()


def test_two_strengths_are_set_by_one_click(explored: Explored) -> None:
    page = explored.page
    explored.choose("Two concepts")
    explored.render(25)
    page.get_by_role("button", name="hat 8, beard -4").click()
    page.wait_for_timeout(200)
    hat, beard = explored.session.concepts
    assert (hat.scale, beard.scale, beard.inverted) == (8, 4, True)
    assert explored.session.history.entry.label == "hat 8, beard -4"
    expect(page.locator("[aria-pressed=true][aria-label^='hat 8, beard -4']")).to_be_visible()
    page.get_by_label("Across").select_option("beard")
    page.wait_for_timeout(200)
    assert explored.explorer.axes["names"] == ["beard", "hat"]


def test_escape_closes_it(explored: Explored) -> None:
    explored.page.get_by_role("button", name="Nine others").focus()
    explored.page.keyboard.press("Escape")
    explored.page.wait_for_timeout(200)
    assert explored.closed.is_set()


@pytest.mark.parametrize("width", [1200, 420, 300])
def test_it_fits_and_is_accessible(
    stage: Stage, explored: Explored, scheme: str, width: int
) -> None:
    page = explored.page
    page.emulate_media(color_scheme=cast(Any, scheme))
    page.set_viewport_size(ViewportSize(width=width, height=900))
    explored.render(4)
    page.wait_for_timeout(200)
    for name in ("Seeds", "Prompts", "Two concepts"):
        if name != "Seeds":
            explored.choose(name)
            explored.render(12)
            page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert stage.violations() == []
        stage.picture(f"explorer-{name.lower().replace(' ', '-')}-{scheme}-{width}")
