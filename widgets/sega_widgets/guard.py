"""Run the actions of a user one at a time, and show their errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sega_session import EditSession
from sega_session.errors import SegaSessionError, redirect_warnings

from .messages import Messages

log = logging.getLogger(__name__)

Changed = Callable[[bool], None]
"""A function that is called after an edit, with True while a slider moves."""


def edit(
    session: EditSession,
    act: Callable[[], None],
    refresh: Callable[[], None],
    changed: Changed,
    *,
    moving: bool = False,
) -> None:
    """Edit a session and refresh the controls, which also resets them after a refused edit.

    Args:
        session: the session that is edited.
        act: makes the edit.
        refresh: shows the session's state in the controls; called after errors too.
        changed: called with ``moving`` if the history has changed.
        moving: True while a slider moves.

    Raises: as ``act`` does.
    """
    before = session.history
    try:
        act()
    finally:
        refresh()
    if session.history is not before:
        changed(moving)


class Guard:
    """A lock around user actions, shared by the parts of a panel.

    A kernel may deliver the messages of one page on several threads, so actions could run at the
    same time. The render thread never waits for a guard, since it only sets traits.

    Args:
        messages: where errors and warnings are shown.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self._lock = threading.RLock()

    def offer(self, text: str, label: str, action: Callable[[], None]) -> None:
        """Show a note with a button that runs an action as `run` does.

        >>> guard.offer("“glasses” removed", "Undo", history.undo)

        Args:
            text: the note.
            label: the text of the button.
            action: the user's action.
        """
        self.messages.offer(text, label, lambda: self.run(action))

    def run(self, action: Callable[[], None]) -> None:
        """Run a user's action; show its errors and warnings as messages."""
        with self._lock:
            self.messages.clear()
            try:
                with redirect_warnings(self.messages.error):
                    action()
            except Exception as error:
                self.messages.error(error)
                if not isinstance(error, SegaSessionError):
                    log.exception("a defect in sega_widgets, or in a function that it called")
