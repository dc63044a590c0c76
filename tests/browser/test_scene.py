"""The scene bar in a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect
from sega_widgets.guard import Guard
from sega_widgets.scene_bar import SceneBar

from sega_session import EditSession
from sega_session.testing import FakeModel

from ..widgets.fakes import Notes
from .stage import Stage

DROP = """({ kind, bytes, type, name }) => {
    const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([content], name, { type }));
    const options = { bubbles: true, cancelable: true, composed: true };
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: data, ...options })
        : new DragEvent(kind, { dataTransfer: data, ...options });
    document.querySelector(".sega-scene").dispatchEvent(event);
}"""


class Scene:
    """A scene bar on a stage, and what it began."""

    def __init__(self, stage: Stage, session: EditSession, **options: Any) -> None:
        self.page: Page = stage.page
        self.notes = Notes()
        self.begun: list[EditSession] = []
        self.bar = SceneBar(session, Guard(cast(Any, self.notes)), self.begun.append, **options)
        stage.show(self.bar)

    def drag(self, kind: str, name: str = "me.png") -> None:
        """Drag a photograph over the bar, drop it there, or paste it."""
        content = base64.b64encode(photo()).decode()
        self.page.evaluate(
            DROP, {"kind": kind, "bytes": content, "type": "image/png", "name": name}
        )

    def wait(self, check: Callable[[], bool]) -> None:
        """Let the page and the widget talk until something is so."""
        for _ in range(200):
            if check():
                return
            self.page.wait_for_timeout(20)
        assert check()

    @property
    def session(self) -> EditSession:
        self.wait(lambda: bool(self.begun))
        [found] = self.begun
        return found


def photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def session() -> EditSession:
    session = EditSession(FakeModel(), "a portrait", seed=7, num_inference_steps=6)
    session.add("hat")
    return session


@pytest.fixture
def scene(stage: Stage, session: EditSession) -> Scene:
    return Scene(stage, session, explore=lambda: None)


def test_enter_begins_an_image_with_the_edits(scene: Scene) -> None:
    generate = scene.page.get_by_role("button", name="Generate")
    expect(generate).to_have_class("sega-button")
    prompt = scene.page.get_by_label("Prompt", exact=True)
    prompt.fill("a dog")
    expect(generate).to_have_class("sega-button sega-primary")
    prompt.press("Enter")
    assert (scene.session.prompt, len(scene.session.concepts)) == ("a dog", 1)
    # Its own session is shown again, for when the user comes back to it.
    expect(prompt).to_have_value("a portrait")
    expect(generate).to_have_class("sega-button")


def test_settings_and_the_switch(scene: Scene) -> None:
    page = scene.page
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Negative prompt").fill("blurry")
    page.get_by_label("Steps").fill("4")
    page.get_by_label("Guidance scale").fill("3")
    page.get_by_label("Width").fill("32")
    page.get_by_role("switch", name="Keep edits").uncheck()
    page.get_by_label("Guidance scale").press("Enter")
    made = scene.session.scene
    assert (made.negative_prompt, made.num_inference_steps) == ("blurry", 4)
    assert (made.guidance_scale, made.width) == (3, 32)
    assert scene.session.concepts == ()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_seeds_are_checked_where_they_are_typed(scene: Scene) -> None:
    seeds = scene.page.get_by_role("textbox", name="Seed")
    seeds.fill("eight")
    seeds.press("Enter")
    message = scene.page.get_by_text("The seed must be a whole number, or several with commas.")
    expect(message).to_be_visible()
    expect(seeds).to_have_attribute("aria-invalid", "true")
    seeds.fill("8, 9")
    expect(message).to_be_hidden()
    seeds.press("Enter")
    assert scene.session.seeds == (8, 9)


def test_the_dice_begins_an_image_of_another_seed(scene: Scene) -> None:
    scene.page.get_by_role("button", name="New seed").click()
    assert scene.session.seeds != (7,)
    assert len(scene.session.concepts) == 1


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_photographs_are_dropped_and_pasted(scene: Scene, kind: str) -> None:
    scene.drag("dragover")
    veil = scene.page.get_by_text("Drop a photograph, or a PNG saved here")
    expect(veil).to_be_visible()
    scene.drag(kind)
    assert len(scene.session.photographs) == 1
    if kind == "drop":
        expect(veil).to_be_hidden()


def test_a_photograph_is_chosen(scene: Scene) -> None:
    chooser = scene.page.locator("input[type=file]")
    chooser.set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": photo()})
    assert len(scene.session.photographs) == 1


def test_a_large_file_is_sent_in_parts(scene: Scene) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    assert len(file.getvalue()) > 6_000_000
    chooser = scene.page.locator("input[type=file]")
    chooser.set_input_files({"name": "me.png", "mimeType": "image/png", "buffer": file.getvalue()})
    scene.wait(lambda: bool(scene.begun or scene.notes.errors))
    assert len(scene.session.photographs) == 1


def test_the_size_of_a_photograph_stays(stage: Stage) -> None:
    session = EditSession.from_photo(
        np.zeros((16, 16, 3), np.uint8), FakeModel(), num_inference_steps=4
    )
    scene = Scene(stage, session)
    expect(scene.page.get_by_role("button", name="Explore")).to_be_hidden()
    expect(scene.page.get_by_role("switch")).to_be_hidden()
    scene.page.get_by_role("button", name="Settings").click()
    expect(scene.page.get_by_label("Width")).to_be_disabled()
    expect(scene.page.get_by_text("A photograph keeps its size.")).to_be_visible()


@pytest.mark.parametrize("width", [1200, 700, 420, 300])
def test_it_fits_and_is_accessible(stage: Stage, scene: Scene, scheme: str, width: int) -> None:
    page = scene.page
    page.emulate_media(color_scheme=cast(Any, scheme))
    page.set_viewport_size(ViewportSize(width=width, height=700))
    page.get_by_label("Prompt", exact=True).fill("a dog")
    page.get_by_role("button", name="Settings").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert stage.violations() == []
    stage.picture(f"scene-{scheme}-{width}")
