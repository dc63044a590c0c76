"""The examples that the package brings along: notebooks; scripts and sweeps, found by name."""

from __future__ import annotations

from pathlib import Path

from ..errors import ScriptError

PACKAGE = Path(__file__).resolve().parents[1]


def example_files() -> list[Path]:
    """Return the example notebooks and the image in them."""
    return [*sorted(_folder().glob("*.ipynb")), _folder() / "panel.png"]


def find_script(script: Path) -> Path:
    """Return a script's file: the path itself, or that of the example of this name.

    Raises:
        ScriptError: there is no such file, and no such example.
    """
    return _find(script, "scripts/*.json", "a script's file")


def find_sweep(sweep: Path) -> Path:
    """Return a sweep's file: the path itself, or that of the example of this name.

    Raises:
        ScriptError: there is no such file, and no such example.
    """
    return _find(sweep, "sweeps/*.toml", "a sweep's file")


def _find(path: Path, pattern: str, what: str) -> Path:
    """Return a path, or the example of its name among the files that match a pattern."""
    if path.suffix or len(path.parts) != 1 or path.exists():
        return path
    examples = {one.stem: one for one in sorted(_folder().glob(pattern))}
    if path.name not in examples:
        raise ScriptError(
            f"{str(path)!r} is no file; allowed: {what}, or an example's name: "
            f"{', '.join(examples)}."
        )
    return examples[path.name]


def _folder() -> Path:
    """Return the folder of the examples: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "examples"
    return inside if inside.is_dir() else PACKAGE.parent / "examples"
