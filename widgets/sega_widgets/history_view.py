"""The history of a session as a tree of buttons."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen
from ipywidgets import Button, HBox, Image, Layout, Text, VBox

from sega_session import EditSession
from sega_session.state import EditState, Entry, History

from .access import CHOICE
from .children import close_all
from .guard import Changed, Guard, edit
from .highlight import highlight
from .messages import Messages
from .png import BLANK

INDENT = 20
"""Indentation of a fork's entries in pixels."""


@frozen
class Thumbnail:
    """A small image of a state.

    Attributes:
        png: the bytes of a PNG file.
        exact: True if it was made from an exact render.
    """

    png: bytes
    exact: bool


class EntryRow(HBox):
    """One entry of the history: a thumbnail, and a button that goes to the entry."""

    def __init__(self) -> None:
        self.thumbnail = Image(value=BLANK, format="png", layout=Layout(width="36px"))
        self.button = Button(layout=Layout(width="auto", flex="1 1 auto"))
        super().__init__([self.thumbnail, self.button], layout=Layout(align_items="center"))
        self.add_class(CHOICE)

    def show(
        self, entry: Entry, names: str, depth: int, thumbnail: Thumbnail | None, *, current: bool
    ) -> None:
        """Show an entry.

        Args:
            entry: the entry.
            names: names of the branches that end at it, with commas; empty if there are none.
            depth: the number of forks above it.
            thumbnail: an image of its state, if there is one.
            current: True if the session is at this entry.
        """
        sign = "●" if current else "○"
        words = f"{entry.id} {entry.label}{f' ({names})' if names else ''}"
        self.button.description = f"{sign} {words}"
        highlight(self.button, current)
        self.layout.margin = f"0 0 0 {depth * INDENT}px"
        self.thumbnail.value = thumbnail.png if thumbnail else BLANK
        approximate = thumbnail is not None and not thumbnail.exact
        tooltip = f"{'You are at' if current else 'Go to'} {words}"
        self.button.tooltip = tooltip + (". The thumbnail is approximate." if approximate else "")


class HistoryView(VBox):
    """Buttons to undo and redo, and all states of the history; a click goes to a state.

    Args:
        session: the session whose history is shown.
        changed: called after every step.
        guard: the guard of the panel; None: the view shows its errors itself.
    """

    def __init__(self, session: EditSession, changed: Changed, guard: Guard | None = None) -> None:
        self._session = session
        self._changed = changed
        self._guard = guard or Guard(Messages())
        # Held while rows or thumbnails change, since the render thread sets thumbnails.
        self._lock = threading.Lock()
        self._thumbnails: dict[EditState, Thumbnail] = {}
        self._rows: list[EntryRow] = []
        self.undo = Button(description="Undo", tooltip="Go back to the state before the last edit")
        self.redo = Button(description="Redo", tooltip="Repeat the edit that was undone")
        self.name = Text(
            description="Branch",
            placeholder="a name, then Enter",
            tooltip="Name a branch that starts here: one line of text, then Enter",
            continuous_update=False,
            layout=Layout(width="auto", max_width="30em"),
        )
        self.undo.on_click(lambda _: self._run(session.undo))
        self.redo.on_click(lambda _: self._run(session.redo))
        self.name.observe(lambda _: self._guard.run(self._branch), "value")
        self._tree = VBox(layout=Layout(max_height="22em", overflow="auto", display="block"))
        own = [] if guard else [self._guard.messages]
        super().__init__([HBox([self.undo, self.redo]), self._tree, self.name, *own])
        self.refresh()

    @property
    def rows(self) -> tuple[EntryRow, ...]:
        """The rows of the entries, in the order in which they are shown."""
        rows: tuple[EntryRow, ...] = self._tree.children
        return rows

    @property
    def thumbnails(self) -> Mapping[EditState, Thumbnail]:
        """The thumbnails so far, by state."""
        with self._lock:
            return dict(self._thumbnails)

    def refresh(self) -> None:
        """Show the session's current history."""
        history = self._session.history
        with self._guard.updating(), self._lock:
            self.undo.disabled = not history.can_undo
            self.redo.disabled = not history.can_redo
            states = {entry.state for entry in history}
            self._thumbnails = {s: one for s, one in self._thumbnails.items() if s in states}
            while len(self._rows) < len(history):
                self._rows.append(self._new_row(len(self._rows)))
            self._show(history)
            self._tree.children = [self._rows[number] for number, _ in iter_tree(history)]
            # A drag that ends where it started removes its entry.
            while len(self._rows) > len(history):
                close_all(self._rows.pop())

    def set_thumbnail(self, state: EditState, png: bytes, *, exact: bool) -> None:
        """Show a thumbnail of a state; an approximate one never replaces an exact one.

        Args:
            state: the state that was rendered.
            png: the bytes of a PNG file, a few dozen pixels wide.
            exact: True if the render was exact.
        """
        with self._lock:
            before = self._thumbnails.get(state)
            if before is not None and before.exact and not exact:
                return
            self._thumbnails[state] = Thumbnail(png, exact)
            self._show(self._session.history)

    def states_without_thumbnail(self) -> list[EditState]:
        """Return the states of the history that have no thumbnail, each once."""
        with self._lock:
            states = dict.fromkeys(entry.state for entry in self._session.history)
            return [state for state in states if state not in self._thumbnails]

    def _show(self, history: History) -> None:
        """Update the rows."""
        names = history.names()
        for number, depth in iter_tree(history):
            if number < len(self._rows):
                entry = history[number]
                self._rows[number].show(
                    entry,
                    ", ".join(names.get(number, [])),
                    depth,
                    self._thumbnails.get(entry.state),
                    current=number == history.current,
                )

    def _new_row(self, number: int) -> EntryRow:
        row = EntryRow()
        row.button.on_click(lambda _: self._run(lambda: self._check_out(number)))
        return row

    def _check_out(self, number: int) -> None:
        """Go to an entry, and to its branch if one ends there."""
        names = self._session.history.names().get(number, [])
        self._session.checkout(names[0] if names else number)

    def _branch(self) -> None:
        name = self.name.value.strip()
        if name:
            self._edit(lambda: self._session.branch(name))
            with self._guard.updating():
                self.name.value = ""

    def _run(self, act: Callable[[], None]) -> None:
        self._guard.run(lambda: self._edit(act))

    def _edit(self, act: Callable[[], None]) -> None:
        edit(self._session, act, self.refresh, self._changed)


def iter_tree(history: History) -> Iterator[tuple[int, int]]:
    """Iterate over entry numbers and their depths; only entries after a fork are deeper."""
    children = history.children()
    pending = [(0, 0)]
    while pending:
        number, depth = pending.pop()
        yield number, depth
        after = children.get(number, [])
        deeper = depth + (len(after) > 1)
        pending.extend((one, deeper) for one in reversed(after))
