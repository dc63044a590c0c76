"""The history of a session as a tree of thumbnails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from anywidget import AnyWidget
from attrs import frozen
from traitlets import Bool, Dict, Int, List

from sega_session import EditSession
from sega_session.state import EditState, Entry, History

from .component import Handler, handle_messages
from .front_end import script, style
from .guard import Changed, Guard, edit
from .messages import Messages

Pin = Callable[[int | None, str], None]
"""A function that is called with the entry to compare with and its label; None, "": with none."""


@frozen
class Thumbnail:
    """A small image of a state.

    Attributes:
        png: the bytes of an image file, PNG or WebP.
        exact: True if it was made from an exact render.
    """

    png: bytes
    exact: bool


class HistoryView(AnyWidget):
    """All states of a session in a tree, to go to any of them, and to undo and redo.

    Entries are sent when they are new, thumbnails once each; a drag sends the newest entry alone.

    Args:
        session: the session whose history is shown.
        changed: called after every step.
        guard: the guard of the panel; None: the view shows its errors itself.
        pin: called when the user chooses an entry to compare with; None: there is no such choice.

    Attributes:
        entries: all entries but the newest, each a dict with ``parent``, ``label`` and ``state``,
            the number of its state: entries of equal states share a thumbnail.
        newest: the newest entry, as those.
        branches: the number of the entry at the end of each branch, by name.
        current: the number of the current entry.
        redo_target: the number of the entry that redo goes to, or None.
        pinned: the number of the entry to compare with, or None. Set it when something else ends
            the comparison.
        can_pin: True if an entry can be chosen to compare with.
        toasts: the messages of a view that shows them itself, or None.
    """

    _esm = script("history")
    _css = style("history", "toasts")

    entries = List(Dict()).tag(sync=True)
    newest = Dict().tag(sync=True)
    branches = Dict().tag(sync=True)
    current = Int().tag(sync=True)
    redo_target = Int(None, allow_none=True).tag(sync=True)
    pinned = Int(None, allow_none=True).tag(sync=True)
    can_pin = Bool().tag(sync=True)
    toasts = List(Dict(), default_value=None, allow_none=True).tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard | None = None,
        *,
        pin: Pin | None = None,
    ) -> None:
        super().__init__(can_pin=pin is not None)
        self._session = session
        self._changed = changed
        messages = Messages()
        self._guard = guard or Guard(messages)
        self._pin = pin
        # Held while the entries or the thumbnails change: the render thread sets thumbnails.
        self._lock = threading.Lock()
        self._numbers = count()
        self._states: dict[EditState, int] = {}
        self._by_entry: list[int] = []
        self._history = session.history
        self._thumbnails: dict[int, Thumbnail] = {}
        if guard is None:
            messages.show_in(self)
        handlers: dict[str, Handler] = {
            "undo": self._undo,
            "redo": self._redo,
            "go": self._go,
            "name": self._name,
            "rename": self._rename,
            "pin": self._choose_pin,
        }
        handle_messages(self, self._guard, handlers)
        self.on_msg(self._answer)
        self._add_states(self._history, 0)
        self._show(self._history)

    @property
    def thumbnails(self) -> Mapping[EditState, Thumbnail]:
        """The thumbnails so far, by state."""
        with self._lock:
            return {
                state: self._thumbnails[number]
                for state, number in self._states.items()
                if number in self._thumbnails
            }

    def undo(self) -> None:
        """Go back to the state before the last edit, if there is one."""
        self._guard.run(self._undo)

    def redo(self) -> None:
        """Repeat the edit that was undone last, if there is one."""
        self._guard.run(self._redo)

    def refresh(self) -> None:
        """Show the session's current history."""
        history = self._session.history
        with self._lock:
            kept = history.entries_in_common(self._history)
            removed = self._history.entries[kept:]
            del self._by_entry[kept:]
            self._add_states(history, kept)
            for state in {entry.state for entry in removed}:
                if self._states[state] not in self._by_entry:
                    self._thumbnails.pop(self._states.pop(state), None)
            self._history = history
            self._show(history)
        # A drag that ends where it started removes its entry.
        if self.pinned is not None and self.pinned >= len(history):
            self._choose_pin(None)

    def set_thumbnail(self, state: EditState, png: bytes, *, exact: bool) -> None:
        """Show a thumbnail of a state; an approximate one never replaces an exact one.

        Args:
            state: the state that was rendered; one that the history no longer has is ignored.
            png: the bytes of an image file, PNG or WebP, a few dozen pixels wide.
            exact: True if the render was exact.
        """
        with self._lock:
            number = self._states.get(state)
            if number is None:
                return
            before, thumbnail = self._thumbnails.get(number), Thumbnail(png, exact)
            if before == thumbnail or (before is not None and before.exact and not exact):
                return
            self._thumbnails[number] = thumbnail
            self._send_thumbnails({number: thumbnail})

    def states_without_thumbnail(self) -> list[EditState]:
        """Return the states of the history that have no thumbnail, each once."""
        with self._lock:
            return [one for one, number in self._states.items() if number not in self._thumbnails]

    def _add_states(self, history: History, first: int) -> None:
        """Number the states of the entries from one on; equal states have one number."""
        for entry in history.entries[first:]:
            number = self._states.get(entry.state)
            if number is None:
                number = self._states[entry.state] = next(self._numbers)
            self._by_entry.append(number)

    def _show(self, history: History) -> None:
        """Set the traits, in one message to the page."""
        *entries, newest = map(self._describe, history, self._by_entry)
        with self.hold_sync():
            self.entries, self.newest = entries, newest
            self.branches = dict(history.branches)
            self.current = history.current
            self.redo_target = history.visited[history.current]

    @staticmethod
    def _describe(entry: Entry, state: int) -> dict[str, Any]:
        return {"parent": entry.parent, "label": entry.label, "state": state}

    def _send_thumbnails(self, thumbnails: Mapping[int, Thumbnail]) -> None:
        self.send(
            {
                "kind": "thumbnails",
                "states": [*thumbnails],
                "exact": [one.exact for one in thumbnails.values()],
            },
            [one.png for one in thumbnails.values()],
        )

    def _answer(self, _: object, content: dict[str, Any], __: object) -> None:
        """Send a new page all thumbnails; no action of the user, so no message is cleared."""
        if content.get("kind") == "thumbnails":
            with self._lock:
                self._send_thumbnails(self._thumbnails)

    def _undo(self) -> None:
        if self._session.history.can_undo:
            self._edit(self._session.undo)

    def _redo(self) -> None:
        if self._session.history.can_redo:
            self._edit(self._session.redo)

    def _go(self, entry: int) -> None:
        """Go to an entry, and to its branch if one ends there."""
        names = self._session.history.names().get(entry, [])
        self._edit(lambda: self._session.checkout(names[0] if names else entry))

    def _name(self, entry: int, name: str) -> None:
        """Begin a branch at an entry; the session stays where it is."""
        session, history = self._session, self._session.history
        here: int | str = history.current
        if history.branch is not None and history.branches[history.branch] == here:
            here = history.branch

        def begin() -> None:
            if entry == history.current:
                session.branch(name)
                return
            session.checkout(entry)
            try:
                session.branch(name)
            finally:
                session.checkout(here)

        self._edit(begin)

    def _rename(self, old: str, new: str) -> None:
        self._edit(lambda: self._session.rename_branch(old, new))

    def _choose_pin(self, entry: int | None) -> None:
        if self._pin is not None:
            label = "" if entry is None else self._session.history[entry].label
            self.pinned = entry
            self._pin(entry, label.replace(" -> ", " → "))

    def _edit(self, act: Callable[[], None]) -> None:
        edit(self._session, act, self.refresh, self._changed)
