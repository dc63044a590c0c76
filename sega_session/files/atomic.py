"""Files that are replaced whole or not at all, and journals that grow by whole lines.

Both are safe against a process that is killed, a disk that is full and a power cut. Writers of one
file exclude each other, as threads and as processes, with a lock on the hidden file ``.NAME.lock``
beside it. That file stays: a writer who removed it could leave two others holding locks on two
files of the same name. Readers need no lock.
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
"""How long a writer waits for another one to finish."""

BLOCK = 2**16
"""How many bytes are read at a time in search of a journal's last newline."""

BINARY = getattr(os, "O_BINARY", 0)
"""Windows would translate newlines without it."""

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
    """Write a file anew. Whatever happens, it holds what it held before or the new content, whole.

    The content goes to a hidden file in the same folder, to the disk, and only then to its place.
    A symbolic link stays one, and the file that it leads to is replaced. A file that was there
    keeps its permission bits, even read-only ones, but neither its owner nor other hard links; a
    new one has those that the umask leaves. What killed writers of this file left is removed.

    Args:
        path: the file; its folder must be there.
        write: writes the content to the open file that it is given.
        check: reads the finished content at the path it is given, before it takes its place, and
            raises what it likes if it is not as it should be.

    Raises:
        SessionFileError: the file cannot be written, or another writer takes longer than
            `LOCK_SECONDS`. The new content is in its place only where the message says so.
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
    """Add one line to a journal and wait until it is on the disk.

    Every whole line ends in a newline; what follows the last one is a line that a kill or a power
    cut interrupted. Readers leave it out, and the next call cuts it off. So pass only files that
    this function made or that were read as a journal before.

    Args:
        path: the journal; it is made where there is none, its folder is not.
        line: the line without its newline.

    Raises:
        InvalidValueError: a newline in the line.
        SessionFileError: the line cannot be written, or another writer takes longer than
            `LOCK_SECONDS`. What was written of the line is taken back where the disk allows it.
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
                # The line is on the disk by now, or taken back: closing can change neither.
                with suppress(OSError):
                    os.close(journal)
    if mode is None:
        with file_errors(path, "is written, but may be gone after a power cut"):
            _sync_folder(target.parent)


@contextmanager
def file_errors(path: Path, state: str) -> Iterator[None]:
    """Raise each OSError as a SessionFileError: the path, its ``state``, the reason, the remedy."""
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
    """Raise OSError unless ``mode`` is a plain file's: no folder, pipe, socket or device."""
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")


def _resolve(path: Path) -> tuple[Path, int | None]:
    """The file that a path leads to, and its permission bits; None: there is none yet."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    # Asked for first, because FileLock would make the folder.
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
    """Remove what killed writers of this file left. Call it with the lock held."""
    left = re.compile(rf"\.{re.escape(target.name)}\.\d+-[0-9a-f]{{8}}\.tmp")
    # A folder may forbid to list it, and a file in it to remove it: no reason not to save.
    with suppress(OSError), os.scandir(target.parent) as entries:
        for path in [entry.path for entry in entries if left.fullmatch(entry.name)]:
            with suppress(OSError):
                os.unlink(path)


def _write_new(temp: Path, mode: int | None, write: Callable[[BinaryIO], None]) -> None:
    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else mode)

    with open(temp, "xb", opener=create) as handle:
        # Only where the umask took bits away: some file systems know no permissions.
        if mode is not None and os.fstat(handle.fileno()).st_mode & 0o777 != mode:
            os.chmod(temp, mode)
        write(handle)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    if sys.platform == "win32":
        return  # folders cannot be opened there
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        # The folder may not be read, or its file system cannot sync folders: nothing to be done.
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
    """Cut off what follows the last newline. Returns the size in bytes."""
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
