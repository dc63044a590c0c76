"""Join the JavaScript modules and style sheets of `static` into what one widget sends to a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""The folder of the JavaScript modules and style sheets."""

IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)


@cache
def script(name: str) -> str:
    """Return a module and the modules that it imports as the text of one module.

    A widget sends its front end as one text, in which relative imports cannot be resolved. So each
    module becomes a function that returns its exports, in the order of the imports.

    Args:
        name: a module of `static`, without its ending.
    """
    *others, entry = _modules(name)
    parts = [_as_function(one) for one in others]
    return "\n".join([*parts, _without_imports(_read(entry))])


@cache
def style(*names: str) -> str:
    """Return the design tokens and the named style sheets of `static` as one text."""
    return "\n".join(_path(f"{one}.css").read_text("utf-8") for one in ("tokens", *names))


def _modules(name: str, found: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a module and all that it imports, each once, behind those that it imports."""
    for one in _imported(_read(name)):
        if one not in found:
            found = _modules(one, found)
    return (*found, name)


def _imported(text: str) -> Iterator[str]:
    return (match[2] for match in IMPORT.finditer(text))


def _as_function(name: str) -> str:
    text = _read(name)
    exports = ", ".join(match[2] for match in EXPORT.finditer(text))
    body = EXPORT.sub(r"\1", _without_imports(text))
    return f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n"


def _without_imports(text: str) -> str:
    return IMPORT.sub(
        lambda match: f"const {match[1].replace(' as ', ': ')} = {_variable(match[2])};\n", text
    )


def _variable(name: str) -> str:
    return f"module_{name.replace('-', '_')}"


def _read(name: str) -> str:
    return _path(f"{name}.js").read_text("utf-8")


def _path(name: str) -> Path:
    return STATIC / name
