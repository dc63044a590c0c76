"""The whole panel on the stage: how its parts work together, and how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipywidgets import Box
from playwright.sync_api import expect
from sega_widgets import EditPanel

from sega_session import EditSession, load_avatars, recommended
from sega_session.models import Recommended

from .pages import PanelPage
from .stage import Stage

WIDTHS = (1440, 1280, 800, 420)

# Labels may be cut with an ellipsis, the text of buttons may not.
CUT = """panel => [...panel.querySelectorAll("button")]
    .filter(one => getComputedStyle(one).overflow !== "hidden")
    .filter(one => one.scrollWidth > one.clientWidth + 1)
    .map(one => one.outerHTML)"""


@pytest.fixture(scope="module")
def pipeline() -> Any:
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def presets(pipeline: Any) -> Recommended:
    found = recommended(pipeline)
    assert found is not None
    return found


def new_session(pipeline: Any, steps: int = 10, seed: int | list[int] = 33) -> EditSession:
    return EditSession(
        pipeline,
        "a portrait of a person",
        seed=seed,
        guidance_scale=5,
        num_inference_steps=steps,
    )


class Studio(PanelPage):
    """A panel of this process, and its page.

    Attributes:
        panel: the panel.
    """

    def __init__(self, stage: Stage, panel: EditPanel) -> None:
        super().__init__(stage.page, stage.page.locator(f".{mark(panel)}"))
        self.stage, self.panel = stage, panel

    @property
    def session(self) -> EditSession:
        return self.panel.session

    def settle(self) -> str:
        """Wait until nothing is left to render, and return the pixels of the image."""
        self.until(lambda: self.panel.view.worker.wait(0) and self.exact() != "")
        return self.pixels()


def mark(panel: EditPanel) -> str:
    """Return a CSS class that only this panel has."""
    name = f"panel-{panel.model_id}"
    panel.add_class(name)
    return name


@pytest.fixture
def studio(stage: Stage, pipeline: Any, tmp_path: Path) -> Iterator[Studio]:
    panel = EditPanel(new_session(pipeline), folder=tmp_path)
    studio = Studio(stage, panel)
    stage.show(panel)
    studio.settle()
    yield studio
    panel.close()


def test_a_preset_and_a_phrase_are_added(studio: Studio, pipeline: Any) -> None:
    before = studio.pixels()
    studio.button("glasses").click()
    expect(studio.button("glasses")).to_have_attribute("aria-pressed", "true")
    preset = presets(pipeline).concepts["glasses"]
    studio.until(lambda: "glasses" in studio.session)
    assert studio.session["glasses"].scale == preset.scale
    edited = studio.rendered(before)
    studio.add("a beard")
    studio.rendered(edited)
    expect(studio.entries).to_have_count(3)
    expect(studio.current).to_have_accessible_name("a beard added, you are here")


def test_what_the_image_shows_is_removed_with_its_own_settings(
    studio: Studio, pipeline: Any
) -> None:
    studio.button("no glasses").click()
    studio.until(lambda: "no glasses" in studio.session)
    concept, preset = studio.session["no glasses"], presets(pipeline).removals["no glasses"]
    assert (concept.opposite, concept.scale, concept.threshold) == (
        preset.opposite,
        preset.scale,
        preset.threshold,
    )


def test_a_drag_shows_previews_and_is_one_entry(studio: Studio) -> None:
    studio.add("glasses")
    before = studio.settle()
    seen: set[str] = set()
    with studio.dragged("glasses") as move:
        for step in range(200):
            move(5 + step % 40)
            studio.page.wait_for_timeout(20)
            seen.add(studio.pixels())
            if len(seen - {"", before}) > 2:
                break
        move(40)
    assert len(seen - {"", before}) > 2
    studio.rendered(before)
    assert [entry.label.split(":")[0] for entry in studio.session.history] == [
        "unedited",
        "glasses added",
        "glasses",
    ]


def test_a_removed_concept_is_offered_back(studio: Studio) -> None:
    studio.add("glasses")
    studio.settle()
    studio.button("Remove glasses").click()
    studio.root.locator(".sega-toast").get_by_role("button", name="Undo").click()
    studio.until(lambda: "glasses" in studio.session)


def test_undo_redo_and_their_keys(studio: Studio) -> None:
    unedited = studio.pixels()
    studio.add("glasses")
    edited = studio.rendered(unedited)
    studio.button("Undo").click()
    studio.until(lambda: studio.exact() == unedited)
    studio.button("Redo").click()
    studio.until(lambda: studio.exact() == edited)
    studio.slider("glasses").focus()
    studio.page.keyboard.press("Control+z")
    expect(studio.slider("glasses")).to_have_count(0)
    studio.page.keyboard.press("Control+y")
    expect(studio.slider("glasses")).to_have_count(1)
    studio.page.keyboard.press("Control+z")
    expect(studio.slider("glasses")).to_have_count(0)
    studio.page.keyboard.press("Control+Shift+Z")
    studio.until(lambda: studio.exact() == edited)


def test_the_image_is_compared_with_a_pinned_entry(studio: Studio) -> None:
    for name in ("glasses", "beard", "smile"):
        studio.add(name)
        studio.settle()
    studio.entry("glasses added").hover()
    studio.entry("glasses added").get_by_role("button", name=re.compile("[Cc]ompare")).click()
    studio.button("Compare").click()
    expect(studio.picture).to_contain_text("glasses added")
    studio.until(lambda: studio.panel.view.image.missing_reference is None)


def test_heat_map_and_strip(studio: Studio) -> None:
    studio.add("glasses")
    plain = studio.settle()
    studio.button("Where").click()
    studio.until(lambda: studio.pixels() not in {"", plain})
    studio.button("Image").click()
    studio.until(lambda: studio.pixels() == plain)
    studio.button("Strengths").click()
    strip = studio.panel.view.strip
    studio.until(lambda: all(strip.pngs) and strip.progress == "")
    studio.root.locator(".sega-strip").get_by_role("button", name=re.compile("9")).last.click()
    studio.until(lambda: studio.session["glasses"].scale == 9)


def test_a_mask_is_painted_for_a_concept_and_for_all(studio: Studio) -> None:
    studio.add("beard")
    studio.settle()
    studio.button("Mask of beard").click()
    canvas = studio.root.locator(".sega-mask canvas")
    expect(canvas).to_be_visible()
    expect(studio.picture).to_be_hidden()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.7
    studio.page.mouse.move(x - 80, y)
    studio.page.mouse.down()
    studio.page.mouse.move(x + 80, y, steps=8)
    studio.page.mouse.up()
    studio.button("Apply").click()
    studio.until(lambda: studio.session["beard"].mask is not None)
    expect(studio.picture).to_be_visible()
    studio.button("Protect a region").click()
    expect(canvas).to_be_visible()
    studio.page.keyboard.press("Escape")
    expect(studio.picture).to_be_visible()


def test_another_seed_is_a_tab_and_the_first_stays(studio: Studio) -> None:
    studio.add("glasses")
    edited = studio.settle()
    seed = studio.root.get_by_label("Seed", exact=True)
    seed.fill("3, 4")
    seed.press("Enter")
    expect(studio.tabs).to_have_count(4)
    studio.until(lambda: studio.session.seeds == (3, 4))
    assert "glasses" in studio.session
    studio.settle()
    studio.tabs.first.click()
    studio.until(lambda: studio.exact() == edited)
    studio.root.get_by_role("button", name=re.compile("^Close “.*3, 4")).click()
    expect(studio.root.get_by_role("group", name="Sessions")).to_be_hidden()
    assert studio.session.seeds == (33,)


def test_a_seed_is_explored_and_kept(studio: Studio) -> None:
    studio.add("glasses")
    studio.settle()
    studio.button("Explore").click()
    explorer = studio.panel.view.explorer
    studio.until(lambda: all(one.image for one in explorer.cells) and len(explorer.cells) == 9)
    tiles = studio.root.locator(".sega-explorer")
    tiles.get_by_role("button", name=re.compile(r"^Seed \d")).first.click()
    tiles.get_by_role("button", name="Keep this one").click()
    studio.until(lambda: len(studio.panel.views) == 2)
    assert studio.session.seeds != (33,)
    assert "glasses" in studio.session
    expect(studio.picture).to_be_visible()


def test_a_session_is_saved_and_another_opened(
    studio: Studio, pipeline: Any, tmp_path: Path
) -> None:
    other = new_session(pipeline)
    other.add("beard", scale=4, threshold=0.95)
    other.save(tmp_path / "other.safetensors")
    studio.add("glasses")
    studio.settle()
    studio.page.keyboard.press("Control+s")
    studio.until((tmp_path / "a-portrait-of-a-person.safetensors").exists)
    studio.button("Open").click()
    gallery = studio.page.get_by_role("dialog")
    gallery.get_by_role("button", name=re.compile("^(Open )?.?other")).first.click()
    studio.until(lambda: len(studio.panel.views) == 2)
    studio.settle()
    assert [one.name for one in studio.session] == ["beard"]
    expect(studio.slider("beard")).to_be_visible()


def test_a_render_is_cancelled_and_the_panel_goes_on(
    stage: Stage, pipeline: Any, tmp_path: Path
) -> None:
    panel = EditPanel(new_session(pipeline, steps=400), folder=tmp_path)
    studio = Studio(stage, panel)
    stage.show(panel)
    studio.button("Cancel").click()
    expect(studio.progress).to_have_text("Stopped")
    studio.add("glasses")
    expect(studio.slider("glasses")).to_be_visible()
    expect(studio.button("Cancel")).to_be_visible()
    studio.button("Cancel").click()
    expect(studio.button("Render")).to_be_visible()
    panel.close()


def test_an_error_is_shown_until_the_next_action(studio: Studio) -> None:
    studio.add("glasses")
    expect(studio.slider("glasses")).to_be_visible()
    expect(studio.text).to_have_value("")
    studio.add("glasses")
    expect(studio.root.get_by_text("already in the list")).to_be_visible()
    expect(studio.text).to_have_value("glasses")
    studio.add("a beard")
    expect(studio.slider("a beard")).to_be_visible()


def test_two_panels_on_a_page_keep_their_keys(stage: Stage, pipeline: Any, tmp_path: Path) -> None:
    panels = [EditPanel(new_session(pipeline), folder=tmp_path) for _ in range(2)]
    studios = [Studio(stage, one) for one in panels]
    stage.show(Box(panels))
    for one in studios:
        one.add("glasses")
        one.settle()
    studios[0].slider("glasses").focus()
    stage.page.keyboard.press("Control+z")
    studios[0].until(lambda: not studios[0].session.concepts)
    assert studios[1].session.concepts
    for panel in panels:
        panel.close()


def test_the_keyboard_is_enough(studio: Studio) -> None:
    unedited = studio.pixels()
    studio.tab_to(studio.text)
    studio.page.keyboard.type("glasses")
    studio.page.keyboard.press("Enter")
    before = studio.rendered(unedited)
    studio.tab_to(studio.slider("glasses"))
    studio.page.keyboard.press("ArrowRight")
    studio.rendered(before)
    studio.tab_to(studio.button("Mask of glasses"))
    studio.page.keyboard.press("Enter")
    expect(studio.picture).to_be_hidden()
    studio.page.keyboard.press("Escape")
    expect(studio.picture).to_be_visible()
    studio.tab_to(studio.current)
    studio.page.keyboard.press("ArrowUp")
    studio.page.keyboard.press("Enter")
    studio.until(lambda: studio.session.history.current == 1)
    studio.tab_to(studio.button("Save"))


@pytest.fixture
def full(stage: Stage, pipeline: Any, tmp_path: Path) -> Iterator[Studio]:
    """Return a panel with twelve concepts and sixty entries, of which some are a branch."""
    session = new_session(pipeline)
    names = list(presets(pipeline).concepts)[:12]
    for name in names:
        session.add(name, scale=1, threshold=0.95)
    session.branch("all")
    session.checkout(4)
    for step in range(46):
        session.reweight(names[step % 4], 1 + step / 10)
    session.checkout("all")
    panel = EditPanel(session, folder=tmp_path)
    studio = Studio(stage, panel)
    stage.show(panel)
    studio.rendered()
    yield studio
    panel.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_is_accessible(studio: Studio, scheme: Any, width: int) -> None:
    for name in ("glasses", "smile"):
        studio.button(name).click()
        studio.settle()
    check_look(studio, scheme, width, "panel")


@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
def test_much_fits_too(full: Studio, scheme: Any, width: int) -> None:
    check_look(full, scheme, width, "panel-full")


@pytest.mark.parametrize("width", [WIDTHS[1]])
def test_a_batch_fits(stage: Stage, pipeline: Any, tmp_path: Path, scheme: Any, width: int) -> None:
    session = new_session(pipeline, seed=[33, 3, 4, 5, 6, 7])
    panel = EditPanel(session, folder=tmp_path)
    studio = Studio(stage, panel)
    stage.show(panel)
    studio.button("glasses").click()
    studio.settle()
    check_look(studio, scheme, width, "panel-batch")
    panel.close()


def check_look(studio: Studio, scheme: Any, width: int, name: str) -> None:
    """Check a panel's accessibility and that nothing is cut, and save a picture of it."""
    studio.page.emulate_media(color_scheme=scheme)
    studio.page.set_viewport_size({"width": width, "height": 900})
    studio.page.wait_for_timeout(100)
    studio.stage.picture(f"{name}-{scheme}-{width}")
    assert studio.stage.violations() == []
    assert studio.root.evaluate(CUT) == []
    assert studio.root.evaluate("panel => panel.scrollWidth - panel.clientWidth") <= 0
