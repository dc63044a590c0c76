"""Screenshots of the panel to look at, and automatic checks of its layout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .pages import SIZE, NotebookPage, PanelPage

WIDTHS = (1280, 800)

# Labels may be cut with an ellipsis, the text of buttons may not.
CUT = """panel => [...panel.querySelectorAll("button")]
    .filter(button => button.scrollWidth > button.clientWidth)
    .map(button => button.textContent)"""


@pytest.fixture
def full(panel: PanelPage, notebook: NotebookPage) -> Iterator[PanelPage]:
    """Return a panel with two concepts, and a branch in its history."""
    before = panel.pixels()
    for name in ("glasses", "beard"):
        panel.add(name)
        before = panel.rendered(before)
    panel.entry("1 glasses added").click()
    before = panel.rendered(before)
    panel.add("smile")
    panel.rendered(before)
    yield panel
    notebook.page.set_viewport_size(SIZE)
    if notebook.server.name == "lab":
        notebook.theme("JupyterLab Light")


def test_nothing_is_cut(full: PanelPage, notebook: NotebookPage) -> None:
    themes = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
    for width in WIDTHS:
        full.fit(width)
        if notebook.server.name == "lab":
            for kind, theme in themes.items():
                notebook.theme(theme)
                notebook.screenshot(f"lab-{kind}-{width}")
        else:
            notebook.screenshot(f"voila-light-{width}")
        assert full.root.evaluate(CUT) == []
        assert full.root.evaluate("panel => panel.scrollWidth - panel.clientWidth") <= 0
