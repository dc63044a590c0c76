"""`Keeper`: writes a session to the folder after every edit, so that nothing is lost."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Literal

from attrs import evolve, frozen
from filelock import FileLock, Timeout
from PIL.Image import Image

from sega_session import EditSession, Render
from sega_session.errors import SegaSessionError

from .gallery import (
    KEPT,
    free_name,
    is_taken,
    kept_path,
    name_after,
    newest_path,
    picture_path,
    rename,
    saved_path,
)

Status = Literal["new", "saving", "saved", "failed"]

AGAIN = 10.0
"""Seconds until a session that could not be written is tried again."""

PICTURE = 768
"""The largest width or height of a picture that is kept."""


@frozen
class Kept:
    """The state of a kept session.

    Attributes:
        name: the session's name.
        status: "new": there is nothing to keep yet; "saving", "saved", or "failed".
        why: why it failed.
        when: when it was written, in seconds since 1970; 0: not yet.
        copy_of: the name of the session that this one is a copy of, since it is open elsewhere.
    """

    name: str
    status: Status = "new"
    why: str = ""
    when: float = 0.0
    copy_of: str = ""


class NameLock:
    """The right to write to the files of a name, which one open session has at a time.

    The operating system takes it back from a process that crashes.

    Args:
        folder: the sessions' folder.
        name: the name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / KEPT / f".{name}.open"
        # Taken on one thread, and given back on another.
        self._lock = FileLock(self._path, thread_local=False)

    def take(self, patience: float = 0.0) -> bool:
        """Return whether it was free within some seconds. Raises OSError."""
        self._path.parent.mkdir(exist_ok=True)
        with suppress(Timeout):
            self._lock.acquire(timeout=patience, poll_interval=0.2)
            return True
        return False

    def give_back(self) -> None:
        """Let others take it."""
        if not self._lock.is_locked:
            return
        if sys.platform != "win32":  # Windows cannot remove what is open.
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()
        with suppress(OSError):  # it is not empty
            self._path.parent.rmdir()


