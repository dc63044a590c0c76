"""Replace files atomically, and append whole lines to journals.

Both survive a killed process, a full disk and a power cut. Writers of one file, in any thread or
process, exclude each other with a lock on the hidden file ``.NAME.lock`` in the same folder. The
lock file is never removed: removing it would let two writers hold locks on two different files of
that name. Readers need no lock.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from ..errors import InvalidValueError, SessionFileError

LOCK_SECONDS = 10.0
"""The longest time that a writer waits for another writer."""

BLOCK = 2**16
"""The number of bytes that are read at a time when searching for a journal's last newline."""

BINARY = getattr(os, "O_BINARY", 0)
"""The flag that keeps Windows from translating newlines; 0 elsewhere."""

REMEDIES = {
    errno.ENOENT: "Correct the path; a folder must be there before a file is written to it.",
    errno.ENOTDIR: "Correct the path; a folder must be there before a file is written to it.",
    errno.EISDIR: "Give the path of a file, not of a folder.",
    errno.EINVAL: "Correct the path; it must be a plain file's.",
    errno.ENAMETOOLONG: "Take a shorter name; hidden files beside it need 25 characters more.",
    errno.EACCES: "Change the permissions, or take another folder.",
    errno.EPERM: "Change the permissions, or take another folder.",
    errno.EROFS: "Take a folder on a disk that can be written to.",
    errno.ENOSPC: "Free some space on that disk, or take another one.",
    errno.EDQUOT: "Free some space on that disk, or take another one.",
}


def replace_file(
    path: Path,
    write: Callable[[BinaryIO], None],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Replace a file atomically: it holds either the complete old or the complete new content.

    The content is written to a hidden temporary file in the same folder, synced to the disk, and
    moved into place. A symbolic link is kept, and the file that it points to is replaced. An
    existing file keeps its permission bits, even read-only ones, but not its owner or other hard
    links. A new file gets the permissions that the umask allows. Temporary files that killed
    writers of this file left behind are removed.

    Args:
        path: the file; its folder must exist.
        write: called with the open temporary file; writes the content to it.
        check: called with the path of the temporary file, before it is moved into place; raises
            any exception to reject the content. None: no check.

    Raises:
        SessionFileError: the file cannot be written, or another writer takes longer than
            `LOCK_SECONDS`. The old content stays, unless the message says that the file is written.
    """
    with file_errors(path, "cannot be written"):
        target, mode = _resolve(path)
        with _lock(target):
            _sweep(target)
            temp = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
            try:
                _write_new(temp, mode, write)
                if check is not None:
                    check(temp)
                os.replace(temp, target)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temp)
                raise
    with file_errors(path, "is written, but a power cut may bring the former content back"):
        _sync_folder(target.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a journal and wait until it is on the disk.

    Every complete line ends in a newline. Bytes after the last newline are a line that a kill or a
    power cut interrupted: readers must ignore them, and the next call removes them. So pass only
    files that this function created, or that were read as a journal before.

    Args:
        path: the journal; created if it does not exist. Its folder must exist.
        line: the line without its newline.

    Raises:
        InvalidValueError: the line contains a newline.
        SessionFileError: the line cannot be written, or another writer takes longer than
            `LOCK_SECONDS`. A partly written line is removed if the disk allows it.
    """
    if b"\n" in line:
        raise InvalidValueError("line", line[:80], "bytes without a newline")
    with file_errors(path, "cannot be written"):
        target, mode = _resolve(path)
        with _lock(target):
            journal = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o666)
            try:
                _append(journal, line + b"\n")
            finally:
                # The line is synced or removed by now; an error on closing changes neither.
                with suppress(OSError):
                    os.close(journal)
    if mode is None:
        with file_errors(path, "is written, but may be gone after a power cut"):
            _sync_folder(target.parent)


@contextmanager
def file_errors(path: Path, state: str) -> Iterator[None]:
    """Raise OSError as SessionFileError, with the path, its ``state``, the reason and a remedy."""
    try:
        yield
    except Timeout as error:
        raise SessionFileError(
            f"{str(path)!r} {state}: another writer has held {error.lock_file!r} for "
            f"{LOCK_SECONDS:g} s. Wait until it is done, then try again."
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None and str(error.filename) != str(path):
            reason += f" ({str(error.filename)!r})"
        remedy = REMEDIES.get(error.errno or 0, "Check the disk, or take another folder.")
        raise SessionFileError(f"{str(path)!r} {state}: {reason}. {remedy}") from error


def check_regular(mode: int) -> None:
    """Raise OSError unless ``mode`` is that of a regular file, not of a folder, pipe or device."""
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def _resolve(path: Path) -> tuple[Path, int | None]:
    """Follow links to the target file; return it with its permission bits, or None if it is new."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    # Checked first, because FileLock would create the folder.
    os.stat(target.parent)
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return target, None
    check_regular(mode)
    return target, mode & 0o777


def _lock(target: Path) -> FileLock:
    return FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS)


def _sweep(target: Path) -> None:
    """Remove the temporary files of killed writers. The caller must hold the lock."""
    temporary = re.compile(rf"\.{re.escape(target.name)}\.\d+-[0-9a-f]{{8}}\.tmp")
    # Without permission to list the folder or to remove files, the save still goes on.
    with suppress(OSError), os.scandir(target.parent) as entries:
        for path in [entry.path for entry in entries if temporary.fullmatch(entry.name)]:
            with suppress(OSError):
                os.unlink(path)


def _write_new(temp: Path, mode: int | None, write: Callable[[BinaryIO], None]) -> None:
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


def _append(journal: int, rest: bytes) -> None:
    size = _cut_torn_line(journal)
    try:
        while rest:
            rest = rest[os.write(journal, rest) :]
        os.fsync(journal)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(journal, size)
        raise


def _cut_torn_line(journal: int) -> int:
    """Truncate the journal after its last newline. Return the new size in bytes."""
    size = end = os.fstat(journal).st_size
    while end:
        begin = max(end - BLOCK, 0)
        os.lseek(journal, begin, os.SEEK_SET)
        newline = os.read(journal, end - begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end < size:
        os.ftruncate(journal, end)
    return end
