"""Write files of a sweep's folder, whole or not at all, with the folders that they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..files import locked, make_folder, replace_file


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