class Keeper:
    """Writes a session and its picture to a folder, on a thread of its own.

    The file has the scene and the history, not what can be computed again, so that it is small and
    written in an instant. Nothing is written before the first edit. What cannot be written is tried
    again, after some seconds and after the next edit.

    Args:
        session: the session.
        folder: the sessions' folder; see `gallery`.
        name: the name of a session in the folder that this one goes on with; if it is open
            elsewhere, this one goes on as a copy with another name. None: a name after the prompt.
        patience: seconds to wait for a page that was just left and may still have it open.
    """

    def __init__(
        self,
        session: EditSession,
        folder: Path,
        name: str | None = None,
        *,
        patience: float = 0.0,
    ) -> None:
        self._session, self._folder = session, folder
        self._show: Callable[[Kept], object] = lambda _: None
        self._wake = Condition()
        self._thread: Thread | None = None
        # The history that was noted last, and what is waiting to be written.
        self._history = session.history
        self._edited = self._busy = self._closed = False
        self._picture: Image | None = None
        self._lock, self._kept = self._go_on(name, patience)

    @property
    def kept(self) -> Kept:
        """The state of the kept session."""
        return self._kept

    @property
    def folder(self) -> Path:
        """The sessions' folder."""
        return self._folder

    @property
    def paths(self) -> tuple[Path, Path]:
        """The file that the session is kept in, and the one that the user saves it to."""
        return kept_path(self._folder, self._kept.name), saved_path(self._folder, self._kept.name)

    @property
    def words(self) -> str:
        """The place of the session, for the user; "" before the first edit."""
        return "" if self._kept.status == "new" else f"{KEPT}/{self._kept.name}.safetensors"

    @property
    def picture(self) -> Path:
        """The file of the session's last picture, which is there after the first edit."""
        return picture_path(self._folder, self._kept.name)

    def follow(self, show: Callable[[Kept], object]) -> None:
        """Call a function now, and on any thread whenever `kept` changes."""
        self._show = show
        show(self._kept)

    def note(self) -> None:
        """Keep the session as it is now, unless it is kept already; call it after every edit."""
        if self._session.history is not self._history:
            self.keep()

    def keep(self) -> None:
        """Keep the session as it is now, even without an edit."""
        with self._wake:
            self._history, self._edited = self._session.history, True
            self._work()

    def note_render(self, render: Render) -> None:
        """Keep the first image of a render as the picture; call it with every exact one."""
        image = render.images[0]
        if isinstance(image, Image):
            with self._wake:
                self._picture = image
                if self._kept.status != "new":
                    self._work()

    def rename(self, name: str) -> None:
        """Give the session and its files another name. Raises SegaSessionError."""
        if name == self._kept.name:
            return
        with self._wake:
            self._wake.wait_for(lambda: not self._busy)
            lock = take_free(self._folder, name)
            rename(self._folder, self._kept.name, name)
            before, self._lock = self._lock, lock
            self._kept = evolve(self._kept, name=name)
        if before is not None:
            before.give_back()
        self._show(self._kept)

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether everything is written, within some seconds."""
        with self._wake:
            return self._wake.wait_for(lambda: not (self._busy or self._waiting()), timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Write what is waiting, end the thread, and let others open the session."""
        if self._kept.status != "failed":
            self.wait(timeout)
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join(timeout)
        if self._lock is not None:
            self._lock.give_back()

    def _go_on(self, name: str | None, patience: float) -> tuple[NameLock | None, Kept]:
        """Return the lock of a name and how its session is kept; of a new one there is no lock."""
        if name is None:
            return None, Kept(free_name(self._folder, name_after(self._session.scene.prompt)))
        lock = NameLock(self._folder, name)
        try:
            taken = lock.take(patience)
        except OSError:  # the first edit says why nothing can be written
            return None, Kept(name)
        if not taken:
            return None, Kept(free_name(self._folder, name), copy_of=name)
        path = newest_path(self._folder, name)
        if path is None:
            return lock, Kept(name)
        return lock, Kept(name, "saved", when=path.stat().st_mtime)

    def _waiting(self) -> bool:
        pictured = self._picture is not None and self._kept.status != "new"
        return not self._closed and (self._edited or pictured)

    def _work(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="sega-keeper", daemon=True)
            self._thread.start()
            # The thread would be stopped inside a write at the interpreter's exit, which can crash.
            atexit.register(self.close)
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._waiting())
                if self._closed:
                    return
                edited, picture = self._edited, self._picture
                self._edited, self._picture, self._busy = False, None, True
            try:
                self._write(edited, picture)
            except (SegaSessionError, OSError) as error:
                self._set(status="failed", why=_why(error))
                with self._wake:
                    self._edited = self._edited or edited
                    self._picture = self._picture or picture
                    self._busy = False
                    self._wake.notify_all()
                    self._wake.wait(AGAIN)
            else:
                when = time.time() if edited else self._kept.when
                self._set(status="saved", why="", when=when)
                with self._wake:
                    self._busy = False
                    self._wake.notify_all()

    def _write(self, edited: bool, picture: Image | None) -> None:
        """Write the session if it was edited, and the picture if there is a new one."""
        if self._lock is None:
            self._take_name()
        if edited:
            self._set(status="saving")
            path = kept_path(self._folder, self._kept.name)
            path.parent.mkdir(exist_ok=True)  # the user may have deleted it
            self._session.save(path, include="state")
        if picture is not None:
            write_picture(self.picture, picture)

    def _take_name(self) -> None:
        """Take the name, or the next free one if another session has taken it meanwhile."""
        while self._lock is None:
            name = free_name(self._folder, self._kept.name)
            lock = NameLock(self._folder, name)
            if lock.take():
                self._lock, self._kept = lock, evolve(self._kept, name=name)

    def _set(self, **changes: Any) -> None:
        self._kept = evolve(self._kept, **changes)
        self._show(self._kept)


def _why(error: SegaSessionError | OSError) -> str:
    """Return why nothing could be written, in the user's words."""
    if isinstance(error, OSError):
        return f"the folder {KEPT} cannot be written ({error.strerror})"
    return str(error)


def take_free(folder: Path, name: str) -> NameLock:
    """Return the lock of a name that no session has. Raises SegaSessionError."""
    lock = NameLock(folder, name)
    try:
        if not is_taken(folder, name) and lock.take():
            return lock
    except OSError as error:
        raise SegaSessionError(f"{folder / KEPT} cannot be written: {error.strerror}.") from error
    raise SegaSessionError(f"There is a session {name!r} already. Choose another name.")


@contextmanager
def held(folder: Path, name: str) -> Iterator[None]:
    """Keep others from opening a session. Raises SegaSessionError if it is open."""
    lock = NameLock(folder, name)
    try:
        if not lock.take():
            raise SegaSessionError(f"The session {name!r} is open. Close it first.")
    except OSError as error:
        raise SegaSessionError(f"{folder / KEPT} cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.give_back()


def write_picture(path: Path, picture: Image) -> None:
    """Write a picture as PNG, no larger than `PICTURE`, in place of an older one."""
    small = picture.copy()
    small.thumbnail((PICTURE, PICTURE))
    temp = path.with_name(f".{path.name}.tmp")
    small.save(temp, "PNG", compress_level=1)
    temp.replace(path)
