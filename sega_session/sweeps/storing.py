"""Write files of a sweep's folder, whole or not at all, with the folders that they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..files import file_errors, locked, replace_file


def make_folder(folder: Path) -> None:
    """Create a folder, and those above it, unless it is there. Raises SessionFileError."""
    with file_errors(folder, "cannot be created"):
        folder.mkdir(parents=True, exist_ok=True)


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file, whole or not at all; other processes may write it too.

    Args:
        path: the file; its folder is created if it is missing.
        write: writes the content to the open file.

    Raises:
        SessionFileError: the file cannot be written.
    """
    make_folder(path.parent)
    with locked(path) as target:
        replace_file(target, write)
