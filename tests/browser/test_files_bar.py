"""The session's name, how it is kept, and the gallery, on the stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import PIL.Image
import pytest
from playwright.sync_api import expect
from sega_widgets.files_bar import FilesBar
from sega_widgets.gallery import picture_path, saved_path
from sega_widgets.keeper import Keeper
from sega_widgets.loading import MODEL, Loading

from sega_session import EditSession
from sega_session.testing import FakeModel

from .stage import Stage


def new_session(prompt: str = "a cat") -> EditSession:
    return EditSession(FakeModel(), prompt, num_inference_steps=6)


class Bar:
    """A bar on the stage, what it saved, and what it was told to load."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.session = new_session()
        self.keeper = Keeper(self.session, folder)
        self.saved: list[str] = []
        self.loaded: list[str] = []
        self.widget = FilesBar(
            self.session,
            None,
            save=self._save,
            load=lambda path: self.loaded.append(path.name),
            folder=folder,
            keeper=self.keeper,
        )
        stage.show(self.widget)

    def _save(self, path: Path) -> str:
        self.saved.append(path.name)
        return str(self.session.save(path))


@pytest.fixture
def bar(stage: Stage, tmp_path: Path) -> Iterator[Bar]:
    for number, colour in enumerate(("indianred", "seagreen", "steelblue"), 1):
        new_session(f"a portrait of person {number}").save(saved_path(tmp_path, f"person {number}"))
        picture_path(tmp_path, "x").parent.mkdir(exist_ok=True)
        PIL.Image.new("RGB", (64, 64), colour).save(picture_path(tmp_path, f"person {number}"))
    bar = Bar(stage, tmp_path)
    yield bar
    bar.keeper.close()
    bar.widget.close()


def test_how_the_session_is_kept(stage: Stage, bar: Bar) -> None:
    status = stage.page.locator(".sega-files-status")
    expect(status).to_have_text("Kept from the next edit on")
    recent = stage.page.get_by_role("button", name="Go on with person")
    expect(recent).to_be_visible()
    bar.session.add("glasses", warmup=1)
    bar.widget.refresh()
    expect(status).to_have_text("Saved just now")
    expect(recent).to_be_hidden()
    bar.widget.kept = {**bar.widget.kept, "status": "failed", "why": "the disk is full"}
    expect(status).to_have_text("Not saved: the disk is full")


def test_the_newest_session_goes_on(stage: Stage, bar: Bar) -> None:
    recent = stage.page.get_by_role("button", name="Go on with person")
    recent.click()
    expect(recent).to_be_hidden()
    assert bar.loaded == [f"{name}.safetensors" for name in ("person 3",)]


def test_saving_by_keys(stage: Stage, bar: Bar) -> None:
    field = stage.page.get_by_label("Name of the session")
    field.fill("my cat")
    stage.page.keyboard.press("Control+s")
    expect(field).to_have_value("my cat")
    stage.page.wait_for_function("() => true")
    expect(stage.page.locator(".sega-files-status")).to_have_text("Saved just now")
    assert bar.widget.name == "my cat"


def test_the_gallery(
    stage: Stage, bar: Bar, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    page = stage.page
    page.emulate_media(color_scheme=scheme)
    page.get_by_role("button", name="Open", exact=True).click()
    gallery = page.get_by_role("dialog", name="Sessions")
    expect(gallery.get_by_role("listitem")).to_have_count(3)
    expect(gallery.locator("img:visible")).to_have_count(3)
    assert stage.violations() == []
    stage.picture(f"gallery-{scheme}")

    gallery.get_by_role("button", name="Rename person 1").click()
    field = gallery.get_by_label("New name of person 1")
    expect(field).to_be_focused()
    field.fill("the first")
    field.press("Enter")
    expect(gallery.get_by_text("the first", exact=True)).to_be_visible()
    assert saved_path(tmp_path, "the first").is_file()

    gallery.get_by_role("button", name="Delete person 2").click()
    sure = gallery.get_by_role("button", name="Delete?")
    expect(sure).to_be_focused()
    assert saved_path(tmp_path, "person 2").is_file()
    page.keyboard.press("Tab")  # leaving the question means no
    expect(sure).to_be_hidden()
    gallery.get_by_role("button", name="Delete person 2").click()
    sure.click()
    expect(gallery.get_by_role("listitem")).to_have_count(2)
    assert not saved_path(tmp_path, "person 2").exists()

    gallery.get_by_role("button", name="a portrait of person 3").click()
    expect(gallery).to_be_hidden()
    assert bar.loaded == ["person 3.safetensors"]


@pytest.mark.parametrize("width", [1200, 360])
def test_the_bar_at_a_width(
    stage: Stage, bar: Bar, width: int, scheme: Literal["light", "dark"]
) -> None:
    stage.page.emulate_media(color_scheme=scheme)
    stage.page.set_viewport_size({"width": width, "height": 500})
    assert stage.violations() == []
    overflow = stage.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    for name in ("Open", "Save", "Export script"):
        expect(stage.page.get_by_role("button", name=name, exact=True)).to_be_visible()
    stage.picture(f"files-{scheme}-{width}")


def test_what_is_loading(stage: Stage, scheme: Literal["light", "dark"]) -> None:
    stage.page.emulate_media(color_scheme=scheme)
    loading = Loading()
    stage.show(loading)
    step = stage.page.locator("[aria-current=step]")
    expect(step).to_have_text("Loading torch")
    loading.step = MODEL
    expect(step).to_have_text("Loading the model")
    assert loading.shown.is_set()
    assert stage.violations() == []
    stage.picture(f"loading-{scheme}")
    loading.error = "the checkpoint 'x' is not there"
    expect(stage.page.get_by_role("alert")).to_contain_text("the checkpoint 'x' is not there")
    expect(step).to_be_hidden()
    assert stage.violations() == []
    stage.picture(f"loading-error-{scheme}")
    loading.close()
