"""One session with all its controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Lock

from ipywidgets import HBox, Layout, VBox

from sega_session import EditSession, EditState, Render, SegaSessionError
from sega_session.render import StepCallback

from .concepts import ConceptList
from .drawing import ProgressView, Settling
from .files_box import FilesBox
from .guard import Guard
from .history_view import HistoryView
from .pictures import PictureView
from .png import small
from .scene_box import SceneBox
from .strip import StripView
from .worker import RenderWorker

PATIENCE = 60.0
"""Seconds to wait for a model call to end, before saving."""


class SessionView(VBox):
    """The parts of a panel, around one session.

    Args:
        session: what is edited and drawn.
        guard: shared by the parts.
        load: goes on with a file's session.
        begin: goes on with a new session.
        turn: held while drawing; sessions of one pipeline take turns.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        load: Callable[[Path], None],
        begin: Callable[[EditSession], None],
        turn: Lock,
    ) -> None:
        self.session = session
        self._undrawable: set[EditState] = set()
        self.scene = SceneBox(session, guard, begin)
        self.concepts = ConceptList(session, self._changed, guard)
        self.picture = PictureView(session, guard, redraw=self._redraw, colour=self.concepts.colour)
        self.strip = StripView(session, self._changed, guard, redraw=self._redraw)
        self.progress = ProgressView(self.rest, lambda: guard.act(self.refresh))
        self.history = HistoryView(session, self._changed, guard)
        self.files = FilesBox(session, guard, save=self._save, load=load, png=self.picture.png)
        self._worker = RenderWorker(
            session,
            show=self._show,
            progress=self.progress.show,
            fail=guard.messages.error,
            more=self._more,
            turn=turn,
        )
        self._settling = Settling(self._worker.post)
        left = VBox(
            [self.picture, self.progress, self.strip],
            layout=Layout(flex="1 1 20em", min_width="0"),
        )
        right = VBox(
            [self.concepts, self.history, self.files],
            layout=Layout(flex="1 1 26em", min_width="0", grid_gap="12px"),
        )
        super().__init__(
            [self.scene, HBox([left, right], layout=Layout(flex_flow="row wrap", grid_gap="0 1em"))]
        )
        self._worker.post()

    def refresh(self) -> None:
        """Show and draw the session as it is now."""
        self._changed(False)

    def rest(self) -> None:
        """Draw no more until `refresh`, or another edit."""
        self._settling.stop()
        self._worker.cancel()

    def stop(self) -> None:
        """End the thread that draws."""
        self._settling.stop()
        self._worker.close()

    def _changed(self, moving: bool) -> None:
        for part in (self.concepts, self.history, self.picture, self.strip, self.files):
            part.refresh()
        if moving:
            self._settling.moved()
            self._worker.post(moving=True)
        else:
            self._redraw()

    def _redraw(self) -> None:
        self._settling.stop()
        self._worker.post()

    def _show(self, render: Render) -> None:
        """Put up a picture; called on the thread that draws."""
        self._remember(render)
        self.picture.show(render)

    def _remember(self, render: Render) -> None:
        self.history.picture(render.state, small(render.image), exact=render.exact)

    def _more(self, on_step: StepCallback) -> Iterator[Callable[[], object]]:
        """Draw what else is looked at, once the picture is exact."""

        def draw(mode: str, state: EditState) -> Render | None:
            # Nobody asked for these pictures, so one that cannot be drawn is just left out.
            if state in self._undrawable:
                return None
            try:
                return self.session.render(mode, state=state, callback_on_step_end=on_step)
            except SegaSessionError:
                self._undrawable.add(state)
                return None

        heats = self.picture.heated()
        if heats is not None:
            yield heats
        if self.picture.wants_unedited:
            render = draw("exact", self.session.history[0].state)
            if render is not None:
                yield partial(self.picture.show_unedited, render)
        yield from self.strip.drawn(draw)
        for state in self.history.without_picture():
            render = draw("preview" if self.session.plan(state=state) else "exact", state)
            if render is not None:
                yield partial(self._remember, render)

    def _save(self, path: Path) -> str:
        # A file holds what is recorded, and a render records.
        self.rest()
        if not self._worker.wait(PATIENCE):
            raise SegaSessionError(
                f"a model call takes longer than {PATIENCE:g} s, and the session is saved between "
                "two. Save again later."
            )
        try:
            return str(self.session.save(path))
        finally:
            self._worker.post()
