"""Raise the errors of the operating system as `SessionFileError`, with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from ..errors import SessionFileError

READ_REMEDIES = {
    errno.ENOENT: "Correct the path.",
    errno.ENOTDIR: "Correct the path.",
    errno.EISDIR: "Give the path of a file, not of a folder.",
    errno.EINVAL: "Correct the path; it must be a plain file's.",
    errno.ENAMETOOLONG: "Correct the path.",
    errno.EACCES: "Change the permissions.",
    errno.EPERM: "Change the permissions.",
}
WRITE_REMEDIES = {
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


@contextmanager
def file_errors(path: Path, state: str) -> Iterator[None]:
    """Raise OSError as SessionFileError, with the path, its ``state``, the reason and a remedy."""
    try:
        yield
    except SessionFileError:
        raise  # it has all of that
    except Timeout as error:
        raise SessionFileError(
            f"{str(path)!r} {state}: another writer has held {error.lock_file!r} for too long. "
            "Wait until it is done, then try again."
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None and str(error.filename) != str(path):
            reason += f" ({str(error.filename)!r})"
        remedies, other = WRITE_REMEDIES, "Check the disk, or take another folder."
        if state == "cannot be read":
            remedies, other = READ_REMEDIES, "Check the disk."
        remedy = remedies.get(error.errno or 0, other)
        raise SessionFileError(f"{str(path)!r} {state}: {reason}. {remedy}") from error
