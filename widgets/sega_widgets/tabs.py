"""Tabs for the sessions of a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from anywidget import AnyWidget
from traitlets import Int, List, Unicode

from .component import handle_messages
from .front_end import script, style
from .guard import Guard


class SessionTabs(AnyWidget):
    """A row of tabs, one per session, each with a button that closes it; hidden for one session.

    Args:
        guard: the guard of the panel.
        select: called with the number of the tab that was clicked.
        close: called with the number of the tab whose button was clicked.

    Attributes:
        titles: the titles of the sessions.
        current: the number of the current one.
    """

    _esm = script("tabs")
    _css = style("tabs")

    titles = List(Unicode()).tag(sync=True)
    current = Int(0).tag(sync=True)

    def __init__(
        self, guard: Guard, select: Callable[[int], None], close: Callable[[int], None]
    ) -> None:
        super().__init__()
        handle_messages(self, guard, {"select": select, "close": close})

    def show(self, titles: Sequence[str], current: int) -> None:
        """Show these titles, with the current one selected."""
        with self.hold_sync():
            self.titles, self.current = list(titles), current
