"""The mask editor in a browser: brush, eraser, box, edges, keys, and what it does to the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Locator, expect
from sega_widgets.mask_editor import MaskEditor
from sega_widgets.png import encode

from sega_session import EditSession, Render, load_avatars
from sega_session.testing import FakeModel

from .stage import Stage

SIDE = 128
"""Height and width of the images, in pixels."""

COLOUR = "#d55e00"


class Page:
    """A mask editor on a stage.

    Attributes:
        picture: what is painted on.
    """

    def __init__(self, stage: Stage, session: EditSession | None = None) -> None:
        self.stage = stage
        if session is None:
            session = EditSession(
                FakeModel(), "a cat", height=SIDE, width=SIDE, num_inference_steps=6
            )
            session.add("glasses", warmup=1)
        self.session = session
        self.render: Render | None = None
        self.edits: list[bool] = []
        self.widget = MaskEditor(
            session,
            None,
            self.edits.append,
            lambda: None,
            render=lambda: self.render,
            colour=lambda _: COLOUR,
        )
        stage.show(self.widget)
        self.picture = stage.page.get_by_role("application")

    def open(self, name: str | None = "glasses") -> None:
        self.widget.edit(name)
        expect(self.picture).to_be_focused()

    def button(self, name: str) -> Locator:
        return self.stage.page.get_by_role("button", name=name, exact=True)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return a place of the picture, in fractions of it, as a place of the page."""
        self.picture.scroll_into_view_if_needed()
        box = self.picture.bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    @contextmanager
    def pressed(self, x: float, y: float, button: Any = "left") -> Iterator[None]:
        mouse = self.stage.page.mouse
        mouse.move(*self.place(x, y))
        mouse.down(button=button)
        yield
        mouse.up(button=button)

    def drag(self, *places: tuple[float, float], button: Any = "left") -> None:
        with self.pressed(*places[0], button=button):
            for x, y in places[1:]:
                self.stage.page.mouse.move(*self.place(x, y), steps=8)

    def set_slider(self, name: str, value: float) -> None:
        self.stage.page.get_by_role("slider", name=name, exact=True).fill(f"{value}")

    def applied(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Apply; return the mask, and open it again."""
        name = self.widget.region["name"]
        self.button("Apply").click()
        expect(self.picture).to_be_hidden()
        self.open(name)
        values = np.frombuffer(self.widget.region["mask"], np.uint8)
        return values.reshape(self.session.size)


@pytest.fixture
def page(stage: Stage) -> Page:
    return Page(stage)


def test_a_stroke_is_painted_where_the_pointer_went(page: Page) -> None:
    page.open()
    expect(page.button("Apply")).to_be_disabled()
    expect(page.stage.page.get_by_text("Nothing is painted: paint where “glasses”")).to_be_visible()
    page.drag((0.25, 0.5), (0.75, 0.5))
    expect(page.stage.page.get_by_text(re.compile(r"^\d+% of the image$"))).to_be_visible()
    values = page.applied()
    assert len(page.session.history) == 3
    assert page.edits == [False]
    middle = SIDE // 2
    assert (values[middle, SIDE // 4 : 3 * SIDE // 4] == 255).all()
    assert not values[: SIDE // 4].any()
    assert not values[:, : SIDE // 8].any()
    # Its edge is soft.
    assert len(np.unique(values[:, middle])) > 6


def test_fast_moves_make_curves_not_corners(page: Page) -> None:
    page.open()
    page.set_slider("Size", 0.3)
    corners = [(0.8, 0.5), (0.5, 0.8), (0.2, 0.5), (0.5, 0.2), (0.8, 0.5)]
    with page.pressed(*corners[0]):
        for x, y in corners[1:]:
            page.stage.page.mouse.move(*page.place(x, y))
    values = page.applied()
    # Apart from its ends, at the right, the line stays inside the corners.
    rows, columns = np.nonzero(values[:, : SIDE // 2] > 127)
    away = np.hypot(rows + 0.5 - SIDE / 2, columns + 0.5 - SIDE / 2) / SIDE
    assert 0.18 < away.min() < away.max() < 0.29


@pytest.mark.parametrize("how", ["eraser", "alt", "right button"])
def test_three_ways_to_erase(page: Page, how: str) -> None:
    page.open()
    page.button("Fill").click()
    keyboard = page.stage.page.keyboard
    if how == "eraser":
        page.picture.press("e")
        expect(page.button("Eraser")).to_have_attribute("aria-pressed", "true")
    if how == "alt":
        keyboard.down("Alt")
    page.drag((0.3, 0.5), (0.7, 0.5), button="right" if how == "right button" else "left")
    keyboard.up("Alt")
    values = page.applied()
    assert not values[SIDE // 2, SIDE // 3 : 2 * SIDE // 3].any()
    assert (values[0] == 255).all()


def test_undo_and_redo_while_painting(page: Page) -> None:
    page.open()
    expect(page.button("Undo")).to_be_disabled()
    page.drag((0.2, 0.2), (0.8, 0.2))
    page.drag((0.2, 0.8), (0.8, 0.8))
    page.picture.press("Control+z")
    expect(page.button("Redo")).to_be_enabled()
    values = page.applied()
    assert values[SIDE // 5].any()
    assert not values[4 * SIDE // 5].any()
    page.button("Invert").click()
    page.button("Undo").click()
    page.picture.press("Control+Shift+z")
    assert np.array_equal(page.applied(), 255 - values)
    # Neither moved the session's history.
    assert len(page.session.history) == 4


def test_a_box_is_dragged(page: Page) -> None:
    page.open()
    page.picture.press("m")
    page.drag((0.75, 0.5), (0.25, 0.25))
    page.drag((0.5, 0.25), (0.6, 0.5), button="right")
    values = page.applied()
    rows, columns = values[SIDE // 4 + 2 : SIDE // 2 - 2], slice(SIDE // 4 + 2, SIDE // 2 - 2)
    assert (rows[:, columns] == 255).all()
    assert not rows[:, SIDE // 2 + 2 : int(0.6 * SIDE) - 2].any()
    assert not values[: SIDE // 4 - 2].any()


def test_everything_by_keyboard(page: Page) -> None:
    page.open()
    keyboard = page.stage.page.keyboard
    page.button("Box").focus()
    keyboard.press("Enter")
    page.button("Give its sides").focus()
    keyboard.press("Enter")
    for side in ("50", "0", "100", "50"):
        keyboard.press("Control+a")
        keyboard.type(side)
        keyboard.press("Tab")
    # Past "Erase", to "Paint".
    keyboard.press("Tab")
    expect(page.button("Paint")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Escape")
    expect(page.button("Give its sides")).to_be_focused()
    expect(page.stage.page.get_by_text("25% of the image")).to_be_visible()
    page.button("Apply").focus()
    keyboard.press("Enter")
    expect(page.picture).to_be_hidden()
    assert page.session["glasses"].mask is not None
    other = EditSession(FakeModel(), "a cat", height=SIDE, width=SIDE, num_inference_steps=6)
    other.add("glasses", warmup=1, mask=(0.5, 0, 1, 0.5))
    assert page.session["glasses"].mask == other["glasses"].mask


def test_the_brush_is_changed_by_keys(page: Page) -> None:
    page.open()
    size = page.stage.page.get_by_role("slider", name="Size")
    softness = page.stage.page.get_by_role("slider", name="Softness")
    before = float(size.input_value())
    page.picture.press("]")
    assert float(size.input_value()) > before
    page.picture.press("[")
    page.picture.press("[")
    assert float(size.input_value()) < before
    expect(softness).to_have_attribute("aria-valuetext", "50%")
    page.picture.press("}")
    expect(softness).to_have_attribute("aria-valuetext", "60%")


def test_escape_asks_before_strokes_are_lost(page: Page) -> None:
    page.open()
    page.drag((0.2, 0.2), (0.8, 0.2))
    page.picture.press("Escape")
    expect(page.stage.page.get_by_text("Press Escape again")).to_be_visible()
    # Painting on takes it back.
    page.drag((0.2, 0.6), (0.8, 0.6))
    expect(page.stage.page.get_by_text("Press Escape again")).to_be_hidden()
    page.picture.press("Escape")
    expect(page.picture).to_be_visible()
    page.picture.press("Escape")
    expect(page.picture).to_be_hidden()
    assert page.session["glasses"].mask is None
    assert page.widget.region == {}
    page.open()
    page.picture.press("Escape")
    expect(page.picture).to_be_hidden()


def test_escape_takes_back_the_stroke_that_is_drawn(page: Page) -> None:
    page.open()
    with page.pressed(0.5, 0.5):
        page.stage.page.mouse.move(*page.place(0.7, 0.7), steps=4)
        page.stage.page.keyboard.press("Escape")
    expect(page.picture).to_be_visible()
    expect(page.button("Undo")).to_be_disabled()
    expect(page.button("Apply")).to_be_disabled()


def test_protecting(page: Page) -> None:
    page.open(None)
    expect(page.stage.page.get_by_role("heading", name="What must not change")).to_be_visible()
    expect(page.button("Heat map")).to_be_hidden()
    expect(page.button("Remove mask")).to_be_hidden()
    page.button("Fill").click()
    expect(page.button("Apply")).to_be_disabled()
    expect(page.stage.page.get_by_text("Leave a part unpainted")).to_be_visible()
    page.button("Clear").click()
    page.drag((0.25, 0.5), (0.75, 0.5))
    page.applied()
    region = page.session.state.region
    assert region is not None
    assert 0.5 < region.share < 1
    page.button("Remove mask").click()
    expect(page.picture).to_be_hidden()
    assert page.session.state.region is None


def test_edges(page: Page) -> None:
    page.session.update("glasses", mask=(0.25, 0.25, 0.75, 0.75))
    page.open()
    page.button("Edges").click()
    page.set_slider("By", 8)
    page.button("Grow").click()
    grown = page.applied()
    quarter, half = SIDE // 4, SIDE // 2
    assert (grown[half, quarter - 8 : 3 * quarter + 8] == 255).all()
    assert not grown[half, : quarter - 8].any()
    page.button("Edges").click()
    page.button("Shrink").click()
    page.button("Feather").click()
    values = page.applied()[half].astype(int)
    assert 0 < values[quarter] < 255
    assert values[half] == 255
    assert (np.diff(values[:half]) >= 0).all()


def test_thin_strokes_are_warned_of(page: Page) -> None:
    warning = page.stage.page.get_by_text("Thin strokes act weakly: the model sees squares of 8")
    page.widget.close()
    session = EditSession(load_avatars(), "a person", num_inference_steps=2)
    session.add("glasses", warmup=0)
    page = Page(page.stage, session)
    page.open()
    page.set_slider("Size", 0.1)
    page.drag((0.2, 0.52), (0.8, 0.52))
    expect(warning).to_be_visible()
    page.button("Clear").click()
    page.set_slider("Size", 0.7)
    page.drag((0.2, 0.5), (0.8, 0.5))
    expect(warning).to_be_hidden()


def test_a_mask_grows_from_the_heat_map(page: Page) -> None:
    page.open()
    page.button("Heat map").click()
    expect(page.stage.page.get_by_text("known once its exact image is rendered")).to_be_visible()
    page.drag((0.1, 0.9), (0.3, 0.9))
    page.render = page.session.render()
    page.button("Heat map").click()
    # It cannot be pressed again before the answer.
    expect(page.button("Heat map")).to_be_enabled()
    values = page.applied()
    heat = page.session.heat_mask(page.render, "glasses")[0]
    rough = values.reshape(heat.shape[0], 2, heat.shape[1], 2).mean(axis=(1, 3))
    assert (rough[heat] > 127).all()
    # The stroke before is still there.
    assert values[int(0.9 * SIDE), int(0.2 * SIDE)] == 255


def test_a_finger_and_a_pen(page: Page) -> None:
    page.open()
    page.set_slider("Softness", 0)
    devtools = page.stage.page.context.new_cdp_session(page.stage.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [dict(zip("xy", page.place(x, y), strict=True)) for x, y in places]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (0.2, 0.2))
    touch("touchMove", (0.5, 0.2))
    touch("touchMove", (0.8, 0.2))
    touch("touchEnd")
    for force, y in ((0.1, 0.5), (1.0, 0.8)):
        for kind, x in (
            ("mousePressed", 0.2),
            ("mouseMoved", 0.5),
            ("mouseMoved", 0.8),
            ("mouseReleased", 0.8),
        ):
            pen: dict[str, object] = dict(zip("xy", page.place(x, y), strict=True))
            pen |= {"type": kind, "button": "left", "buttons": 1, "clickCount": 1}
            pen |= {"pointerType": "pen", "force": force}
            devtools.send("Input.dispatchMouseEvent", pen)
    column = page.applied()[:, SIDE // 2] > 127
    finger, light, firm = (part.sum() for part in np.array_split(column, [44, 84]))
    assert finger > 15
    assert 2 < light < 0.6 * firm


def test_strokes_survive_a_look_at_another_region(page: Page) -> None:
    page.open()
    page.drag((0.25, 0.5), (0.75, 0.5))
    page.open(None)
    expect(page.button("Undo")).to_be_disabled()
    page.open()
    expect(page.stage.page.get_by_text("This is what you painted before.")).to_be_visible()
    assert page.applied()[SIDE // 2, SIDE // 2] == 255
    # Once they are back, they are an edit like any other, which cancelling takes back.
    page.drag((0.25, 0.8), (0.75, 0.8))
    page.button("Cancel").click()
    expect(page.picture).to_be_hidden()
    page.open()
    expect(page.button("Undo")).to_be_disabled()


def test_the_focus_goes_back_to_where_it_was(page: Page) -> None:
    page.stage.page.evaluate("""() => {
        const button = document.createElement("button");
        button.textContent = "Mask";
        document.body.append(button);
        button.focus();
    }""")
    page.open()
    page.picture.press("Escape")
    expect(page.button("Mask")).to_be_focused()


@pytest.mark.parametrize("width", [1200, 420, 300])
def test_it_is_accessible_and_fits(page: Page, scheme: Any, width: int) -> None:
    browser_page = page.stage.page
    browser_page.emulate_media(color_scheme=scheme)
    browser_page.set_viewport_size({"width": width, "height": 900})
    page.session.update("glasses", mask=(0.2, 0.3, 0.8, 0.6))
    page.widget.show(encode(Image.radial_gradient("L").resize((SIDE, SIDE)).convert("RGB")))
    for name in ("glasses", None):
        page.open(name)
        assert page.stage.violations() == []
        page.stage.picture(f"mask-{name or 'protect'}-{scheme}-{width}")
        page.button("Box").click()
        for opener in ("Edges", "Give its sides"):
            page.button(opener).click()
            assert page.stage.violations() == []
            box = browser_page.get_by_role("dialog").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            page.button(opener).press("Escape")
        assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
        page.button("Cancel").click()


def test_nothing_moves_when_the_tool_changes(page: Page) -> None:
    page.open()
    for width in (1200, 420, 300):
        page.stage.page.set_viewport_size({"width": width, "height": 900})
        before = page.picture.bounding_box()
        for tool in ("Eraser", "Box", "Brush"):
            page.button(tool).click()
            assert page.picture.bounding_box() == before


def test_an_edit_stays_out_of_what_was_painted(stage: Stage) -> None:
    session = EditSession(
        load_avatars(), "a portrait of a person", seed=33, guidance_scale=5, num_inference_steps=10
    )
    session.add("hat", scale=6, threshold=0.8, warmup=2)
    page = Page(stage, session)
    page.open(None)
    page.button("Fill").click()
    page.button("Eraser").click()
    page.set_slider("Size", 0.85)
    page.drag((0.1, 0.15), (0.9, 0.15))
    protected = page.applied()
    unedited = session.render(state=session.history[0].state)
    free = session.render(state=session.history[1].state)
    masked = session.render()
    rows, columns = session.latents_shape[2:]
    cells = protected.reshape(rows, SIDE // rows, columns, SIDE // columns)
    kept = torch.from_numpy((cells == 255).all(axis=(1, 3)))
    assert 0.3 < kept.float().mean() < 0.9
    assert torch.equal(masked.latents[..., kept], unedited.latents[..., kept])
    assert not torch.allclose(masked.latents[..., ~kept], unedited.latents[..., ~kept], atol=0.1)
    # The decoder sees a little beyond the edge.
    below = slice(SIDE // 2 + 16, SIDE)
    assert psnr(unedited, masked, below) > 42
    assert psnr(unedited, free, below) < 20


def psnr(one: Render, other: Render, rows: slice) -> float:
    """Return how close two images are in these rows, in dB."""
    first, second = (np.asarray(render.image, float)[rows] for render in (one, other))
    error = float(np.mean((first - second) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
