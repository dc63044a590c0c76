"""Autosave: a session's file, and beside it a journal of the edits since it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

import attrs
from attrs import frozen

from ..errors import AutosaveWarning, SessionFileError, warn_caller
from ..files import StrictError, append_line, dump, file_errors, parse, structure
from ..state import Entry, History
from . import session_file as storage
from .session_file import Stored


@frozen
class Visit:
    """Where `redo` goes from an entry."""

    entry: int
    child: int | None


@frozen
class Change:
    """What one edit or move did to a history: a line of the journal.

    Attributes:
        session: of the file that the journal goes on from, see `Document.session`.
        kept: so many entries stay.
        entries: those that come after them.
        visited: what changed of `History.visited`.
    """

    session: str
    kept: int
    entries: tuple[Entry, ...]
    visited: tuple[Visit, ...]
    current: int
    branches: Mapping[str, int]
    branch: str | None


def change(session: str, before: History, after: History) -> Change:
    """What leads from one history to another that grew from it."""
    same = 0
    for one, other in zip(before.entries, after.entries, strict=False):
        if one is not other:
            break
        same += 1
    old = {**dict(enumerate(before.visited)), **dict.fromkeys(range(same, len(after)))}
    visits = (Visit(i, child) for i, child in enumerate(after.visited) if child != old[i])
    return Change(
        session=session,
        kept=same,
        entries=after.entries[same:],
        visited=tuple(visits),
        current=after.current,
        branches=after.branches,
        branch=after.branch,
    )


def changed(history: History, by: Change) -> History:
    """The history that a change leads to."""
    visited = [*history.visited[: by.kept], *(None for _ in by.entries)]
    for visit in by.visited:
        visited[visit.entry] = visit.child
    return attrs.evolve(
        history,
        entries=(*history.entries[: by.kept], *by.entries),
        visited=tuple(visited),
        current=by.current,
        branches=by.branches,
        branch=by.branch,
    )


class Autosave:
    """Keeps a session's file and its journal up to date. Safe to call from any thread.

    Args:
        path: of the session's file; the journal is beside it, see `journal_of`.
        stored: gives the session as it is now.
    """

    def __init__(self, path: Path, stored: Callable[[], Stored]) -> None:
        self.path = path
        self._stored = stored
        self._lock = Lock()
        self._written: tuple[str, History, frozenset[str]] | None = None

    def save(self) -> None:
        """Write the file anew and begin an empty journal. Raises SessionFileError."""
        with self._lock:
            stored = self._stored()
            storage.write(self.path, stored)
            journal = journal_of(self.path)
            with file_errors(journal, "cannot be removed"):
                journal.unlink(missing_ok=True)
            document = stored.document
            self._written = document.session, document.history, frozenset(document.embeddings)

    def refresh(self) -> None:
        """Write the file anew, or warn (AutosaveWarning) and leave file and journal as they are."""
        try:
            self.save()
        except SessionFileError as error:
            warn_caller(f"the session was not saved: {error}", AutosaveWarning)

    def note(self, history: History) -> None:
        """Append what is new in the history to the journal.

        Warns:
            AutosaveWarning: it cannot be written. The edit itself stands, and is in the next save.
        """
        with self._lock:
            if self._written is None:
                return
            session, before, embeddings = self._written
            # A journal holds no tensors, so embeddings that are new ask for a new file.
            if embeddings >= {c.embedding for c in history.state if c.embedding is not None}:
                line = dump(change(session, before, history))
                try:
                    append_line(journal_of(self.path), line.encode())
                except SessionFileError as error:
                    warn_caller(f"the edit was not saved: {error}", AutosaveWarning)
                    return
                self._written = session, history, embeddings
                return
        self.refresh()


def journal_of(path: Path) -> Path:
    """Where a session file's journal is."""
    return path.with_name(path.name + ".journal")


def recovered(path: Path, session: str, history: History) -> History:
    """A file's history with the edits that its journal has.

    A last line that was cut off in the middle is passed over. Lines of another file's writing are
    too: the file was written after them, and has them.

    Warns:
        AutosaveWarning: the journal is damaged further up; what comes before that is recovered.
    """
    journal = journal_of(path)
    try:
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    except OSError as error:
        raise SessionFileError(f"{journal} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines):
        try:
            one = structure(parse(line), Change)
            if one.session != session:
                continue
            if not 1 <= one.kept <= len(history):
                raise StrictError(f"kept is {one.kept}, and there are {len(history)} entries")
            after = changed(history, one)
            if problems := after.problems():
                raise StrictError(problems[0])
        except (StrictError, IndexError) as error:
            warn_caller(
                f"{journal} is damaged in line {number + 1} ({error}); the {len(lines) - number} "
                "edits from there on are lost.",
                AutosaveWarning,
            )
            break
        history = after
    return history
