"""A session's way through its history: one value that is replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from ..errors import HistoryError
from .diff import diff
from .fields import check_line
from .history import History
from .values import EditState


@frozen
class Group:
    """Edits that are one entry of the history.

    Attributes:
        start: the history before them.
        label: what they are called; None: what they change, in words.
    """

    start: History
    label: str | None = None


@frozen(eq=False)
class Gesture:
    """The last gesture: what it is called, and the histories before and after it."""

    key: str
    start: History
    end: History


class Timeline:
    """Where a session is in its history, and the ways to go."""

    def __init__(self) -> None:
        self._history = History()
        self._group: Group | None = None
        self._gesture: Gesture | None = None

    @property
    def state(self) -> EditState:
        """The current edit state, a frozen value."""
        return self._history.state

    @property
    def history(self) -> History:
        """Every state so far, a frozen tree: iterate over its entries, or print it."""
        return self._history

    def undo(self) -> None:
        """Go back to the state before the last edit. Raises HistoryError where there is none."""
        self._go(self._history.undo())

    def redo(self) -> None:
        """Take back an `undo`. Raises HistoryError where there is nothing to redo."""
        self._go(self._history.redo())

    def checkout(self, target: int | str) -> None:
        """Go to any entry of the history, by its id or by a branch's name.

        By name, the next edit moves the branch along; by id, it leaves all branches alone.

        Raises:
            HistoryError: there is no such entry.
        """
        self._go(self._history.checkout(target))

    def branch(self, name: str) -> None:
        """Begin a branch here; edits move its name along until another place is gone to.

        Raises:
            InvalidValueError: no text, or the name is taken.
        """
        self._go(self._history.with_branch(name))

    def diff(self, before: int | str, after: int | str) -> str:
        """What changed between two entries, in words: "beard: scale 5 -> 8; glasses inverted".

        Raises:
            HistoryError: there is no such entry.
        """
        return diff(self._history[before].state, self._history[after].state)

    @contextmanager
    def transaction(self, label: str) -> Iterator[None]:
        """Several edits as one entry of the history; an error takes all of them back.

        >>> with session.transaction("age her"):
        ...     session.add("grey hair")
        ...     session.add("wrinkles", scale=4)

        Raises:
            InvalidValueError: the label is no text, or empty.
        """
        check_line("label", label)
        before = self._history
        with self._grouped(Group(before, label)):
            try:
                yield
            except BaseException:
                self._history = before
                raise
        if self._group is None:
            self._changed()

    @contextmanager
    def gesture(self, key: str) -> Iterator[None]:
        """Edits that are one movement of a hand, as one entry of the history.

        Gestures of one key that follow each other with nothing between them are one entry too, so
        that whoever only hears of single events can open one for each; another drag of the same
        slider takes another key.

        >>> with session.gesture("beard.scale"):
        ...     for scale in (5.5, 6, 6.5):
        ...         session.reweight("beard", scale=scale)
        """
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
        """Make edits part of the group; of groups in groups the outermost counts."""
        outer = self._group
        self._group = outer or group
        try:
            yield
        finally:
            self._group = outer

    def _commit(self, state: EditState) -> None:
        """Go on to a new state, as an entry of its own or as part of the group that is open."""
        start, label = self._history, None
        if self._group is not None:
            start, label = self._group.start, self._group.label
        self._adopt(start.commit(state, label))

    def _go(self, history: History) -> None:
        """Adopt a history that is elsewhere."""
        if self._group is not None:
            raise HistoryError(
                "the history cannot be walked inside a transaction or a gesture; end it first."
            )
        self._prepare(history.state)
        self._adopt(history)

    def _prepare(self, state: EditState) -> None:
        """Get ready to draw a state; what raises here leaves the history as it is."""

    def _adopt(self, history: History) -> None:
        """Go on with another history."""
        self._history = history
        if self._group is None or self._group.label is None:
            self._changed()

    def _changed(self) -> None:
        """Called when the history has changed; for a transaction once, at its end."""
