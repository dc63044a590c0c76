"""The page of `sega-session app`: its kernels, its first paint, and that nothing is lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, expect

from .app import App, running_app
from .pages import PATIENCE, SCREENSHOTS, SIZE

RELOADS = 5

STEP = "[aria-current=step]:visible"
"""The step of loading that is shown: by the page at first, then by a widget in its place."""

# The last step may be too short for a test to see it.
NOTE_STEPS = """
window.steps = [];
const note = () => {
    const now = [...document.querySelectorAll("[aria-current=step]")]
        .find((one) => one.checkVisibility())?.textContent;
    if (now && now !== steps.at(-1)) steps.push(now);
    requestAnimationFrame(note);
};
note();
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(tmp_path_factory.mktemp("app")) as app:
        yield app


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, app: App) -> Iterator[Page]:
    """Return a page with a panel on a new session; the test fails if the page reports an error."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    open_page(page, app)
    yield page
    assert errors == []


def open_page(page: Page, app: App) -> None:
    page.goto(app.url)
    expect(name_of(page)).to_be_visible()


def name_of(page: Page) -> Locator:
    """Return the field of the session's name, which is there when the panel is."""
    return page.get_by_label("Name of the session")


def edit(page: Page, concept: str) -> None:
    """Make an edit, and wait until it is kept."""
    field = page.get_by_label("Add a concept", exact=True)
    field.fill(concept)
    field.press("Enter")
    expect(page.get_by_text("Saved just now")).to_be_visible()


def expect_concept(page: Page, name: str) -> None:
    expect(page.get_by_role("slider", name=f"{name}: scale", exact=True)).to_be_visible()


def test_reloads_leave_no_kernels(page: Page, app: App) -> None:
    app.wait_for_kernels(1)
    for _ in range(RELOADS):
        page.reload()
        expect(name_of(page)).to_be_visible()
        assert len(app.kernels()) <= 2
    app.wait_for_kernels(1)
    page.close()
    app.wait_for_kernels(0)


def test_reloads_while_loading_leave_no_kernels(context: BrowserContext, app: App) -> None:
    page = context.new_page()
    for _ in range(RELOADS):
        page.goto(app.url, wait_until="commit")
        expect(page.locator(STEP, has_text="Loading torch")).to_be_visible()
    page.close(run_before_unload=True)  # as a user does; the page tells the server so
    app.wait_for_kernels(0)


def test_a_kernel_that_renders_ends_with_its_page(page: Page, app: App) -> None:
    edit(page, "glasses")
    edit(page, "beard")
    page.close()
    app.wait_for_kernels(0)


def test_what_is_loading_is_shown_at_once(context: BrowserContext, app: App) -> None:
    page = context.new_page()
    page.add_init_script(NOTE_STEPS)
    page.goto(app.url, wait_until="commit")
    expect(page.locator(STEP, has_text="Loading torch")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "page-loading.png")
    expect(page).to_have_title("SEGA Studio")
    expect(name_of(page)).to_be_visible()
    expect(page.locator(STEP)).to_have_count(0)
    assert page.evaluate("steps") == ["Starting Python", "Loading torch", "Loading the model"]


def test_an_error_is_shown_in_words(
    context: BrowserContext, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    with running_app(tmp_path, "--model", "no-such/checkpoint-here") as app:
        page = context.new_page()
        page.emulate_media(color_scheme=scheme)
        page.goto(app.url)
        alert = page.locator(".sega-loading").get_by_role("alert")
        expect(alert).to_contain_text("no-such/checkpoint-here")
        expect(alert.get_by_role("button", name="Try again")).to_be_visible()
        page.screenshot(path=SCREENSHOTS / f"page-error-{scheme}.png")


def test_no_request_leaves_this_machine(context: BrowserContext, app: App) -> None:
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, app)
    edit(page, "glasses")
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(app.url).netloc}


def test_the_page_follows_the_browser_s_scheme(
    page: Page, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 23, 28)"}[scheme]
    part = page.locator(".sega-files").evaluate("part => getComputedStyle(part).color")
    assert part == {"light": "rgb(27, 29, 34)", "dark": "rgb(232, 234, 238)"}[scheme]
    width = page.locator(".sega-panel").evaluate("part => part.getBoundingClientRect().width")
    assert width > SIZE["width"] - 60
    page.screenshot(path=SCREENSHOTS / f"page-{scheme}.png", full_page=True)


def test_a_reload_goes_on(page: Page) -> None:
    edit(page, "glasses")
    name = name_of(page).input_value()
    assert f"session={name}" in page.url
    page.reload()
    expect(name_of(page)).to_have_value(name)
    expect_concept(page, "glasses")


def test_a_renamed_session_goes_on(page: Page) -> None:
    edit(page, "glasses")
    name_of(page).fill("my edit")
    name_of(page).press("Enter")
    expect(page).to_have_url(re.compile(r"session=my\+edit"))
    page.reload()
    expect(name_of(page)).to_have_value("my edit")
    expect_concept(page, "glasses")


def test_a_crashed_kernel_goes_on(page: Page, app: App) -> None:
    edit(page, "glasses")
    (kernel,) = app.kernels()
    kernel.kill()
    notice = page.get_by_text("Python has ended. Your edits are kept.")
    expect(notice).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "page-ended.png")
    page.get_by_role("button", name="Go on").last.click()
    expect(notice).to_be_hidden()
    expect_concept(page, "glasses")


def test_a_second_tab_edits_a_copy(page: Page, context: BrowserContext, app: App) -> None:
    edit(page, "glasses")
    name = name_of(page).input_value()
    path = app.folder / "sega-session" / f"{name}.safetensors"
    second = context.new_page()
    second.goto(page.url)
    expect(second.get_by_text(f"A copy: {name} is open elsewhere")).to_be_visible()
    before = path.read_bytes()
    edit(second, "beard")
    expect_concept(second, "glasses")
    assert name_of(second).input_value() != name
    assert path.read_bytes() == before


def test_leaving_is_questioned_only_where_edits_are_not_kept(
    context: BrowserContext, tmp_path: Path
) -> None:
    dialogs: list[str] = []

    def answer(dialog: Dialog) -> None:
        dialogs.append(dialog.type)
        dialog.dismiss()

    with running_app(tmp_path) as app:
        page = context.new_page()
        page.on("dialog", answer)
        open_page(page, app)
        edit(page, "glasses")
        page.reload()
        expect_concept(page, "glasses")
        assert dialogs == []

        shutil.rmtree(tmp_path / "sega-session")
        (tmp_path / "sega-session").touch()
        field = page.get_by_label("Add a concept", exact=True)
        field.fill("beard")
        field.press("Enter")
        expect(page.get_by_text("Not saved: ")).to_be_visible()
        # Playwright closes a page without the question, so it is loaded again.
        with page.expect_event("dialog"):
            page.evaluate("setTimeout(() => location.reload())")
        assert dialogs == ["beforeunload"]
        # The user has stayed, and the panel works on.
        (tmp_path / "sega-session").unlink()
        edit(page, "smile")
        expect_concept(page, "beard")
