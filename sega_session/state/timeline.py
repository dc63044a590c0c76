"""The history of a session, its current entry, and the moves between entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import frozen

from ..errors import HistoryError
from .fields import check_line
from .history import History
from .values import EditState


@frozen
class Group:
    """Edits that are one entry of the history.

    Attributes:
        start: the history before them.
        label: the entry's label; None: a description of the changes.
    """

    start: History
    label: str | None = None


@frozen(eq=False)
class Gesture:
    """The last gesture: its key, and the histories before and after it."""

    key: str
    start: History
    end: History


class Timeline:
    """A history and its current entry. A move is made completely or not at all.

    Args:
        before: called with the state of each move before it is made; raising refuses the move.
        after: called with the history after each move; for a transaction once, at its end.
    """

    def __init__(
        self, before: Callable[[EditState], None], after: Callable[[History], None]
    ) -> None:
        self._before = before
        self._after = after
        self._history = History()
        self._group: Group | None = None
        self._gesture: Gesture | None = None

    @property
    def state(self) -> EditState:
        """The current edit state."""
        return self._history.state

    @property
    def history(self) -> History:
        """Every state so far."""
        return self._history

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open."""
        return self._group is not None and self._group.label is not None

    def commit(self, state: EditState) -> None:
        """Adopt a new state, as an entry of its own or as part of the open group."""
        self._before(state)
        start, label = self._history, None
        if self._group is not None:
            start, label = self._group.start, self._group.label
        self._adopt(start.commit(state, label))

    def go(self, history: History) -> None:
        """Adopt another history. Raises HistoryError inside a transaction or a gesture."""
        if self._group is not None:
            raise HistoryError(
                "the history cannot be walked inside a transaction or a gesture; end it first."
            )
        self._before(history.state)
        self._adopt(history)

    @contextmanager
    def transaction(self, label: str) -> Iterator[None]:
        """Make several edits one entry; an error undoes all of them.

        Raises:
            InvalidValueError: the label is not one line of text.
        """
        check_line("label", label)
        start = self._history
        with self._grouped(Group(start, label)):
            try:
                yield
            except BaseException:
                self._history = start
                raise
        if self._group is None:
            self._after(self._history)

    @contextmanager
    def gesture(self, key: str) -> Iterator[None]:
        """Make edits one entry, together with an adjacent gesture of the same key."""
        start, last = self._history, self._gesture
        if last is not None and last.key == key and last.end is start:
            start = last.start
        with self._grouped(Group(start)):
            try:
                yield
            finally:
                self._gesture = Gesture(key, start, self._history)

    @contextmanager
    def _grouped(self, group: Group) -> Iterator[None]:
        """Make edits part of the group; the outermost of nested groups counts."""
        outer = self._group
        self._group = outer or group
        try:
            yield
        finally:
            self._group = outer

    def _adopt(self, history: History) -> None:
        self._history = history
        if not self.in_transaction:
            self._after(history)
