"""Page objects: locators for the parts of the page, and the user's actions."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, ViewportSize, expect

from .servers import Server

PATIENCE = 60.0
"""Seconds to wait for anything on the page."""

SCREENSHOTS = Path(os.environ.get("BROWSER_SCREENSHOTS", ".browser-screenshots"))

SIZE = ViewportSize(width=1280, height=900)

# Voilà's page template requests icons there; the tests run without a network.
IGNORED_SOURCES = ("https://cdn.jsdelivr.net/npm/@fortawesome/",)
"""Prefixes of addresses whose failures are not errors of the panel."""

PIXELS = """image => {
    if (!image.complete) return "";
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""


class NotebookPage:
    """A notebook in a browser that shows one panel at a time."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.errors: list[str] = []
        self._panels = 0
        page.on("console", self._handle_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        # No test depends on the network.
        page.route(lambda url: not url.startswith(server.address), lambda route: route.abort())
        page.goto(server.url)
        if server.name == "lab":
            self._wait_for_kernel()
            self.command("application:toggle-left-area")
            self.run(0)

    def panel(self, kind: str = "New panel") -> PanelPage:
        """Open a new panel; a "Slow panel" has a session that renders for a long time."""
        self.page.get_by_role("button", name=kind).click()
        self._panels += 1
        panel = PanelPage(self.page, self.page.locator(f".panel-{self._panels}"))
        expect(panel.text).to_be_visible()
        return panel

    def cell(self, number: int) -> Locator:
        """Return a cell of the notebook, in Lab."""
        return self.page.locator(".jp-CodeCell").nth(number)

    def output(self, number: int) -> Locator:
        """Return the output of a cell, in Lab."""
        return self.cell(number).locator(".jp-OutputArea")

    def run(self, number: int) -> None:
        """Run a cell, in Lab."""
        self.cell(number).click()
        self.page.keyboard.press("Control+Enter")

    def command(self, name: str, **arguments: str) -> None:
        """Execute a command of Lab's menus."""
        self.page.evaluate(
            "([name, values]) => jupyterapp.commands.execute(name, values)", [name, arguments]
        )

    def restart(self) -> None:
        """Restart the kernel, in Lab."""
        # The command ends after its question.
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:restart-kernel'); }")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()

    def reopen(self) -> None:
        """Save the notebook, and load the page again, in Lab."""
        self._wait_for_kernel()
        self.command("docmanager:save")
        self.page.reload()
        self._wait_for_kernel()

    def theme(self, name: str) -> None:
        """Change the theme of Lab."""
        self.command("apputils:change-theme", theme=name)
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", name)
        # A splash screen covers the page meanwhile; changing again too early fails.
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def screenshot(self, name: str) -> None:
        """Save a screenshot of the window, replacing an older one."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def _wait_for_kernel(self) -> None:
        """Wait for Lab's kernel; keys pressed before it has started are lost."""
        expect(self.page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible()

    def _handle_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].startswith(IGNORED_SOURCES):
            self.errors.append(f"{message.text} ({message.location['url']})")


class PanelPage:
    """A panel on the page."""

    def __init__(self, page: Page, root: Locator) -> None:
        self.page = page
        self.root = root
        self.text = root.get_by_label("Add a concept", exact=True)
        self.progress = root.locator(".sega-progress-text")
        self.alert = root.locator(".sega-toast-error")
        self.name = root.get_by_label("Name of the session", exact=True)
        self.entries = root.get_by_role("treeitem")
        self.current = root.get_by_role("treeitem", selected=True)
        self.picture = root.locator(".sega-viewer")
        self.image = self.picture.get_by_role("img").first
        self.tabs = root.get_by_role("group", name="Sessions").get_by_role("button")

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def entry(self, label: str) -> Locator:
        """Return the row of a history entry, by its label."""
        return self.root.get_by_role("treeitem", name=label)

    def fit(self, width: int) -> None:
        """Set the window to a width, and to a height that shows the whole panel."""
        self.page.set_viewport_size({"width": width, "height": SIZE["height"]})
        box = self.root.bounding_box()
        assert box is not None
        # Lab takes up to 150 pixels above and below a notebook.
        height = max(SIZE["height"], int(box["height"]) + 150)
        self.page.set_viewport_size({"width": width, "height": height})
        self.root.evaluate("panel => panel.scrollIntoView()")

    def tab_to(self, control: Locator) -> None:
        """Press Tab until a control has the focus."""
        for _ in range(60):
            if control.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {control}")

    # Concepts.

    def add(self, name: str) -> None:
        """Add a concept by typing it."""
        self.text.fill(name)
        self.text.press("Enter")

    def slider(self, name: str) -> Locator:
        """Return the slider of a concept's scale."""
        return self.root.get_by_role("slider", name=f"{name}: scale", exact=True)

    def number(self, name: str) -> Locator:
        return self.root.get_by_label(f"{name}: scale, as a number", exact=True)

    @contextmanager
    def dragged(self, name: str) -> Iterator[Callable[[float], None]]:
        """Press the middle of a slider; yield a function that moves the pointer right by pixels."""
        slider = self.slider(name)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        try:
            yield lambda by: self.page.mouse.move(x + by, y)
        finally:
            self.page.mouse.up()

    # The image.

    def pixels(self) -> str:
        """Return the image as a data URL; "" while it is loading."""
        return self.pixels_of(self.image)

    @staticmethod
    def pixels_of(image: Locator) -> str:
        """Return the pixels of an image as a data URL; "" while it is loading."""
        pixels: str = image.evaluate(PIXELS)
        return pixels

    def exact(self) -> str:
        """Return the pixels if the image is exact and of the current state, else ""."""
        words = self.progress.inner_text().strip()
        return self.pixels() if words.startswith("Exact") else ""

    def rendered(self, before: str = "") -> str:
        """Wait for an exact image that differs from ``before``, and return its pixels."""
        self.until(lambda: self.exact() not in {"", before})
        return self.exact()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that `expect` does not offer."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(50)
