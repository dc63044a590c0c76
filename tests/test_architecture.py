"""Check the public names, the docstrings, and the modules that work without torch.

import-linter checks the imports between the packages: see `[tool.importlinter]` in pyproject.toml.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sega_widgets

import sega_session

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sega_session"
WIDGETS = ROOT / "widgets" / "sega_widgets"

PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
DOORS = [sega_session.__name__, *(f"sega_session.{name}" for name in PACKAGES)]
"""The modules that other packages import from."""

SOURCES = [path for folder in (PACKAGE, WIDGETS) for path in sorted(folder.rglob("*.py"))]
NOT_IMPERATIVE = ("What", "Where", "How", "Whether", "Of", "Who", "Whatever")

IMPORTS_WITHOUT_TORCH = (
    "import sega_session",
    "import sega_session.errors",
    "import sega_session.files",
    "from sega_session.state import Concept, EditState, History, Scene, anchored, edits",
    "import sega_session.scripts",
    "from sega_session.sweeps import Sweep",
    "import sega_session.cli",
)


@pytest.mark.parametrize("statement", IMPORTS_WITHOUT_TORCH)
def test_an_import_without_torch(statement: str) -> None:
    code = f"{statement}; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_help_needs_no_torch() -> None:
    code = (
        "import sys; from sega_session.cli.main import main; sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "sega-session COMMAND" in done.stdout


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sega_session.__version__ == version("sega-session") == project["version"]


def test_the_public_names_are_exactly_these() -> None:
    package: Any = sega_session
    public = {name for name in dir(package) if not name.startswith("_")}
    assert public == {name for name in package.__all__ if not name.startswith("_")}
    for name in public:
        assert getattr(getattr(package, name), "__name__", name) == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense


@pytest.mark.parametrize("door", DOORS)
def test_a_package_has_a_docstring(door: str) -> None:
    text = inspect.getdoc(importlib.import_module(door))
    assert text is not None
    assert text.endswith(".")
    assert len(text.split()) >= 8, text


def has_docstring(module: object, name: str) -> bool:
    """Return whether a name of a module is documented.

    Classes and functions have docstrings; an alias or a constant has a string below it, in the
    module that defines it.
    """
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        return bool(value.__doc__)
    return name in DOCUMENTED


def documented(path: Path) -> set[str]:
    """Return the names that a file assigns and documents with a string below."""
    body = ast.parse(path.read_text("utf-8")).body
    return {
        target.id
        for statement, below in pairwise(body)
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
        for target in (
            [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
        )
        if isinstance(target, ast.Name)
    }


DOCUMENTED = set[str]().union(*map(documented, SOURCES))


@pytest.mark.parametrize("door", [*DOORS, sega_widgets.__name__])
def test_public_names_have_docstrings(door: str) -> None:
    module = importlib.import_module(door)
    names = [name for name in getattr(module, "__all__", ()) if not name.startswith("_")]
    assert [name for name in names if not has_docstring(module, name)] == []


def summaries(path: Path) -> list[tuple[int, str]]:
    """Return the line and the first word of every docstring in a file."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)
    ]
    return [
        (getattr(node, "lineno", 1), text.split(maxsplit=1)[0])
        for node in nodes
        if (text := ast.get_docstring(node))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_summaries_begin_with_no_question_word(path: Path) -> None:
    assert [found for found in summaries(path) if found[1] in NOT_IMPERATIVE] == []
