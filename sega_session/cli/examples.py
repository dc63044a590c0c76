"""The examples that the package brings along: notebooks, and scripts that are found by name."""

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
    if script.suffix or len(script.parts) != 1 or script.exists():
        return script
    examples = {path.stem: path for path in sorted((_folder() / "scripts").glob("*.json"))}
    if script.name not in examples:
        raise ScriptError(
            f"{str(script)!r} is no file; allowed: a script's file, or an example's name: "
            f"{', '.join(examples)}."
        )
    return examples[script.name]


def _folder() -> Path:
    """Return the folder of the examples: inside the package in a wheel, beside it in a checkout."""
    inside = PACKAGE / "examples"
    return inside if inside.is_dir() else PACKAGE.parent / "examples"
