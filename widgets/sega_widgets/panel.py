"""`EditPanel`: semantic editing by hand."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from ipywidgets import Button, Dropdown, HBox, Layout, Text, VBox

from sega_session import EditSession

from .access import PANEL, Access
from .children import close_with_children, everything
from .concepts import ConceptList
from .guard import Guard
from .history_view import HistoryView
from .messages import Messages
from .session_view import SessionView


class EditPanel(VBox):
    """Shows a session's picture, and edits it: concepts, history, files.

    >>> session = EditSession(load_avatars(), "a portrait of a person", seed=33)
    >>> EditPanel(session)

    Another prompt, or a file that is loaded, is another session; those before stay at hand, each
    with its cache, until they are closed. Drawing has a thread of its own; the notebook goes on
    meanwhile. `close` ends it.

    Args:
        session: what is edited. Edits by code show after `refresh`.
    """

    def __init__(self, session: EditSession) -> None:
        self.messages = Messages()
        self._guard = Guard(self.messages)
        self._place = VBox()
        self.sessions = Dropdown(
            description="Session",
            tooltip="The sessions of this panel: go back to one before",
            layout=Layout(width="auto", max_width="40em"),
        )
        self.sessions.observe(lambda _: self._guard.act(self._switch), "value")
        self.end = Button(
            description="Close session",
            tooltip="Let the session that is shown go, with what is not saved of it",
        )
        self.end.on_click(lambda _: self._guard.act(self._end))
        self._bar = HBox([self.sessions, self.end], layout=Layout(flex_flow="row wrap"))
        # Sessions share the pipeline, so they draw in turn.
        self._turn = Lock()
        self._view = self._view_of(session)
        self._views, self._begun = [self._view], 1
        self._access = Access(self._step)
        super().__init__([self._bar, self.messages, self._place, self._access])
        self.add_class(PANEL)
        self._put_up(self._view)

    @property
    def view(self) -> SessionView:
        """Everything that belongs to the session which is shown."""
        return self._view

    @property
    def session(self) -> EditSession:
        """What is edited: the session that is shown."""
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
        """End the panel and its threads. The sessions stay."""
        for view in self._views:
            view.stop()
            close_with_children(view)
        # Models that are not closed are kept, and with them what they refer to.
        for part in (self._bar, self.messages, self._place, self._access):
            close_with_children(part)
        super().close()

    def _view_of(self, session: EditSession) -> SessionView:
        return SessionView(session, self._guard, self._load, self._begin, self._turn)

    def _begin(self, session: EditSession) -> None:
        """Go on with another session."""
        self._view.rest()
        view = self._view_of(session)
        self._begun += 1
        # A name of its own, so that saving one does not replace the other.
        view.files.file.value = f"session-{self._begun}.safetensors"
        self._views.append(view)
        self._put_up(view)

    def _switch(self) -> None:
        """Go back to a session that was chosen."""
        if self._views[self.sessions.value] is not self._view:
            self._view.rest()
            self._put_up(self._views[self.sessions.value])
            self._view.refresh()

    def _end(self) -> None:
        """Let the session that is shown go, and show another."""
        view = self._view
        view.stop()
        self._views.remove(view)
        self._put_up(self._views[-1])
        close_with_children(view)
        self._view.refresh()

    def _step(self, name: str) -> None:
        """Undo or redo, as by its button."""
        {"undo": self.history.undo, "redo": self.history.redo}[name].click()

    def _put_up(self, view: SessionView) -> None:
        self._view = view
        self._place.children = [view]
        fields = [one for one in everything(self) if isinstance(one, Text | Dropdown)]
        self._access.tips = {one.description: one.tooltip for one in fields}
        with self._guard.setting():
            self.sessions.options = [
                (f"{number}: {_title(one.session)}", number - 1)
                for number, one in enumerate(self._views, 1)
            ]
            self.sessions.value = self._views.index(view)
            self._bar.layout.display = "" if len(self._views) > 1 else "none"

    def _load(self, path: Path) -> None:
        file = self.view.files.file.value
        max_bytes = self.session.cache.max_bytes
        self._begin(EditSession.load(path, self.session.pipeline, cache_bytes=max_bytes))
        self.view.files.file.value = file
        self.messages.note(f"Loaded: {path}")


def _title(session: EditSession) -> str:
    seeds = ", ".join(map(str, session.scene.seeds))
    return f"{session.scene.prompt}, seed {seeds}"
