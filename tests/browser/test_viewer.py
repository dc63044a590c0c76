"""The picture of a session in a browser: zoom, comparison, batches, downloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import PIL.Image
import pytest
from playwright.sync_api import FloatRect, Locator, expect
from sega_widgets import CompareView
from sega_widgets.images import ImageView
from sega_widgets.png import encode

from sega_session import EditSession

from ..widgets.fakes import Model, new_session
from .pages import PIXELS
from .stage import Stage

COLOURS = {"glasses": "#0072b2", "beard": "#d55e00"}


class Viewer:
    """A view on a stage that renders at once what it asks for."""

    def __init__(self, stage: Stage, session: EditSession) -> None:
        self.stage, self.page, self.session = stage, stage.page, session
        self.view = ImageView(session, rerender=self.render, colour=COLOURS.__getitem__)
        stage.show(self.view)
        self.place = self.page.locator(".sega-stage")
        self.image = self.place.locator(".sega-canvas .sega-picture-image")

    def render(self, mode: Any = "exact") -> None:
        self.view.show(self.session.render(mode))
        if (show := self.view.heat_maps()) is not None:
            show()
        if (state := self.view.missing_reference) is not None:
            self.view.show_reference(self.session.render(state=state))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def box(self, one: Locator | None = None) -> FloatRect:
        found = (one or self.image).bounding_box()
        assert found is not None
        return found


@pytest.fixture
def session(request: pytest.FixtureRequest) -> EditSession:
    """Return a session with a concept; of several seeds if the test is marked so."""
    session = new_session(Model(), **getattr(request, "param", {}))
    session.add("glasses", scale=9, warmup=1)
    return session


@pytest.fixture
def viewer(stage: Stage, session: EditSession) -> Viewer:
    return Viewer(stage, session)


batch = pytest.mark.parametrize("session", [{"seed": [3, 4, 5, 6, 7, 8]}], indirect=True)


def test_the_picture_is_large_and_nothing_moves_while_it_comes(viewer: Viewer) -> None:
    before = viewer.box(viewer.place)
    assert before["height"] >= 512
    expect(viewer.image).to_be_hidden()
    for mode in ("preview", "exact"):
        viewer.render(mode)
        expect(viewer.image).to_be_visible()
        assert viewer.box(viewer.place) == before
    # An image of 16 pixels is enlarged, and in the middle.
    image = viewer.box()
    assert image["width"] == image["height"] == before["height"]
    expect(viewer.image).to_have_attribute("alt", "a cat; glasses 9")


def test_an_approximate_image_is_marked_on_itself(viewer: Viewer) -> None:
    viewer.render()
    badge = viewer.page.locator(".sega-badges .sega-badge").first
    expect(viewer.image).to_be_visible()
    expect(badge).to_be_hidden()
    viewer.session.update("glasses", scale=3.0)
    viewer.view.refresh()
    expect(viewer.page.get_by_text("Earlier state")).to_be_visible()
    viewer.render("preview")
    expect(badge).to_contain_text("Rough preview")
    expect(badge).to_contain_text("% off")
    expect(viewer.page.get_by_text("Earlier state")).to_be_hidden()
    image, mark = viewer.box(), viewer.box(badge)
    assert image["x"] < mark["x"] < mark["x"] + mark["width"] < image["x"] + image["width"]
    viewer.render()
    expect(viewer.page.get_by_text("Rough preview")).to_be_hidden()


def test_zoom_by_buttons_keys_wheel_and_double_click(viewer: Viewer) -> None:
    viewer.render()
    expect(viewer.image).to_be_visible()
    fit = viewer.box()
    viewer.button("Zoom in").click()
    assert viewer.box()["width"] == pytest.approx(1.5 * fit["width"])
    viewer.button("Zoom out").click()
    assert viewer.box() == fit
    expect(viewer.button("Zoom out")).to_be_disabled()
    viewer.place.focus()
    viewer.page.keyboard.press("+")
    viewer.page.keyboard.press("+")
    wide = viewer.box()
    assert wide["width"] == pytest.approx(2.25 * fit["width"])
    viewer.page.keyboard.press("ArrowRight")
    assert viewer.box()["x"] < wide["x"]
    viewer.page.keyboard.press("0")
    assert viewer.box() == fit
    # The point under the pointer stays, where the image is larger than its place.
    x, y = fit["x"] + fit["width"] / 4, fit["y"] + fit["height"] / 4
    viewer.page.mouse.move(x, y)
    viewer.page.keyboard.down("Control")
    viewer.page.mouse.wheel(0, -300)
    viewer.page.keyboard.up("Control")
    viewer.page.wait_for_function(
        "([image, width]) => image.getBoundingClientRect().width > width + 1",
        arg=[viewer.image.element_handle(), fit["width"]],
    )
    near = viewer.box()
    assert (y - near["y"]) / near["height"] == pytest.approx(0.25, abs=0.01)
    # A drag moves the image.
    viewer.page.mouse.down()
    viewer.page.mouse.move(x - 40, y - 30, steps=4)
    viewer.page.mouse.up()
    assert viewer.box()["y"] == pytest.approx(near["y"] - 30, abs=1)
    viewer.page.mouse.dblclick(x, y)
    assert viewer.box() == fit
    viewer.page.mouse.dblclick(x, y)
    assert viewer.box()["width"] == pytest.approx(2 * fit["width"])
    viewer.button("Pixels").click()
    expect(viewer.image).to_have_css("image-rendering", "pixelated")
    viewer.place.press("p")
    expect(viewer.image).to_have_css("image-rendering", "auto")


def test_the_original_is_seen_while_a_key_or_the_button_is_held(viewer: Viewer) -> None:
    viewer.render()
    original = viewer.place.locator(".sega-canvas .sega-picture-reference")
    expect(viewer.image).to_be_visible()
    viewer.place.focus()
    for key in ("o", "\\"):
        viewer.page.keyboard.down(key)
        expect(original).to_be_visible()
        expect(viewer.image).to_be_hidden()
        expect(viewer.place.get_by_text("Unedited").last).to_be_visible()
        viewer.page.keyboard.up(key)
        expect(viewer.image).to_be_visible()
    root = viewer.session.history[0].state
    assert pixels(original) == pixels_of(viewer.session.render(state=root).image, viewer)
    eye = viewer.box(viewer.button("Hold to see the original"))
    viewer.page.mouse.move(eye["x"] + 5, eye["y"] + 5)
    viewer.page.mouse.down()
    expect(viewer.image).to_be_hidden()
    viewer.page.mouse.up()
    expect(viewer.image).to_be_visible()


def test_a_comparison_is_dragged_stepped_and_flipped(viewer: Viewer) -> None:
    viewer.render()
    viewer.button("Compare").click()
    handle = viewer.page.get_by_role("slider", name="Unedited or Current")
    expect(handle).to_have_value("0.5")
    box = viewer.box()

    def shown() -> str:
        return str(viewer.image.evaluate("one => getComputedStyle(one).clipPath"))

    assert shown() == "inset(0px 0px 0px 50%)"
    viewer.page.mouse.move(box["x"] + 100, box["y"] + 100)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 120, steps=3)
    viewer.page.mouse.up()
    expect(handle).to_have_value("0.25")
    assert shown() == "inset(0px 0px 0px 25%)"
    handle.press("ArrowRight")
    expect(handle).to_have_value("0.26")
    viewer.button("Flip").click()
    expect(handle).to_have_value("1")
    viewer.place.press("x")
    expect(handle).to_have_value("0")
    expect(handle).to_have_attribute("aria-valuetext", "0% Unedited")
    # On a zoomed image the handle divides what is seen, and a drag beside it moves the image.
    viewer.place.press("x")
    for _ in range(2):
        viewer.button("Zoom in").click()
    handle.press("Home")
    assert shown() != "inset(0px 0px 0px 0%)"
    viewer.view.compare_with(viewer.session.state, "the same")
    expect(viewer.page.get_by_role("slider", name="the same or Current")).to_be_attached()


def test_a_heat_map_is_chosen_on_the_picture(viewer: Viewer) -> None:
    viewer.session.add("beard", warmup=1)
    viewer.view.refresh()
    viewer.render()
    expect(viewer.image).to_be_visible()
    before = pixels(viewer.image)
    viewer.button("Where").click()
    choice = viewer.page.get_by_role("combobox")
    expect(choice).to_have_value("glasses")
    expect(viewer.image).to_have_attribute("alt", re.compile("where “glasses” acts"))
    glasses = pixels(viewer.image)
    choice.select_option("beard")
    expect(viewer.image).to_have_attribute("alt", re.compile("where “beard” acts"))
    assert len({before, glasses, pixels(viewer.image)}) == 3
    viewer.session.undo()
    viewer.view.refresh()
    expect(choice).to_have_value("glasses")
    viewer.session.update("glasses", scale=3.0)
    viewer.render("preview")
    expect(viewer.page.get_by_text("Shown once the image is exact")).to_be_visible()


@batch
def test_a_batch_is_walked_through_with_keys(viewer: Viewer) -> None:
    viewer.render("preview")
    tiles = viewer.page.locator(".sega-tile")
    expect(tiles).to_have_count(6)
    viewer.button("Where").click()
    expect(viewer.page.get_by_role("combobox")).to_have_value("glasses")
    viewer.session.update("glasses", scale=3.0)
    viewer.view.refresh()
    expect(tiles.first.get_by_text("Earlier")).to_be_visible()
    place = viewer.box(viewer.place)
    for one in tiles.all():
        box = viewer.box(one)
        assert place["x"] <= box["x"]
        assert box["y"] + box["height"] <= place["y"] + place["height"]
    tiles.first.focus()
    viewer.page.keyboard.press("ArrowRight")
    expect(tiles.nth(1)).to_be_focused()
    viewer.page.keyboard.press("Enter")
    expect(viewer.place).to_be_focused()
    expect(viewer.page.get_by_text("2 of 6")).to_be_visible()
    assert viewer.box(viewer.place) == place
    viewer.page.keyboard.press("ArrowRight")
    expect(viewer.page.get_by_text("3 of 6")).to_be_visible()
    expect(viewer.image).to_have_attribute("alt", viewer.view.captions[0]["alt"])
    viewer.page.keyboard.press("Escape")
    expect(tiles.nth(2)).to_be_focused()
    viewer.button("Compare").click()
    expect(viewer.page.get_by_role("slider")).to_be_attached()
    viewer.button("All").click()
    expect(tiles.nth(0)).to_be_visible()


def test_an_image_is_downloaded_in_one_click(viewer: Viewer, tmp_path: Path) -> None:
    viewer.render()
    with viewer.page.expect_download() as found:
        viewer.button("Download").click()
    assert found.value.suggested_filename == "a-cat-seed-0.png"
    found.value.save_as(tmp_path / "image.png")
    with PIL.Image.open(tmp_path / "image.png") as image:
        assert "sega_session" in image.info
    expect(viewer.button("Download")).to_be_enabled()


@batch
@pytest.mark.parametrize(
    ("item", "check"),
    [
        ("All images (ZIP)", lambda data: len(ZipFile(BytesIO(data)).namelist()) == 6),
        ("Contact sheet", lambda data: PIL.Image.open(BytesIO(data)).format == "PNG"),
    ],
)
def test_a_batch_is_downloaded(
    viewer: Viewer, tmp_path: Path, item: str, check: Callable[[bytes], bool]
) -> None:
    viewer.render()
    viewer.button("Download").click()
    expect(viewer.button("This image (PNG)")).to_be_hidden()
    with viewer.page.expect_download() as found:
        viewer.button(item).click()
    found.value.save_as(tmp_path / "file")
    assert check((tmp_path / "file").read_bytes())


def test_full_screen_and_back(viewer: Viewer) -> None:
    viewer.render()
    full = viewer.button("Full screen")
    full.click()
    expect(full).to_have_attribute("aria-pressed", "true")
    assert viewer.page.evaluate("document.fullscreenElement.className").count("sega-viewer")
    viewer.place.press("f")
    expect(full).to_have_attribute("aria-pressed", "false")


@batch
def test_it_is_accessible_and_beautiful(viewer: Viewer, scheme: Any) -> None:
    viewer.page.emulate_media(color_scheme=scheme)
    assert viewer.stage.violations() == []
    viewer.session.render()
    viewer.session.update("glasses", scale=3.0)
    viewer.view.refresh()
    viewer.render("preview")
    expect(viewer.page.locator(".sega-tile .sega-picture-image").first).to_be_visible()
    assert viewer.stage.violations() == []
    expect(viewer.page.locator(".sega-tile .sega-badge").first).to_have_text("Rough")
    viewer.stage.picture(f"viewer-batch-{scheme}")
    viewer.page.locator(".sega-tile").nth(1).click()
    for look in ("Compare", "Where"):
        viewer.button(look).click()
        viewer.page.wait_for_timeout(200)
        assert viewer.stage.violations() == []
        viewer.stage.picture(f"viewer-{look.lower()}-{scheme}")
    viewer.page.set_viewport_size({"width": 360, "height": 740})
    viewer.button("Download").click()
    assert viewer.stage.violations() == []
    viewer.stage.picture(f"viewer-narrow-{scheme}")
    assert viewer.page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_comparison_alone_has_a_handle(stage: Stage, session: EditSession) -> None:
    pngs = [encode(session.render(state=one.state).image) for one in session.history]
    compared = CompareView(before=pngs[0], after=pngs[1], before_label="a", after_label="b")
    stage.page.set_viewport_size({"width": 600, "height": 700})
    stage.show(compared)
    handle = stage.page.get_by_role("slider", name="a or b")
    handle.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuetext", "49% a")
    stage.page.wait_for_timeout(200)
    assert compared.position == pytest.approx(0.49)
    compared.position = 0.25
    expect(handle).to_have_value("0.25")
    box = stage.page.locator(".sega-compare-images").bounding_box()
    assert box is not None
    stage.page.mouse.move(box["x"] + 10, box["y"] + 10)
    stage.page.mouse.down()
    stage.page.mouse.move(box["x"] + box["width"] + 10, box["y"] + 10, steps=3)
    stage.page.mouse.up()
    expect(handle).to_have_value("1")
    stage.page.wait_for_timeout(200)
    assert compared.position == 1
    assert stage.violations() == []


def pixels(image: Locator) -> str:
    """Return the pixels of an image on the page, as a text."""
    found: str = image.evaluate(PIXELS)
    return found


def pixels_of(image: PIL.Image.Image, viewer: Viewer) -> str:
    """Return the pixels of an image as the page has them, as a text."""
    found: str = viewer.page.evaluate(
        f"""async bytes => {{
            const image = new Image();
            image.src = URL.createObjectURL(new Blob([new Uint8Array(bytes)]));
            await image.decode();
            return ({PIXELS})(image);
        }}""",
        [*encode(image)],
    )
    return found
