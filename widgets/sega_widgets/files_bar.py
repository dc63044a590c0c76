"""The session's name and file, and the gallery of the sessions in the folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import PIL.Image
from anywidget import AnyWidget
from attrs import asdict
from traitlets import Dict, List, Unicode

from sega_session import EditSession
from sega_session.errors import SegaSessionError, printable

from . import gallery
from .component import handle_messages
from .front_end import script, style
from .gallery import check_name, picture_path, saved_path
from .guard import Guard
from .keeper import Keeper, Kept, held, take_free
from .messages import Messages
from .png import encode_thumbnail

THUMBNAIL = 320
"""The size of a picture in the gallery in pixels, twice the size on the page."""

PATIENCE = 10.0
"""Seconds to wait for the keeper before the session is saved."""


class FilesBar(AnyWidget):
    """Saves and opens sessions: the name, how it is kept, Save, the gallery, and the script.

    Args:
        session: the session.
        guard: the guard of the panel; None: messages are not shown.
        save: saves the session to a path while nothing is rendered, and returns a summary.
        load: continues with the session in a file, whose name is the session's.
        folder: the folder that all files stay in; None: the current one.
        keeper: keeps the session in the folder; None: the session is saved only by the user.

    Attributes:
        kept: how the session is kept; the fields of `Kept`, or only its name without a keeper.
        sessions: the sessions in the folder while the gallery is open: the fields of `Found`
            and ``picture``, the bytes of an image file.
        recent: the name of the newest session in the folder, of this prompt if there is one, and
            when it was ``changed``: to go on with instead of a new one; empty if there is none.
        ask: what a second click does, "" or "save" or "script".
    """

    _esm = script("files")
    _css = style("files")

    kept = Dict().tag(sync=True)
    sessions = List(Dict()).tag(sync=True)
    recent = Dict().tag(sync=True)
    ask = Unicode("").tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        guard: Guard | None,
        *,
        save: Callable[[Path], str],
        load: Callable[[Path], None],
        folder: Path | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._session, self._save, self._load = session, save, load
        self._guard = guard or Guard(Messages())
        self._folder = Path.cwd() if folder is None else folder
        self._keeper = keeper
        # The file that Save replaces without asking, and the files that a second click replaces.
        self._own: Path | None = None
        self._asked: Path | None = None
        super().__init__()
        if keeper is None:
            name = gallery.free_name(self._folder, gallery.name_after(session.scene.prompt))
            self.kept = {"name": name}
        else:
            if keeper.kept.status == "saved":
                self._own = saved_path(self._folder, keeper.kept.name)
            keeper.follow(self._show_kept)
        if session.history.current == 0 and self._own is None:
            found = gallery.list_sessions(self._folder)
            same = [one for one in found if one.prompt == printable(session.scene.prompt)]
            for one in [*same, *found][:1]:
                self.recent = {"name": one.name, "changed": one.changed}
        handle_messages(
            self,
            self._guard,
            {
                "save": self._save_session,
                "script": self._write_script,
                "list": self._list,
                "open": self._open,
                "rename": self._rename,
                "delete": self._delete,
            },
        )

    @property
    def name(self) -> str:
        """The session's name."""
        name: str = self.kept["name"]
        return name

    def save(self) -> None:
        """Save the session as its button does."""
        self._guard.run(self._save_session)

    def refresh(self) -> None:
        """Forget first clicks after an edit, and keep the session."""
        self._forget()
        if self._keeper is not None:
            self._keeper.note()

    def _show_kept(self, kept: Kept) -> None:
        self.kept = asdict(kept)

    def _forget(self) -> None:
        self._asked, self.ask = None, ""

    def _save_session(self) -> None:
        """Save the session with all that was computed; another one's file at the second click."""
        if self._keeper is not None:
            self._keeper.keep()
            self._keeper.wait(PATIENCE)
        path = self._inside(saved_path(self._folder, self.name))
        if path == self._own or self._may_replace(path, "save"):
            self._save(path)
            self._own = path
            self._forget()
            self._guard.messages.note(f"Saved {path.name}, with everything computed.")

    def _write_script(self) -> None:
        """Write the script beside the session's file; one that is there, at the second click."""
        path = self._inside(self._folder / f"{self.name}.json")
        if self._may_replace(path, "script"):
            self._session.script().save(path)
            self._forget()
            self._guard.messages.note(f"Written: {path.name}")

    def _may_replace(self, path: Path, act: str) -> bool:
        """Return whether a file may be written: there is none, or this is the second click."""
        if not os.path.lexists(path) or path == self._asked:
            return True
        self._asked, self.ask = path, act
        self._guard.messages.note(
            f"{path.name} is there already. Click again to replace it, or choose another name."
        )
        return False

    def _list(self) -> None:
        """Show the sessions of the folder, and then their pictures."""
        found = gallery.list_sessions(self._folder)
        entries = [
            {
                "name": one.name,
                "prompt": one.prompt,
                "changed": one.changed,
                "bytes": one.bytes,
                "picture": b"",
            }
            for one in found
        ]
        self.sessions = entries
        self.sessions = [
            entry | {"picture": _thumbnail(picture_path(self._folder, one.name))}
            for one, entry in zip(found, entries, strict=True)
        ]

    def _open(self, name: str) -> None:
        path = gallery.newest_path(self._folder, check_name(name))
        if path is None:
            self._list()
            raise SegaSessionError(f"The session {name!r} is no longer in the folder.")
        self._load(self._inside(path))
        self.recent = {}

    def _rename(self, name: str, to: str) -> None:
        name, to = check_name(name), check_name(to)
        if name == self.name:
            self._rename_own(to)
        elif name != to:
            with held(self._folder, name):
                take_free(self._folder, to).give_back()
                gallery.rename(self._folder, name, to)
        self._refresh_list()

    def _rename_own(self, to: str) -> None:
        if self._keeper is None:
            self.kept = {"name": to}
        else:
            self._keeper.rename(to)
        if self._own is not None:
            self._own = saved_path(self._folder, to)
        self._forget()

    def _delete(self, name: str) -> None:
        name = check_name(name)
        with held(self._folder, name):
            gallery.delete(self._folder, name)
        if self.recent.get("name") == name:
            self.recent = {}
        self._refresh_list()

    def _refresh_list(self) -> None:
        if self.sessions:
            self._list()

    def _inside(self, path: Path) -> Path:
        """Return a path in the folder. Raises SegaSessionError if a link leads out of it."""
        with suppress(OSError, RuntimeError):  # links in a circle
            if self._folder.resolve() in path.resolve().parents:
                return path
        raise SegaSessionError(f"{path.name} is a link out of the folder. Choose another name.")


@lru_cache(maxsize=gallery.SHOWN)
def _encode(path: Path, _changed: float) -> bytes:
    with PIL.Image.open(path) as image:
        return encode_thumbnail(image.convert("RGB"), THUMBNAIL)


def _thumbnail(path: Path) -> bytes:
    """Return a picture's thumbnail; nothing if there is none that can be read."""
    try:
        return _encode(path, path.stat().st_mtime)
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        return b""
