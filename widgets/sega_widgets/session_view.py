"""One session with all its controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ipywidgets import HBox, Layout, VBox

from sega_session import EditSession, Render, SegaSessionError

from .concepts import ConceptList
from .drawing import ProgressView, Settling
from .files_box import FilesBox
from .guard import Guard
from .history_view import HistoryView
from .pictures import PictureView
from .png import thumbnail
from .worker import RenderWorker

PATIENCE = 60.0
"""Seconds to wait for a model call to end, before saving."""


class SessionView(HBox):
    """The parts of a panel, around one session.

    Args:
        session: what is edited and drawn.
        guard: shared by the parts.
        load: goes on with a file's session.
    """

    def __init__(self, session: EditSession, guard: Guard, load: Callable[[Path], None]) -> None:
        self.session = session
        self.picture = PictureView(session, guard)
        self.progress = ProgressView(self._cancel, lambda: guard.act(self.refresh))
        self.concepts = ConceptList(session, self._changed, guard)
        self.history = HistoryView(session, self._changed, guard)
        self.files = FilesBox(session, guard, save=self._save, load=load, png=self.picture.png)
        self._worker = RenderWorker(
            session, show=self._show, progress=self.progress.show, fail=guard.messages.error
        )
        self._settling = Settling(self._worker.post)
        left = VBox([self.picture, self.progress], layout=Layout(flex="1 1 20em"))
        right = VBox([self.concepts, self.history, self.files], layout=Layout(flex="1 1 26em"))
        super().__init__([left, right], layout=Layout(flex_flow="row wrap", grid_gap="0 1em"))
        self._worker.post()

    def refresh(self) -> None:
        """Show and draw the session as it is now."""
        self._changed(False)

    def stop(self) -> None:
        """End the thread that draws."""
        self._settling.stop()
        self._worker.close()

    def _changed(self, moving: bool) -> None:
        for part in (self.concepts, self.history, self.picture):
            part.refresh()
        if moving:
            self._settling.moved()
        else:
            self._settling.stop()
        self._worker.post(moving=moving)

    def _cancel(self) -> None:
        self._settling.stop()
        self._worker.cancel()

    def _show(self, render: Render) -> None:
        """Put up a picture; called on the thread that draws."""
        self.picture.show(render)
        small = thumbnail(render.image)
        self.history.picture(render.state, small, exact=render.exact)

    def _save(self, path: Path) -> str:
        # A file holds what is recorded, and a render records.
        self._cancel()
        if not self._worker.wait(PATIENCE):
            raise SegaSessionError(
                f"a model call takes longer than {PATIENCE:g} s, and the session is saved between "
                "two. Save again later."
            )
        try:
            return str(self.session.save(path))
        finally:
            self._worker.post()
