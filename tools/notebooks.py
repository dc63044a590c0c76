"""Run the example notebooks and store their outputs: python tools/notebooks.py [NAME ...].

Prints and images are stored. Progress bars and messages of libraries differ from run to run, and
widgets are rendered by the page only, so these are left out, and so is the last image of a panel.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def is_stored(output: Any) -> bool:
    """Return whether an output is a print or an image."""
    if output.output_type == "stream":
        return bool(output.name == "stdout")
    data = output.get("data", {})
    kept = "data-sega-kept" in data.get("text/html", "")
    return not kept and "application/vnd.jupyter.widget-view+json" not in data


def main(names: list[str]) -> None:
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            resources = {"metadata": {"path": folder}}
            NotebookClient(
                notebook, timeout=300, resources=resources, coalesce_streams=True
            ).execute()
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [one for one in cell.outputs if is_stored(one)]
                for output in cell.outputs:
                    # An image has two formats; one is enough.
                    output.get("data", {}).pop("image/jpeg", None)
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
