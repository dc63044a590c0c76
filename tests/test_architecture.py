"""The shape of the package: who imports whom, what is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sega_session

PACKAGE = Path(sega_session.__file__).parent

FLOORS = [
    "errors",
    "edits",
    "strict",
    "history",
    "timeline",
    "files",
    "container",
    "document",
    "modes",
    "operations",
    "script",
    "json_schema",
    "provenance",
    "presets",
    "recipe",
    "trajectory",
    "guidance",
    "store",
    "denoisers.base",
    "denoisers.schedulers",
    "denoisers.stable_diffusion",
    "denoisers.families",
    "denoisers",
    "branches",
    "walk",
    "predictions",
    "estimates",
    "denoise",
    "planning",
    "quality",
    "inputs",
    "identity",
    "render",
    "editing",
    "storage",
    "journal",
    "saving",
    "scripting",
    "session",
    "models",
    "migration",
    "contact_sheet",
    "demo",
    "cli_files",
    "cli_jupyter",
    "cli",
]
"""Each file imports only from the files above it."""

NO_TORCH = FLOORS[: FLOORS.index("guidance")]


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports(path: Path) -> list[str]:
    """The package's own modules that a file imports, relative to the package."""
    here = ["sega_session", *path.relative_to(PACKAGE).parent.parts]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1][1:]
            if node.module:
                found.append(".".join([*base, node.module]))
            else:
                found.extend(".".join([*base, alias.name]) for alias in node.names)
    return found


FILES = {
    module_of(path): path
    for path in PACKAGE.rglob("*.py")
    if (path.parent == PACKAGE and path.name != "__init__.py") or path.parent.name == "denoisers"
}


def test_every_file_has_a_floor() -> None:
    assert set(FILES) == set(FLOORS)


@pytest.mark.parametrize("module", FLOORS)
def test_imports_go_up_only(module: str) -> None:
    above = FLOORS[: FLOORS.index(module)]
    assert [name for name in imports(FILES[module]) if name not in above] == []


def test_values_and_recipes_need_no_torch() -> None:
    code = f"import sys; import {', '.join(f'sega_session.{m}' for m in NO_TORCH)}; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(dir(sega_session)) == sorted(sega_session.__all__)
    for name in sega_session.__all__:
        assert getattr(sega_session, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sega_session.nonsense


def test_files_stay_small() -> None:
    too_long = {m: n for m, p in FILES.items() if (n := len(p.read_text().splitlines())) > 340}
    assert too_long == {}
