"""`EditPanel`: a graphical editor for sessions."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from ipywidgets import Box

from sega_session import EditSession, Render
from sega_session.errors import printable

from .children import close_all
from .concepts import ConceptList
from .guard import Guard
from .history_view import HistoryView
from .keeper import Keeper
from .kernel_notice import KernelNotice
from .keys import PANEL, Keys
from .messages import Messages
from .notebook_output import NotebookOutput
from .session_view import SessionView
from .tabs import SessionTabs


class EditPanel(Box):
    """A panel that shows a session's image and edits the session.

    >>> session = EditSession(load_avatars(), "a portrait of a person", seed=33)
    >>> EditPanel(session)

    Another prompt, seed or photograph, or an opened file, starts another session in a tab of its
    own; the earlier sessions stay available, each with its cache, until their tabs are closed.
    Rendering runs on a thread of its own, so the notebook can run other cells meanwhile; `close`
    ends the thread.

    Args:
        session: the session to edit. Call `refresh` after edits by code.
        folder: the folder of the sessions' files; None: the current one.
        name: the name of the session in the folder that this one goes on with; None: a new one.
        patience: seconds to wait for a page that was just left and still has it open.
        autosave: keep every edit in ``folder / "sega-session"``.

    Attributes:
        messages: the last notes and errors.
        tabs: the tabs of the panel's sessions.
    """

    def __init__(
        self,
        session: EditSession,
        *,
        folder: Path | None = None,
        name: str | None = None,
        patience: float = 0.0,
        autosave: bool = True,
    ) -> None:
        self._folder = Path.cwd() if folder is None else folder
        self._autosave = autosave
        self._output = NotebookOutput(session)
        self._notice = KernelNotice(key=self._output.key)
        self.messages = Messages()
        self._guard = Guard(self.messages)
        self.tabs = SessionTabs(self._guard, self._select, self._end)
        # Sessions share the pipeline, so only one worker renders at a time.
        self._lock = Lock()
        self._view = self._new_view(session, name, patience)
        self._views = [self._view]
        self._place = Box()
        self._place.add_class("sega-sessions")
        self._keys = Keys(self._step)
        super().__init__([self._notice, self.tabs, self._place, self.messages, self._keys])
        self.add_class(PANEL)
        self._show(self._view)

    @property
    def view(self) -> SessionView:
        """The parts of the current session."""
        return self._view

    @property
    def views(self) -> tuple[SessionView, ...]:
        """The parts of all sessions, in the order in which the sessions began."""
        return tuple(self._views)

    @property
    def session(self) -> EditSession:
        """The current session."""
        return self.view.session

    @property
    def concepts(self) -> ConceptList:
        """The concepts of the current session."""
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
        for part in (self._notice, self.tabs, self._place, self.messages, self._keys):
            close_all(part)
        super().close()

    def _ipython_display_(self, **_: object) -> None:
        self._output.display(self._repr_mimebundle_())

    def _new_view(
        self, session: EditSession, name: str | None = None, patience: float = 0.0
    ) -> SessionView:
        keeper = Keeper(session, self._folder, name, patience=patience) if self._autosave else None
        return SessionView(
            session,
            self._guard,
            self._load,
            self._begin,
            self._lock,
            self._folder,
            keeper,
            self._note_render,
        )

    def _note_render(self, render: Render, session: EditSession, kept: str) -> None:
        """Show an exact render where the kernel is gone; called on the render thread."""
        self._output.note(render, session, kept)
        self._notice.kept = kept

    def _begin(self, session: EditSession, name: str | None = None) -> None:
        """Continue with another session."""
        self._view.pause()
        view = self._new_view(session, name)
        self._views.append(view)
        self._show(view)

    def _select(self, number: int) -> None:
        """Go to the session of a tab."""
        selected = self._views[number]
        if selected is not self._view:
            self._view.pause()
            self._show(selected)
            selected.refresh()

    def _end(self, number: int) -> None:
        """Close the session of a tab; of the current one, show the one before it."""
        # A second click may arrive after its tab is gone, and one session always stays.
        if len(self._views) == 1 or number >= len(self._views):
            return
        view = self._views.pop(number)
        view.stop()
        current = self._view is view
        self._show(self._views[max(number - 1, 0)] if current else self._view)
        close_all(view)
        if current:
            self._view.refresh()

    def _step(self, name: str) -> None:
        """Do what a key stands for: "undo", "redo" or "save"."""
        {"undo": self.history.undo, "redo": self.history.redo, "save": self.view.files.save}[name]()

    def _show(self, view: SessionView) -> None:
        self._view = view
        self._place.children = [view]
        self._notice.kept = "" if view.keeper is None else view.keeper.words
        titles = [_title(one.session) for one in self._views]
        self.tabs.show(titles, self._views.index(view))

    def _load(self, path: Path) -> None:
        """Continue with the session in a file; with its tab, if it is open in one."""
        for number, view in enumerate(self._views):
            if view.keeper is not None and path in view.keeper.paths:
                self._select(number)
                return
        session = EditSession.recover(
            path,
            self.session.pipeline,
            cache_bytes=self.session.cache.max_bytes,
            spill_bytes=self.session.cache.max_spilled_bytes,
        )
        self._begin(session, path.stem)
        self.messages.note(f"Opened {path.stem}.")


def _title(session: EditSession) -> str:
    seeds = ", ".join(map(str, session.scene.seeds))
    unnamed = "Photograph" if session.scene.photograph else "No prompt"
    return f"{printable(session.prompt) or unnamed} · {seeds}"
