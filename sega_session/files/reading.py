"""Read regular files only, and never more of them than allowed.

A path from a user may lead to a pipe, which blocks, or to a device, which has no end.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import SessionFileError
from .errors import file_errors

BINARY = getattr(os, "O_BINARY", 0)
"""The flag that keeps Windows from translating newlines; 0 elsewhere."""


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read it, without waiting for a pipe.

    Raises:
        SessionFileError: the file cannot be opened, is no regular file, or the body raises OSError.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | BINARY | getattr(os, "O_NONBLOCK", 0))

    with file_errors(path, "cannot be read"):
        try:
            # Checked twice: opening a device may have effects, and the file may be replaced.
            check_regular(os.stat(path).st_mode)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from None
        with open(path, "rb", opener=opener) as file:
            check_regular(os.fstat(file.fileno()).st_mode)
            yield file


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        SessionFileError: it does not exist, cannot be read, is no regular file, or is longer than
            ``max_bytes``.
    """
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SessionFileError(
            f"{str(path)!r} cannot be read: it has more than {max_bytes} bytes, the most that is "
            "read. Pass another file."
        )
    return content


def check_regular(mode: int) -> None:
    """Raise OSError unless ``mode`` is that of a regular file, not of a folder, pipe or device."""
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")
