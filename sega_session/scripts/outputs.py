"""The paths that a script writes to: valid on every system, and inside one folder."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from ..errors import InvalidValueError, ScriptError, SessionFormatError, shorten
from ..saving import image_paths, read_document

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


def path_inside(folder: Path, name: str, what: str) -> Path:
    """Return the full path of a script's file inside a folder, with links resolved.

    Args:
        folder: the folder, with links resolved.
        name: the path in the script.
        what: what the file is, for messages.

    Raises:
        ScriptError: the path leads out of the folder, for example by a link.
    """
    try:
        root = folder.resolve()
        path = (root / name).resolve() if OUTPUT.fullmatch(name) else root
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise ScriptError(f"{what} {shorten(name)} has no place in {folder}: {error}.") from error
    if root not in path.parents:
        raise ScriptError(
            f"{what} {shorten(name)} leads out of {folder}. Use another name, or folder."
        )
    return path


def output_path(folder: Path, name: str) -> Path:
    """Return the full path of an operation's output, and create the folders on the way.

    Args:
        folder: the folder that all outputs stay inside, with links resolved.
        name: the operation's ``output``.

    Raises:
        ScriptError: the path leads out of the folder, for example by a link, a folder cannot be
            created, or something other than a file is there.
    """
    shown = shorten(name)
    path = path_inside(folder, name, "output")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise ScriptError(f"output {shown} is there already, and is no file. Remove it.")
    except OSError as error:
        raise ScriptError(f"output {shown} has no place in {folder}: {error}.") from error
    return path


def check_render_output(folder: Path, name: str, images: int) -> Path:
    """Return the path to save a render's images to; with several, each of their files is checked.

    Args:
        folder, name: as for `output_path`.
        images: the number of images.

    Raises: as `output_path` does.
    """
    if images == 1:
        return output_path(folder, name)
    for one in image_paths(Path(name), images):
        output_path(folder, one.as_posix())
    return folder.resolve() / name


def check_save_output(folder: Path, name: str) -> Path:
    """Return the path to save a session to: a new file, or one that holds a session.

    Other files of this suffix may be the weights of a model.

    Args:
        folder, name: as for `output_path`.

    Raises:
        SessionFileError: the file that is there cannot be read.
        ScriptError: it is no session, or as `output_path` does.
    """
    path = output_path(folder, name)
    if path.exists():
        try:
            read_document(path)
        except SessionFormatError as error:
            raise ScriptError(
                f"output {shorten(name)} is there already, and is no session that this "
                "release reads: a script replaces nothing else. Use another name, or remove it."
            ) from error
    return path
