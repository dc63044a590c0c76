"""Replace files atomically, and append whole lines to journals.

Both survive a killed process, a full disk and a power cut. Writers of one file, in any thread or
process, exclude each other with a lock on the hidden file ``.NAME.lock`` in the same folder, which
is there while one of them holds it. Readers need no lock.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from ..errors import InvalidValueError
from .errors import file_errors
from .reading import BINARY, check_regular

LOCK_SECONDS = 10.0
"""The longest time that a writer waits for another writer."""


def make_folder(folder: Path) -> None:
    """Create a folder, and those above it, unless it is there. Raises SessionFileError."""
    with file_errors(folder, "cannot be created"):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[Path]:
    """Exclude other writers of a file, and yield its path with symbolic links followed.

    Args:
        path: the file; its folder must exist.

    Raises:
        SessionFileError: there is no such folder, the path is not that of a file, another writer
            takes longer than `LOCK_SECONDS`, or the body raises OSError.
    """
    with file_errors(path, "cannot be written"):
        target = _resolve(path)
        lock = target.with_name(f".{target.name}.lock")
        with FileLock(lock, timeout=LOCK_SECONDS):
            try:
                yield target
            finally:
                # Removed while it is held. A writer that waits for the removed file finds, once it
                # has locked it, that it has no name any more, and begins again; filelock checks
                # that. On Windows filelock removes it, which fails while another has it open.
                if sys.platform != "win32":
                    with suppress(OSError):
                        os.unlink(lock)


def replace_file(
    path: Path,
    write: Callable[[BinaryIO], object],
    before_move: Callable[[], None] = lambda: None,
) -> None:
    """Replace a file atomically: it holds either the complete old or the complete new content.

    The content is written to a hidden temporary file in the same folder, synced to the disk, and
    moved into place. An existing file keeps its permission bits, even read-only ones, but not its
    owner or other hard links. A new file gets the permissions that the umask allows. Temporary
    files that killed writers of this file left behind are removed.

    Args:
        path: the file, as `locked` yielded it.
        write: called with the open temporary file; writes the content to it.
        before_move: called when the new file is complete, before it is moved into place.

    Raises:
        SessionFileError: the file cannot be written. The old content stays, unless the message
            says that the file is written.
    """
    with file_errors(path, "cannot be written"):
        _sweep(path)
        temp = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            _write_new(temp, _permissions(path), write)
            before_move()
            os.replace(temp, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temp)
            raise
    with file_errors(path, "is written, but a power cut may bring the former content back"):
        _sync_folder(path.parent)


def append_line(path: Path, line: bytes, size: int) -> int | None:
    """Append one line to a journal and wait until it is on the disk.

    Every complete line ends in a newline. Bytes after the last newline are a line that a kill or a
    power cut interrupted: readers must ignore them.

    Args:
        path: the journal. Its writers must exclude each other with `locked`, on any file.
        line: the line without its newline.
        size: the journal's size after the last call, in bytes; 0 begins a new journal, in the place
            of one that may be there.

    Returns:
        The journal's new size; None if the journal has another size than expected: nothing is
        written then.

    Raises:
        InvalidValueError: the line contains a newline.
        SessionFileError: the line cannot be written. A partly written line is removed if the disk
            allows it.
    """
    if b"\n" in line:
        raise InvalidValueError("line", line[:80], "bytes without a newline")
    with file_errors(path, "cannot be written"):
        target = _resolve(path)
        flags = os.O_RDWR | os.O_APPEND | BINARY | (0 if size else os.O_CREAT)
        try:
            journal = os.open(target, flags, 0o666)
        except FileNotFoundError:
            return None
        try:
            if not size:
                os.ftruncate(journal, 0)
            elif os.fstat(journal).st_size != size:
                return None
            _append(journal, line + b"\n", size)
        finally:
            # The line is synced or removed by now; an error on closing changes neither.
            with suppress(OSError):
                os.close(journal)
    if not size:
        with file_errors(path, "is written, but may be gone after a power cut"):
            _sync_folder(target.parent)
    return size + len(line) + 1


def _resolve(path: Path) -> Path:
    """Follow links to the target file, which must be a regular file or new."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    # Checked first, because FileLock would create the folder.
    os.stat(target.parent)
    with suppress(FileNotFoundError):
        check_regular(os.lstat(target).st_mode)
    return target


def _permissions(target: Path) -> int | None:
    """Return a file's permission bits; None if it is new."""
    try:
        return os.lstat(target).st_mode & 0o777
    except FileNotFoundError:
        return None


def _sweep(target: Path) -> None:
    """Remove the temporary files of killed writers. The caller must hold the lock."""
    temporary = re.compile(rf"\.{re.escape(target.name)}\.\d+-[0-9a-f]{{8}}\.tmp")
    # Without permission to list the folder or to remove files, the save still goes on.
    with suppress(OSError), os.scandir(target.parent) as entries:
        for path in [entry.path for entry in entries if temporary.fullmatch(entry.name)]:
            with suppress(OSError):
                os.unlink(path)


def _write_new(temp: Path, mode: int | None, write: Callable[[BinaryIO], object]) -> None:
    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else mode)

    with open(temp, "xb", opener=create) as handle:
        # Only if the umask removed bits: some file systems have no permissions.
        if mode is not None and os.fstat(handle.fileno()).st_mode & 0o777 != mode:
            os.chmod(temp, mode)
        write(handle)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    if sys.platform == "win32":
        return  # folders cannot be opened on Windows
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        # The folder is not readable, or its file system cannot sync folders: ignore it.
        if error.errno not in (errno.EACCES, errno.EINVAL):
            raise


def _append(journal: int, rest: bytes, size: int) -> None:
    try:
        while rest:
            rest = rest[os.write(journal, rest) :]
        os.fsync(journal)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(journal, size)
        raise
