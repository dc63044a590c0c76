"""The sessions in a folder: those that the user saved, and those that panels keep by themselves.

A session has one name and up to two files: ``NAME.safetensors`` in the folder, which the user
saved with all that was computed, and ``sega-session/NAME.safetensors``, which a `Keeper` writes
after every edit without what can be computed again. Its picture is ``sega-session/NAME.png``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from attrs import frozen

from sega_session.errors import SegaSessionError, printable
from sega_session.saving import read_document

KEPT = "sega-session"
"""The name of the folder, in the sessions' folder, in which panels keep them."""

SUFFIX = ".safetensors"

LENGTH = 80
"""The longest name in characters; hidden files beside it have longer ones."""

SHOWN = 200
"""The most sessions that are listed, the newest first."""


@frozen
class Found:
    """A session in a folder.

    Attributes:
        name: its name.
        path: the newer of its files, from which it goes on.
        prompt: its prompt.
        changed: when the file was written, in seconds since 1970.
        bytes: the size of its files.
    """

    name: str
    path: Path
    prompt: str
    changed: float
    bytes: int


def saved_path(folder: Path, name: str) -> Path:
    """Return the path that the user saves a session to."""
    return folder / f"{name}{SUFFIX}"


def kept_path(folder: Path, name: str) -> Path:
    """Return the path that a panel keeps a session at."""
    return folder / KEPT / f"{name}{SUFFIX}"


def picture_path(folder: Path, name: str) -> Path:
    """Return the path of a session's picture."""
    return folder / KEPT / f"{name}.png"


def check_name(name: object) -> str:
    """Return a session's name without blanks around it, and without the ending of files.

    Raises:
        SegaSessionError: it is no name of a file in the folder.
    """
    text = name.strip().removesuffix(SUFFIX).strip() if isinstance(name, str) else ""
    if not text:
        raise SegaSessionError("The session needs a name.")
    if len(text) > LENGTH:
        raise SegaSessionError(f"The name is too long. Choose one of up to {LENGTH} characters.")
    if text.startswith(".") or not text.isprintable() or set(text) & set('/\\:*?"<>|'):
        raise SegaSessionError(
            f"{printable(text)!r} cannot be a file's name. Choose one that does not begin with a "
            'dot, and without / \\ : * ? " < > |'
        )
    return text


def name_after(prompt: str) -> str:
    """Return a name for a new session, made of the first words of its prompt."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.findall("[a-z0-9]+", plain)[:6]
    return "-".join(words)[:40].strip("-") or "session"


def free_name(folder: Path, name: str) -> str:
    """Return a name that no session in the folder has: this one, or one with a number behind it."""
    number, free = 1, name
    while is_taken(folder, free):
        number += 1
        free = f"{name[: LENGTH - 5]}-{number}"
    return free


def is_taken(folder: Path, name: str) -> bool:
    """Return whether a session in the folder has this name."""
    return any(os.path.lexists(path) for path in _files(folder, name))


def newest_path(folder: Path, name: str) -> Path | None:
    """Return the newer of a session's files; None if it has none."""
    files = [path for path in _files(folder, name) if path.is_file()]
    return max(files, key=lambda path: path.stat().st_mtime, default=None)


def list_sessions(folder: Path, limit: int = SHOWN) -> list[Found]:
    """Return the newest sessions in a folder, the newest first. Other files are left out."""
    names = {
        path.name.removesuffix(SUFFIX)
        for place in (folder, folder / KEPT)
        for path in _entries(place)
    }
    newest = [(path, name) for name in names if (path := newest_path(folder, name)) is not None]
    newest.sort(key=lambda one: one[0].stat().st_mtime, reverse=True)
    found = (one for path, name in newest for one in _read(folder, name, path))
    return list(islice(found, limit))


def rename(folder: Path, name: str, to: str) -> None:
    """Give a session's files and its picture a name that is free. Raises SegaSessionError."""
    pairs = [
        (saved_path(folder, name), saved_path(folder, to)),
        (kept_path(folder, name), kept_path(folder, to)),
        (picture_path(folder, name), picture_path(folder, to)),
    ]
    try:
        for old, new in pairs:
            if old.is_file():
                old.rename(new)
    except OSError as error:
        raise SegaSessionError(f"{name} cannot be renamed: {error.strerror}.") from error


def delete(folder: Path, name: str) -> None:
    """Delete a session's files and its picture. Raises SegaSessionError."""
    try:
        for path in (*_files(folder, name), picture_path(folder, name)):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SegaSessionError(f"{name} cannot be deleted: {error.strerror}.") from error


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return saved_path(folder, name), kept_path(folder, name)


def _entries(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == SUFFIX and not path.name.startswith(".") and path.is_file():
                yield path


def _read(folder: Path, name: str, path: Path) -> Iterator[Found]:
    # Files of others end in .safetensors, too, and a file may be gone by now.
    with suppress(SegaSessionError, OSError):
        prompt = printable(read_document(path).scene.prompt)
        size = sum(one.stat().st_size for one in _files(folder, name) if one.is_file())
        yield Found(name, path, prompt, path.stat().st_mtime, size)
