"""`EditPanel`: a graphical editor for sessions."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from ipywidgets import Button, Dropdown, HBox, Layout, Text, VBox

from sega_session import EditSession
from sega_session.errors import printable

from .access import PANEL, Access
from .children import close_all, iter_widgets
from .concepts import ConceptList
from .guard import Guard
from .history_view import HistoryView
from .messages import Messages
from .session_view import SessionView


class EditPanel(VBox):
    """A panel that shows a session's image and edits the session.

    >>> session = EditSession(load_avatars(), "a portrait of a person", seed=33)
    >>> EditPanel(session)

    Another prompt or a loaded file starts another session; the earlier sessions stay available,
    each with its cache, until they are closed. Rendering runs on a thread of its own, so the
    notebook can run other cells meanwhile; `close` ends the thread.

    Args:
        session: the session to edit. Call `refresh` after edits by code.
        folder: the folder that files are saved to and loaded from; None: any folder.

    Attributes:
        messages: the line with the last note or error.
        sessions: the dropdown list of the panel's sessions.
        end: the button that closes the current session.
    """

    def __init__(self, session: EditSession, *, folder: Path | None = None) -> None:
        self._folder = folder
        self.messages = Messages()
        self._guard = Guard(self.messages)
        self._place = VBox()
        self.sessions = Dropdown(
            description="Session",
            tooltip="The sessions of this panel: go back to an earlier one",
            layout=Layout(width="auto", max_width="40em"),
        )
        self.sessions.observe(lambda _: self._guard.run(self._switch), "value")
        self.end = Button(
            description="Close session",
            tooltip="Close the current session; unsaved work is lost",
        )
        self.end.on_click(lambda _: self._guard.run(self._end))
        self._bar = HBox([self.sessions, self.end], layout=Layout(flex_flow="row wrap"))
        # Sessions share the pipeline, so only one worker renders at a time.
        self._lock = Lock()
        self._view = self._new_view(session)
        self._views, self._begun = [self._view], 1
        self._access = Access(self._step)
        super().__init__([self._bar, self.messages, self._place, self._access])
        self.add_class(PANEL)
        self._show(self._view)

    @property
    def view(self) -> SessionView:
        """The controls of the current session."""
        return self._view

    @property
    def views(self) -> tuple[SessionView, ...]:
        """The controls of all sessions, in the order in which the sessions began."""
        return tuple(self._views)

    @property
    def session(self) -> EditSession:
        """The current session."""
        return self.view.session

    @property
    def concepts(self) -> ConceptList:
        """The controls of the current session's concepts."""
        return self.view.concepts

    @property
    def history(self) -> HistoryView:
        """The tree of the current session's states."""
        return self.view.history

    def refresh(self) -> None:
        """Show and render the session's current state, after edits by code."""
        self._guard.run(self.view.refresh)

    def close(self) -> None:
        """Close the panel and end its threads; the sessions stay usable."""
        for view in self._views:
            view.stop()
            close_all(view)
        # A widget that is not closed stays in memory, with everything it refers to.
        for part in (self._bar, self.messages, self._place, self._access):
            close_all(part)
        super().close()

    def _new_view(self, session: EditSession) -> SessionView:
        return SessionView(session, self._guard, self._load, self._begin, self._lock, self._folder)

    def _begin(self, session: EditSession) -> None:
        """Continue with another session."""
        self._view.pause()
        view = self._new_view(session)
        self._begun += 1
        # A different name, so that saving this session does not replace another's file.
        view.files.file.value = f"session-{self._begun}.safetensors"
        self._views.append(view)
        self._show(view)

    def _switch(self) -> None:
        """Go back to the session that was selected."""
        selected = self._views[self.sessions.value]
        if selected is not self._view:
            self._view.pause()
            self._show(selected)
            selected.refresh()

    def _end(self) -> None:
        """Close the current session and show another."""
        view = self._view
        view.stop()
        self._views.remove(view)
        self._show(self._views[-1])
        close_all(view)
        self._view.refresh()

    def _step(self, name: str) -> None:
        """Press the button for "undo" or "redo"."""
        {"undo": self.history.undo, "redo": self.history.redo}[name].click()

    def _show(self, view: SessionView) -> None:
        self._view = view
        self._place.children = [view]
        fields = [one for one in iter_widgets(self) if isinstance(one, Text | Dropdown)]
        self._access.tips = {one.description: one.tooltip for one in fields}
        with self._guard.updating():
            self.sessions.options = [
                (f"{number}: {_title(one.session)}", number - 1)
                for number, one in enumerate(self._views, 1)
            ]
            self.sessions.value = self._views.index(view)
            self._bar.layout.display = "" if len(self._views) > 1 else "none"

    def _load(self, path: Path) -> None:
        file = self.view.files.file.value
        session = EditSession.load(
            path,
            self.session.pipeline,
            cache_bytes=self.session.cache.max_bytes,
            spill_bytes=self.session.cache.max_spilled_bytes,
        )
        self._begin(session)
        self.view.files.file.value = file
        self.messages.note(f"Loaded: {path}")


def _title(session: EditSession) -> str:
    seeds = ", ".join(map(str, session.scene.seeds))
    return f"{printable(session.scene.prompt)}, seed {seeds}"
