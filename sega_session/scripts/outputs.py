"""The paths that a script writes to: valid on every system, and inside one folder."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from .. import files as strict
from ..errors import InvalidValueError, ScriptError

_PART = r"[^/\\:\x00-\x1f\x7f-\x9f\ud800-\udfff]+(?<![. ])"

OUTPUT = re.compile(rf"{_PART}(/{_PART})*")
"""Relative paths that lead down from a folder, on every system."""


def check_output(what: str, value: object, *, suffix: str) -> None:
    """Raise InvalidValueError unless a value is a relative path of `OUTPUT` with this suffix."""
    is_path = isinstance(value, str) and OUTPUT.fullmatch(value)
    if not is_path or PurePosixPath(str(value)).suffix != suffix:
        allowed = f"a relative path with / between its parts, ending in {suffix}"
        hint = "No part may be empty, end in '.' or ' ', or hold ':', '\\' or control characters."
        raise InvalidValueError(what, value, allowed, hint)


def output_path(folder: Path, name: str) -> Path:
    """Return the full path of an operation's output, and create the folders on the way.

    Args:
        folder: the folder that all outputs stay inside, with links resolved.
        name: the operation's ``output``.

    Raises:
        ScriptError: the path leads out of the folder, for example by a link, or a folder cannot
            be created.
    """
    shown = strict.shorten(name)
    try:
        root = folder.resolve()
        path = (root / name).resolve() if OUTPUT.fullmatch(name) else root
        if root in path.parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise ScriptError(f"output {shown} has no place in {folder}: {error}.") from error
    raise ScriptError(f"output {shown} leads out of {folder}. Use another name, or folder.")
