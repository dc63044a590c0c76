"""The notebooks run, and what is committed with them is what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


def said(notebook: Any) -> list[tuple[int, str]]:
    """Text that cells print or return, but for the names of images; bars are not text."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if output.output_type == "stream" and output.name == "stdout":
                found.append((number, output.text))
            elif "application/vnd.jupyter.widget-view+json" not in data and "image/png" not in data:
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
    assert said(committed) == said(run)
    pictures = [
        output
        for cell in committed.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    # A widget's picture is drawn in the page only.
    assert pictures or "EditPanel" in str(committed)
