"""Autosave a session: its file, and a journal of the edits made since the file was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

import attrs
from attrs import frozen

from ..errors import AutosaveWarning, SessionFileError, warn_caller
from ..files import StrictError, append_line, dump, file_errors, parse, structure
from ..state import Entry, History
from .session_file import write_session
from .snapshot import Snapshot


@frozen
class Visit:
    """The child that `redo` goes to from an entry."""

    entry: int
    child: int | None


@frozen
class Change:
    """The difference that one edit or move made to a history: a line of the journal.

    Attributes:
        session: the name of the file that the journal continues; see `Document.session`.
        kept: the number of entries that stay, counted from the first.
        entries: the entries that follow them.
        visited: the members of `History.visited` that changed.
        current: the new `History.current`.
        branches: the new `History.branches`.
        branch: the new `History.branch`.
    """

    session: str
    kept: int
    entries: tuple[Entry, ...]
    visited: tuple[Visit, ...]
    current: int
    branches: Mapping[str, int]
    branch: str | None


def compute_change(session: str, before: History, after: History) -> Change:
    """Return the change from one history to another that grew from it."""
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


def apply_change(history: History, change: Change) -> History:
    """Return the history that a change leads to."""
    visited = [*history.visited[: change.kept], *(None for _ in change.entries)]
    for visit in change.visited:
        visited[visit.entry] = visit.child
    return attrs.evolve(
        history,
        entries=(*history.entries[: change.kept], *change.entries),
        visited=tuple(visited),
        current=change.current,
        branches=change.branches,
        branch=change.branch,
    )


class Autosave:
    """A session's file and journal, kept up to date. Every method may be called from any thread.

    Args:
        path: the session's file; its journal is at `journal_path`.
        stored: called to get the session as it is now.
    """

    def __init__(self, path: Path, stored: Callable[[], Snapshot]) -> None:
        self.path = path
        self._stored = stored
        self._lock = Lock()
        self._written: tuple[str, History, frozenset[str]] | None = None

    def save(self) -> None:
        """Write the file and remove its journal. Raises SessionFileError."""
        with self._lock:
            stored = self._stored()
            write_session(self.path, stored)
            journal = journal_path(self.path)
            with file_errors(journal, "cannot be removed"):
                journal.unlink(missing_ok=True)
            document = stored.document
            self._written = document.session, document.history, frozenset(document.embeddings)

    def refresh(self) -> None:
        """Write the file as `save` does, but warn where that raises.

        Warns:
            AutosaveWarning: the file cannot be written. File and journal stay as they are.
        """
        try:
            self.save()
        except SessionFileError as error:
            warn_caller(f"the session was not saved: {error}", AutosaveWarning)

    def note(self, history: History) -> None:
        """Append the changes since the last call, or since the file was written, to the journal.

        Warns:
            AutosaveWarning: the journal cannot be written. The next call appends these changes too.
        """
        with self._lock:
            if self._written is None:
                return
            session, before, embeddings = self._written
            # A journal holds no tensors, so new embeddings need a new file.
            if embeddings >= {c.embedding for c in history.state if c.embedding is not None}:
                line = dump(compute_change(session, before, history))
                try:
                    append_line(journal_path(self.path), line.encode())
                except SessionFileError as error:
                    warn_caller(f"the edit was not saved: {error}", AutosaveWarning)
                    return
                self._written = session, history, embeddings
                return
        self.refresh()


def journal_path(path: Path) -> Path:
    """Return the path of a session file's journal."""
    return path.with_name(path.name + ".journal")


def recover_history(path: Path, session: str, history: History) -> History:
    """Apply a session file's journal to its history.

    An incomplete last line is ignored. So are lines that continue an earlier file of this name,
    since the file was written later and has their edits.

    Args:
        path: the session's file.
        session: the `Document.session` of the file.
        history: the history in the file.

    Raises:
        SessionFileError: the journal cannot be read.

    Warns:
        AutosaveWarning: a line is damaged; it and the lines after it are lost.
    """
    journal = journal_path(path)
    try:
        lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    except OSError as error:
        raise SessionFileError(f"{journal} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines):
        try:
            change = structure(parse(line), Change)
            if change.session != session:
                continue
            if not 1 <= change.kept <= len(history):
                raise StrictError(f"kept is {change.kept}, and there are {len(history)} entries")
            after = apply_change(history, change)
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
