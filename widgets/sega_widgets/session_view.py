"""All controls of one session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Lock

from ipywidgets import HBox, Layout, VBox

from sega_session import EditSession, EditState, Render, SegaSessionError
from sega_session.render import StepCallback

from .concepts import ConceptList
from .debouncer import Debouncer
from .files_box import FilesBox
from .guard import Guard
from .history_view import HistoryView
from .images import ImageView
from .png import encode_thumbnail
from .progress_view import ProgressView
from .scene_box import SceneBox
from .strip import StripView
from .worker import RenderWorker

PATIENCE = 60.0
"""Seconds to wait for the end of a model call before saving."""


class SessionView(VBox):
    """The controls of one session: scene, image, concepts, history and files.

    Args:
        session: the session that is edited and rendered.
        guard: the guard of the panel.
        load: continues with the session in a file.
        begin: continues with a new session.
        lock: held while rendering, since sessions of one pipeline must not render at the same time.
        folder: the folder that all files stay in; None: they may be anywhere.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        load: Callable[[Path], None],
        begin: Callable[[EditSession], None],
        lock: Lock,
        folder: Path | None = None,
    ) -> None:
        self.session = session
        self._failed: set[EditState] = set()
        self.scene = SceneBox(session, guard, begin)
        self.concepts = ConceptList(session, self._changed, guard)
        self.image = ImageView(session, guard, rerender=self._rerender, colour=self.concepts.colour)
        self.strip = StripView(session, self._changed, guard, rerender=self._rerender)
        self.progress = ProgressView(self.pause, lambda: guard.run(self.refresh))
        self.history = HistoryView(session, self._changed, guard)
        self.files = FilesBox(
            session, guard, save=self._save, load=load, png=self.image.png, folder=folder
        )
        self._worker = RenderWorker(
            session,
            show=self._show,
            progress=self.progress.show,
            fail=guard.messages.error,
            more=self._render_more,
            lock=lock,
        )
        self._debouncer = Debouncer(self._worker.post)
        left = VBox(
            [self.image, self.progress, self.strip],
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

    @property
    def worker(self) -> RenderWorker:
        """The thread that renders the session."""
        return self._worker

    def refresh(self) -> None:
        """Show and render the session's current state."""
        self._changed(False)

    def pause(self) -> None:
        """Stop rendering until `refresh` or another edit."""
        self._debouncer.cancel()
        self._worker.cancel()

    def stop(self) -> None:
        """End the render thread."""
        self._debouncer.cancel()
        self._worker.close()

    def _changed(self, moving: bool) -> None:
        for part in (self.concepts, self.history, self.image, self.strip, self.files):
            part.refresh()
        if moving:
            self._debouncer.trigger()
            self._worker.post(moving=True)
        else:
            self._rerender()

    def _rerender(self) -> None:
        self._debouncer.cancel()
        self._worker.post()

    def _show(self, render: Render) -> None:
        """Show a render; called on the render thread."""
        self._show_thumbnail(render)
        self.image.show(render)

    def _show_thumbnail(self, render: Render) -> None:
        png = encode_thumbnail(render.image)
        self.history.set_thumbnail(render.state, png, exact=render.exact)

    def _render_more(self, on_step: StepCallback) -> Iterator[Callable[[], object]]:
        """Render the other images that are shown, once the session's image is exact."""

        def try_render(mode: str, state: EditState) -> Render | None:
            # The user did not ask for these images, so failures are not shown, nor tried again.
            if state in self._failed:
                return None
            try:
                return self.session.render(mode, state=state, callback_on_step_end=on_step)
            except SegaSessionError:
                self._failed.add(state)
                return None

        show_heat_maps = self.image.heat_maps()
        if show_heat_maps is not None:
            yield show_heat_maps
        if self.image.needs_unedited:
            render = try_render("exact", self.session.history[0].state)
            if render is not None:
                yield partial(self.image.show_unedited, render)
        yield from self.strip.render_missing(try_render)
        for state in self.history.states_without_thumbnail():
            render = try_render("preview" if self.session.plan(state=state) else "exact", state)
            if render is not None:
                yield partial(self._show_thumbnail, render)

    def _save(self, path: Path) -> str:
        # A file holds the recorded tensors, so nothing may render meanwhile.
        self.pause()
        if not self._worker.wait(PATIENCE):
            raise SegaSessionError(
                f"a model call takes longer than {PATIENCE:g} s, and a session can only be saved "
                "between two calls. Save again later."
            )
        try:
            return str(self.session.save(path))
        finally:
            self._worker.post()
