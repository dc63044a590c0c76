"""Pictures of the panel to look at, and what can be told of its layout without looking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .pages import SIZE, NotebookPage, PanelPage

WIDTHS = (1280, 800)

# A label's own ellipsis is meant; words that a button has no room for are not.
CUT = """panel => [...panel.querySelectorAll("button")]
    .filter(button => button.scrollWidth > button.clientWidth)
    .map(button => button.textContent)"""


@pytest.fixture
def full(panel: PanelPage, notebook: NotebookPage) -> Iterator[PanelPage]:
    """A panel with two concepts, and a branch in its history."""
    drawn = panel.pixels()
    for name in ("glasses", "beard"):
        panel.add(name)
        drawn = panel.drawn(drawn)
    panel.entry("1 glasses added").click()
    drawn = panel.drawn(drawn)
    panel.add("smile")
    panel.drawn(drawn)
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
