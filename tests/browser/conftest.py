"""A server, a browser and a panel for each test.

The first start of JupyterLab takes longest, so each server and its page are kept for all tests;
each test has a panel and a session of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from .pages import PATIENCE, SIZE, NotebookPage, PanelPage
from .servers import Server, running

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
    assert path is not None, "there is no chromium: `make test-browser` installs it"
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
    """The notebook; a test in which the page reports an error has failed."""
    yield shared_notebook
    errors, shared_notebook.errors = shared_notebook.errors, []
    assert errors == []


@pytest.fixture
def panel(notebook: NotebookPage) -> PanelPage:
    """A fresh panel with its first picture, of the unedited state."""
    panel = notebook.panel()
    panel.drawn()
    return panel


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the page looked like when a test failed."""
    report = yield
    if report.failed and report.when != "teardown" and "notebook" in item.funcargs:
        item.funcargs["notebook"].screenshot(f"failed-{item.name}")
    return report
