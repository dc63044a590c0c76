"""Run the example notebooks and save their outputs: python tools/notebooks.py [NAME ...].

Prints and images are kept. Progress bars and advice of libraries differ from run to run and are
dropped, and so are widgets, which only a page can show.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

WIDGET = "application/vnd.jupyter.widget-view+json"


def is_kept(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is saved: prints and results, but no widgets."""
    if output.output_type == "stream":
        return bool(output.name == "stdout")
    return WIDGET not in output.get("data", {})


def main(names: list[str]) -> None:
    """Run the notebooks with these names, or all."""
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
                cell.outputs = [one for one in cell.outputs if is_kept(one)]
                for output in cell.outputs:
                    # An image comes in two formats; one is enough.
                    output.get("data", {}).pop("image/jpeg", None)
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
