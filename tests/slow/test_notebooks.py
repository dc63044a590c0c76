"""Run the example notebooks, and compare their saved outputs with what they print."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))

WIDGET = "application/vnd.jupyter.widget-view+json"

KEPT = "data-sega-kept"
"""What marks the HTML that a panel leaves in its cell."""


def texts(notebook: nbformat.NotebookNode) -> list[tuple[int, str]]:
    """Return the texts that cells print or return, by cell.

    Left out are progress bars, image objects, and what a panel leaves in its cell, which depends on
    how far it has rendered.
    """
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if output.output_type == "stream" and output.name == "stdout":
                found.append((number, output.text))
            elif not {WIDGET, "image/png"} & set(data) and KEPT not in data.get("text/html", ""):
                found.append((number, data.get("text/plain", "")))
    return [(number, text) for number, text in found if text]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")
def test_notebook(path: Path, tmp_path: Path) -> None:
    committed = nbformat.read(path, as_version=4)
    run = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(
        run, timeout=300, kernel_name="python3", resources=resources, coalesce_streams=True
    ).execute()
    assert texts(committed) == texts(run)
    images = [
        output
        for cell in committed.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    # The image of a panel is on the page only.
    assert images or "EditPanel" in str(committed)
