"""Autosave a session: its file, and a journal of the edits made since the file was written.

An edit is saved if it is in the file, or in a journal that belongs to the file. What is on the disk
decides, not what this process believes: before each line, the digest in the file at the path says
which of the files that this session wrote it is, and the line continues that one. So nothing
depends on how a file got there, or on where a write was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock

import attrs
from attrs import frozen

from ..errors import AutosaveWarning, SegaSessionError, SessionFileError, shorten, warn_caller
from ..files import (
    StrictError,
    append_line,
    dump,
    locked,
    parse,
    read_regular,
    structure,
)
from ..state import Entry, History
from ..state.fields import is_line
from .document import MAX_CONCEPTS, Document
from .session_file import journal_path, read_digest, replace_session, write_session
from .snapshot import Snapshot

MAX_JOURNAL_BYTES = 32 * 2**20
"""The longest journal that is read. A longer one is not written: the file is written again."""

MAX_KNOWN = 8
"""The number of files written last that a session recognises at its autosave path."""


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
    kept = before.entries_in_common(after)
    return Change(
        session=session,
        kept=kept,
        entries=tuple(after.entries[kept:]),
        visited=tuple(Visit(one, after.visited[one]) for one in before.other_visits(after, kept)),
        current=after.current,
        branches=after.branches,
        branch=after.branch,
    )


@frozen
class Base:
    """A file that this session wrote, and what its journal adds to it.

    Attributes:
        session: the file's `Document.session`.
        history: the history in file and journal.
        tensors: the digests of the embeddings and masks in the file.
        journal_bytes: the size of the journal.
    """

    session: str
    history: History
    tensors: frozenset[str]
    journal_bytes: int = 0


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
        # By digest; and the digest of the file that was last seen at the path.
        self._known: dict[str, Base] = {}
        self._seen = ""
        # A process that was forked from this one must not write to the same journal.
        self._process = os.getpid()

    def save(self) -> None:
        """Write the file, whatever is at the path. Raises SessionFileError."""
        with self._lock:
            write_session(self.path, self._stored(), self.expect)

    def expect(self, digest: str, document: Document) -> None:
        """Recognise a file that this session is about to move to a path, this one or another."""
        base = Base(
            document.session, document.history, frozenset({*document.embeddings, *document.masks})
        )
        self._known[digest] = base
        for old in [*self._known][:-MAX_KNOWN]:
            if old != self._seen:
                self._known.pop(old, None)

    def refresh(self) -> None:
        """Write the file again, with the renders that the session has now.

        Warns:
            AutosaveWarning: the file cannot be written, or another writer has replaced it. File
                and journal stay as they are.
        """
        try:
            with self._lock, locked(self.path) as target:
                self._base(target)
                self._write(target)
        except SegaSessionError as error:
            warn_caller(f"the session was not saved: {error}", AutosaveWarning)

    def note(self, history: History) -> None:
        """Save the changes since the last call, or since the file was written.

        Warns:
            AutosaveWarning: the changes are not saved, since the disk or another writer prevents
                it. The next call saves them too.
        """
        try:
            with self._lock, locked(self.path) as target:
                base = self._base(target)
                if base is None or not self._append(target, base, history):
                    self._write(target)
        except SegaSessionError as error:
            warn_caller(f"the edit was not saved: {error}", AutosaveWarning)

    def _base(self, target: Path) -> Base | None:
        """Return which of this session's files is at the path; None if there is no file.

        Raises:
            SessionFileError: the file is another writer's, so that it must not be replaced.
        """
        digest = read_digest(target)
        if digest is None:
            return None
        base = self._known.get(digest)
        if base is None or os.getpid() != self._process:
            raise SessionFileError(
                f"{str(self.path)!r} is no longer the file that this session wrote: another "
                "session or program has replaced it. Call autosave() with another path; until then "
                "no edit is saved."
            )
        self._seen = digest
        return base

    def _append(self, target: Path, base: Base, history: History) -> bool:
        """Append a line to the journal; return False if the file has to be written instead."""
        if history is base.history:
            return True
        change = compute_change(base.session, base.history, history)
        if not _tensors(change) <= base.tensors:
            return False  # a journal holds no tensors
        line = dump(change).encode()
        if base.journal_bytes + len(line) >= MAX_JOURNAL_BYTES:
            return False
        size = append_line(journal_path(target), line, base.journal_bytes)
        if size is None:
            return False
        self._known[self._seen] = attrs.evolve(base, history=history, journal_bytes=size)
        return True

    def _write(self, target: Path) -> None:
        replace_session(target, self.path, self._stored(), self.expect)


def read_journal(path: Path) -> tuple[bytes, ...]:
    """Return the complete lines of a session file's journal, oldest first.

    Read them before the file: if the file is written meanwhile, it has their edits, and they no
    longer belong to it.

    Raises:
        SessionFileError: the journal cannot be read, or is too long.
    """
    journal = journal_path(path)
    if not journal.exists():
        return ()
    return tuple(read_regular(journal, MAX_JOURNAL_BYTES).split(b"\n")[:-1])


def continues(lines: tuple[bytes, ...], document: Document) -> bool:
    """Return whether a journal has edits that are not in the file with this document."""
    # The last line suffices: the first one for a file begins a new journal.
    try:
        return bool(lines) and _change(lines[-1], document.session) is not None
    except StrictError:
        return True


def recover_history(path: Path, lines: tuple[bytes, ...], document: Document) -> History:
    """Apply a session file's journal to its history.

    Lines that continue an earlier file of this name are ignored, since the file was written later
    and has their edits.

    Args:
        path: the session's file.
        lines: what `read_journal` returned.
        document: the document in the file.

    Warns:
        AutosaveWarning: a line is damaged, or names embeddings that the file lacks; it and the
            lines after it are lost.
    """
    replay = _Replay(document)
    for number, line in enumerate(lines):
        try:
            change = _change(line, document.session)
            if change is not None:
                replay.apply(change)
        except StrictError as error:
            warn_caller(
                f"{str(journal_path(path))!r} is damaged in line {number + 1} ({error}); the "
                f"{len(lines) - number} edits from there on are lost. What is recovered: "
                f"{replay.applied} edits of the journal, and the file.",
                AutosaveWarning,
            )
            break
    return replay.history()


def _change(line: bytes, session: str) -> Change | None:
    """Read a line of a journal; return None if it continues another file."""
    plain = parse(line)
    if type(plain) is dict and plain.get("session") != session:
        return None
    return structure(plain, Change)


def _tensors(change: Change) -> set[str]:
    """Return the digests of the embeddings and masks that a change names."""
    concepts = [concept for entry in change.entries for concept in entry.state]
    embeddings = {one.embedding for one in concepts if one.embedding is not None}
    return embeddings | {mask.digest for entry in change.entries for mask in entry.state.masks}


class _Replay:
    """A history to which the lines of a journal are applied, each at the cost of its change.

    Attributes:
        applied: the number of lines that were applied.
    """

    def __init__(self, document: Document) -> None:
        self._start = document.history
        self._tensors = {*document.embeddings, *document.masks}
        self._entries, self._visited = [*self._start.entries], [*self._start.visited]
        self._last: Change | None = None
        self.applied = 0

    def apply(self, change: Change) -> None:
        """Apply a change. Raises StrictError, and applies nothing, if it does not fit."""
        for problem in self._problems(change):
            raise StrictError(problem)
        self._entries[change.kept :] = change.entries
        self._visited[change.kept :] = [None] * len(change.entries)
        for visit in change.visited:
            self._visited[visit.entry] = visit.child
        self._last = change
        self.applied += 1

    def history(self) -> History:
        """Return the history after the changes."""
        if self._last is None:
            return self._start
        return History(
            entries=tuple(self._entries),
            current=self._last.current,
            visited=tuple(self._visited),
            branches=self._last.branches,
            branch=self._last.branch,
        )

    def _problems(self, change: Change) -> Iterator[str]:
        kept, count = change.kept, change.kept + len(change.entries)
        if not 1 <= kept <= len(self._entries):
            yield f"kept is {kept}, and there are {len(self._entries)} entries"
        for number, entry in enumerate(change.entries, kept):
            if entry.id != number or entry.parent not in range(number):
                yield f"history entry {number} has id {entry.id}, parent {entry.parent}"
            names = {concept.name for concept in entry.state}
            if len(names) < len(entry.state.concepts) or len(names) > MAX_CONCEPTS:
                yield f"history entry {number} has two concepts of one name, or too many"
        for digest in _tensors(change) - self._tensors:
            yield f"it names the embeddings or mask {shorten(digest)}, which the file does not hold"
        # What was visited and is not any more, unless the change says what is now.
        removed = {entry.parent: entry.id for entry in self._entries[kept:]}
        visits = {
            parent: child
            for parent, child in removed.items()
            if parent is not None and parent < kept and self._visited[parent] == child
        }
        for parent, child in {**visits, **{v.entry: v.child for v in change.visited}}.items():
            fits = parent in range(count)
            if child is not None:
                fits = fits and child in range(count) and self._parent(child, change) == parent
            if not fits:
                yield f"history entry {parent} was left for {child}, which is no child"
        for name in change.branches:
            if not is_line(name):
                yield f"the branch's name {shorten(name)} is not one line of text"
        if any(one not in range(count) for one in (change.current, *change.branches.values())):
            yield f"an entry is named, and there are {count}"
        if change.branch is not None and change.branch not in change.branches:
            yield f"there is no branch {shorten(change.branch)}"

    def _parent(self, number: int, change: Change) -> int | None:
        if number < change.kept:
            return self._entries[number].parent
        return change.entries[number - change.kept].parent
