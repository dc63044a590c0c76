"""Make the pictures of the panel in examples/: light, dark, and a drag as it happens.

    make .venv/installed-browser && .venv/bin/python tools/panel_pictures.py

Needs chromium, as `make test-browser` does. Takes two minutes on two cores.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright
from sega_widgets import EditPanel

from sega_session import EditSession, load_avatars, recommended

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.browser.conftest import ARGUMENTS  # noqa: E402
from tests.browser.stage import Stage  # noqa: E402

EXAMPLES = ROOT / "examples"
WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=980, height=560)
SCALES = (4, *(3.5 - n / 2 for n in range(8)), *[-0.5] * 8, *(n / 2 for n in range(19)), *[9] * 6)
"""The scales that the slider is dragged to, one a frame."""

REACH = 10
"""The scale at the slider's right end."""


def main() -> None:
    """Write panel.png, panel-dark.png and panel-drag.webp."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        page = chromium.new_page(viewport=WIDE, device_scale_factor=1)
        stage = Stage(page)
        with stage.open():
            panel = new_panel(pipeline)
            stage.show(panel)
            wait(page, panel)
            page.get_by_role("button", name="Strengths").click()
            wait(page, panel)
            page.mouse.move(0, 0)
            page.wait_for_timeout(300)
            page.screenshot(path=EXAMPLES / "panel.png")
            page.emulate_media(color_scheme="dark")
            page.wait_for_timeout(300)
            page.screenshot(path=EXAMPLES / "panel-dark.png")
            panel.close()
        page.close()
        page = chromium.new_page(viewport=NARROW, device_scale_factor=1)
        stage = Stage(page)
        with stage.open():
            panel = new_panel(pipeline)
            stage.show(panel)
            wait(page, panel)
            write_drag(page, panel)
            panel.close()


def new_panel(pipeline: Any) -> EditPanel:
    """Return a panel with a few edits and a branch."""
    session = EditSession(pipeline, "a portrait of a person", seed=33, guidance_scale=5)
    found = recommended(pipeline)
    assert found is not None
    presets = found.concepts
    for name in ("glasses", "beard"):
        session.add(name, **presets[name].arguments(session.num_calls))
    session.branch("with a beard")
    session.checkout(1)
    session.branch("main line")
    for name in ("smile", "blue hair"):
        session.add(name, **presets[name].arguments(session.num_calls))
    return EditPanel(session, folder=Path(tempfile.mkdtemp()))


def wait(page: Page, panel: EditPanel) -> None:
    """Wait until the panel has rendered everything that it shows."""
    page.wait_for_timeout(500)
    while not panel.view.worker.wait(0):
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)


def write_drag(page: Page, panel: EditPanel) -> None:
    """Drag a slider to and fro, and write what is seen with the time that each frame lasted."""
    slider = page.get_by_role("slider", name="glasses: scale", exact=True)
    box = slider.bounding_box()
    assert box is not None
    middle, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    handle = middle + SCALES[0] / REACH * box["width"] / 2
    frames, times = [], []

    def take() -> None:
        frames.append(Image.open(BytesIO(page.screenshot(type="png"))).convert("RGB"))
        times.append(time.monotonic())

    page.mouse.move(handle, y)
    take()
    page.mouse.down()
    for scale in SCALES:
        page.mouse.move(handle + (scale - SCALES[0]) / REACH * box["width"] / 2, y)
        page.wait_for_timeout(60)
        take()
    page.mouse.up()
    while not panel.view.worker.wait(0):
        page.wait_for_timeout(80)
        take()
    page.wait_for_timeout(300)
    take()
    times.append(times[-1] + 2.0)
    durations = [round(1000 * (b - a)) for a, b in pairwise(times)]
    frames[0].save(
        EXAMPLES / "panel-drag.webp",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=72,
        method=4,
    )


if __name__ == "__main__":
    main()
