"""A server, a browser and a panel for each test.

Starting JupyterLab is slow, so all tests share the servers and their pages; each test has its own
panel and session.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from .pages import PATIENCE, SIZE, NotebookPage, PanelPage
from .servers import Server, running
from .stage import Stage

ARGUMENTS = (
    "--no-sandbox",  # Containers run as root.
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "chromium is missing: `make test-browser` installs it"
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session", params=["lab", "voila"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="session")
def shared_notebook(browser: Browser, server: Server) -> Iterator[NotebookPage]:
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(PATIENCE * 1000)
    yield NotebookPage(page, server)
    page.close()


@pytest.fixture
def notebook(shared_notebook: NotebookPage) -> Iterator[NotebookPage]:
    """Return the notebook; the test fails if the page reports an error."""
    yield shared_notebook
    errors, shared_notebook.errors = shared_notebook.errors, []
    assert errors == []


@pytest.fixture
def panel(notebook: NotebookPage) -> PanelPage:
    """Return a new panel that shows the exact image of the unedited state."""
    panel = notebook.panel()
    panel.rendered()
    return panel


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Return a colour scheme; a test that asks for it runs in both."""
    name: str = request.param
    return name


@pytest.fixture
def stage(browser: Browser) -> Iterator[Stage]:
    """Return an empty stage, open to widgets; the test fails if its page reports an error."""
    page = browser.new_page(viewport=SIZE)
    page.set_default_timeout(PATIENCE * 1000)
    stage = Stage(page)
    with stage.open():
        yield stage
    page.close()
    assert stage.errors == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save a screenshot when a test fails."""
    report = yield
    page = item.funcargs.get("notebook")
    if report.failed and report.when != "teardown" and isinstance(page, NotebookPage):
        page.screenshot(f"failed-{item.name}")
    return report
