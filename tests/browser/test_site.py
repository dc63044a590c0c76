"""The documentation in a browser, as `make docs` built it: searched, on a phone, in the dark."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from .pages import SCREENSHOTS

HTML = Path(__file__).parents[2] / "docs" / "_build" / "html"

PAGES = ("index", "edits", "sega", "cache", "modes", "numbers", "api", "errors", "cli", "support")
NOTEBOOK = "tutorials/01_first_edit"


class Quiet(SimpleHTTPRequestHandler):
    """A handler of requests that logs none."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base names it
        """Log nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    assert (HTML / "index.html").exists(), "the site is missing: `make docs` builds it"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Return a page of a phone; the test fails if it asks another host, or reports an error."""
    page = browser.new_page(viewport={"width": 400, "height": 800})
    problems: list[str] = []
    page.on(
        "request",
        lambda one: None if one.url.startswith((address, "data:")) else problems.append(one.url),
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == []


def test_a_word_is_found(page: Page, address: str) -> None:
    page.goto(f"{address}/search.html?q=cooldown")
    # The results appear one after the other.
    expect(page.locator("ul.search a[href*='api.html']").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*PAGES, NOTEBOOK])
def test_a_page_fits_a_phone(
    page: Page, address: str, name: str, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{name}.html")
    page.screenshot(path=SCREENSHOTS / f"site-{Path(name).name}-{scheme}.png")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 400
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(one) for one in paper.strip("rgba()").split(",")[:3]]
    assert (sum(channels) > 3 * 128) == (scheme == "light")
