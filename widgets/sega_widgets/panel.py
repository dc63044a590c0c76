"""`EditPanel`: semantic editing by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipywidgets import VBox

from sega_session import EditSession, SegaSessionError

from .closing import close_with_children
from .concepts import ConceptList
from .guard import Guard
from .history_view import HistoryView
from .messages import Messages
from .session_view import SessionView


class EditPanel(VBox):
    """Shows a session's picture, and edits it: concepts, history, files.

    >>> session = EditSession(load_avatars(), "a portrait of a person", seed=8)
    >>> EditPanel(session)

    Drawing has a thread of its own; the notebook goes on meanwhile. `close` ends it.

    Args:
        session: what is edited. Edits by code show after `refresh`.
        pipeline: the session's, for the Load button.
    """

    def __init__(self, session: EditSession, pipeline: Any = None) -> None:
        self._pipeline = pipeline
        self._view: SessionView | None = None
        self.messages = Messages()
        self._guard = Guard(self.messages)
        self._place = VBox()
        super().__init__([self.messages, self._place])
        self._begin(session)

    @property
    def view(self) -> SessionView:
        """Everything that belongs to the session; loading a file makes another."""
        assert self._view is not None
        return self._view

    @property
    def session(self) -> EditSession:
        """What is edited; after loading a file, the file's."""
        return self.view.session

    @property
    def concepts(self) -> ConceptList:
        """The controls of the concepts."""
        return self.view.concepts

    @property
    def history(self) -> HistoryView:
        """The tree of states."""
        return self.view.history

    def refresh(self) -> None:
        """Show and draw the session as it is now, after edits by code."""
        self._guard.act(self.view.refresh)

    def close(self) -> None:
        """End the panel and its thread. The session stays."""
        if self._view is not None:
            self._view.stop()
        super().close()

    def _begin(self, session: EditSession) -> None:
        """Put up a session in the place of the one before."""
        before = self._view
        if before is not None:
            before.stop()
        self._view = SessionView(session, self._guard, self._load)
        self._place.children = [self._view]
        if before is not None:
            close_with_children(before)

    def _load(self, path: Path) -> None:
        if self._pipeline is None:
            raise SegaSessionError(
                "the panel has no pipeline to load a session with. Make it with "
                "EditPanel(session, pipeline)."
            )
        file = self.view.files.file.value
        self._begin(EditSession.load(path, self._pipeline))
        self.view.files.file.value = file
        self.messages.note(f"Loaded: {path}")
