"""What keeps observers safe: one at a time, and none for what the program itself sets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sega_session import EditSession
from sega_session.errors import SegaSessionError, redirect_warnings

from .messages import Messages

log = logging.getLogger(__name__)

Changed = Callable[[bool], None]
"""Called after an edit; True while a slider moves."""


def edit(
    session: EditSession,
    act: Callable[[], None],
    refresh: Callable[[], None],
    changed: Changed,
    *,
    moving: bool = False,
) -> None:
    """Edit, show what became of it, and tell; a refused edit puts the controls back."""
    before = session.history
    try:
        act()
    finally:
        refresh()
    if session.history is not before:
        changed(moving)


class Guard:
    """Shared by the parts of a panel.

    A kernel may deliver the messages of one page on several threads, so that observers run at
    the same time. Renders never wait for a guard: the thread that draws only sets traits.

    Args:
        messages: where errors are shown.
    """

    def __init__(self, messages: Messages) -> None:
        self.messages = messages
        self._lock = threading.RLock()
        self._setting = False

    @contextmanager
    def setting(self) -> Iterator[None]:
        """Controls that are set inside are no edits."""
        with self._lock:
            before, self._setting = self._setting, True
            try:
                yield
            finally:
                self._setting = before

    def act(self, action: Callable[[], None]) -> None:
        """Do what a person asked for; an error or a warning becomes a message."""
        with self._lock:
            if self._setting:
                return
            self.messages.clear()
            try:
                with redirect_warnings(self.messages.error):
                    action()
            except Exception as error:
                self.messages.error(error)
                if not isinstance(error, SegaSessionError):
                    log.exception("a defect in sega_widgets, or in what it called")
