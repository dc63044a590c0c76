"""The history of a session as a tree, to walk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from attrs import frozen
from ipywidgets import Button, HBox, Image, Layout, Text, VBox

from sega_session import EditSession, EditState
from sega_session.state import Entry, History

from .access import CHOICE
from .children import close_with_children
from .guard import Changed, Guard, edit
from .marks import mark
from .messages import Messages
from .png import BLANK

INDENT = 20
"""Pixels that a fork's entries are moved to the right."""


@frozen
class Thumbnail:
    """A state's picture, small."""

    png: bytes
    exact: bool


class EntryRow(HBox):
    """One entry: its picture, and a button that goes there."""

    def __init__(self) -> None:
        self.thumbnail = Image(value=BLANK, format="png", layout=Layout(width="36px"))
        self.button = Button(layout=Layout(width="auto", flex="1 1 auto"))
        super().__init__([self.thumbnail, self.button], layout=Layout(align_items="center"))
        self.add_class(CHOICE)

    def show(
        self, entry: Entry, names: str, depth: int, thumbnail: Thumbnail | None, *, current: bool
    ) -> None:
        """Show an entry of the history."""
        sign = "●" if current else "○"
        words = f"{entry.id} {entry.label}{f' ({names})' if names else ''}"
        self.button.description = f"{sign} {words}"
        mark(self.button, current)
        self.layout.margin = f"0 0 0 {depth * INDENT}px"
        self.thumbnail.value = thumbnail.png if thumbnail else BLANK
        rough = thumbnail is not None and not thumbnail.exact
        tooltip = f"{'You are at' if current else 'Go to'} {words}"
        self.button.tooltip = tooltip + (". The small picture is approximate." if rough else "")


class HistoryView(VBox):
    """Undo, redo, and every state so far; a click goes there.

    Args:
        session: whose history it is.
        changed: called after every step.
        guard: shared by the parts of a panel; without one, the view shows its own errors.
    """

    def __init__(self, session: EditSession, changed: Changed, guard: Guard | None = None) -> None:
        self._session = session
        self._changed = changed
        self._guard = guard or Guard(Messages())
        # Held while rows or thumbnails change: thumbnails come from the thread that draws.
        self._lock = threading.Lock()
        self._thumbnails: dict[EditState, Thumbnail] = {}
        self._rows: list[EntryRow] = []
        self.undo = Button(description="Undo", tooltip="Back to the state before the last edit")
        self.redo = Button(description="Redo", tooltip="Take back an undo")
        self.name = Text(
            description="Branch",
            placeholder="a name, then Enter",
            tooltip="Name a branch that begins here: text in one line, then Enter",
            continuous_update=False,
            layout=Layout(width="auto", max_width="30em"),
        )
        self.undo.on_click(lambda _: self._act(session.undo))
        self.redo.on_click(lambda _: self._act(session.redo))
        self.name.observe(lambda _: self._guard.act(self._branch), "value")
        self._tree = VBox(layout=Layout(max_height="22em", overflow="auto", display="block"))
        own = [] if guard else [self._guard.messages]
        super().__init__([HBox([self.undo, self.redo]), self._tree, self.name, *own])
        self.refresh()

    @property
    def rows(self) -> tuple[EntryRow, ...]:
        """The entries, in the order they are shown."""
        rows: tuple[EntryRow, ...] = self._tree.children
        return rows

    def refresh(self) -> None:
        """Show the session's history as it is now."""
        history = self._session.history
        with self._guard.setting(), self._lock:
            self.undo.disabled = not history.can_undo
            self.redo.disabled = not history.can_redo
            states = {entry.state for entry in history}
            self._thumbnails = {s: one for s, one in self._thumbnails.items() if s in states}
            while len(self._rows) < len(history):
                self._rows.append(self._row(len(self._rows)))
            self._show(history)
            self._tree.children = [self._rows[number] for number, _ in tree(history)]
            # A drag that ends where it began takes its entry back.
            while len(self._rows) > len(history):
                close_with_children(self._rows.pop())

    def picture(self, state: EditState, png: bytes, *, exact: bool) -> None:
        """Keep a small picture of a state and show it; an exact one is not given up for less.

        Args:
            state: what was drawn.
            png: the picture as the bytes of a PNG file, a few dozen pixels wide.
        """
        with self._lock:
            before = self._thumbnails.get(state)
            if before is not None and before.exact and not exact:
                return
            self._thumbnails[state] = Thumbnail(png, exact)
            history = self._session.history
            self._show(history)

    def without_picture(self) -> list[EditState]:
        """The states that no picture is known of, each once."""
        with self._lock:
            states = dict.fromkeys(entry.state for entry in self._session.history)
            return [state for state in states if state not in self._thumbnails]

    def _show(self, history: History) -> None:
        """Bring the rows up to date."""
        names = history.names()
        for number, depth in tree(history):
            if number < len(self._rows):
                entry = history[number]
                self._rows[number].show(
                    entry,
                    ", ".join(names.get(number, [])),
                    depth,
                    self._thumbnails.get(entry.state),
                    current=number == history.current,
                )

    def _row(self, number: int) -> EntryRow:
        row = EntryRow()
        row.button.on_click(lambda _: self._act(lambda: self._go(number)))
        return row

    def _go(self, number: int) -> None:
        """Go to an entry, and along its branch if one ends there."""
        names = self._session.history.names().get(number, [])
        self._session.checkout(names[0] if names else number)

    def _branch(self) -> None:
        name = self.name.value.strip()
        if name:
            self._step(lambda: self._session.branch(name))
            with self._guard.setting():
                self.name.value = ""

    def _act(self, step: Callable[[], None]) -> None:
        self._guard.act(lambda: self._step(step))

    def _step(self, step: Callable[[], None]) -> None:
        edit(self._session, step, self.refresh, self._changed)


def tree(history: History) -> Iterator[tuple[int, int]]:
    """The entries in the order of the tree, each with its depth: only forks go deeper."""
    children = history.children()
    waiting = [(0, 0)]
    while waiting:
        number, depth = waiting.pop()
        yield number, depth
        after = children.get(number, [])
        deeper = depth + (len(after) > 1)
        waiting.extend((one, deeper) for one in reversed(after))
