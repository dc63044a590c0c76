"""All parts of one session, and how they work together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Literal

from ipywidgets import Box

from sega_session import EditSession, EditState, Render, SegaSessionError
from sega_session.render import StepCallback

from .concepts import ConceptList
from .explorer import Explorer
from .files_bar import FilesBar
from .guard import Guard
from .history_view import HistoryView
from .images import ImageView
from .keeper import Keeper
from .mask_editor import MaskEditor
from .png import encode_thumbnail
from .progress_view import ProgressView
from .scene_bar import SceneBar
from .strip import StripView
from .worker import RenderWorker

PATIENCE = 60.0
"""Seconds to wait for the end of a model call before saving."""

Tool = Literal["mask", "explorer"]
"""What can stand in the place of the image."""


class SessionView(Box):
    """The parts of one session: scene, image, concepts, history and files.

    Args:
        session: the session that is edited and rendered.
        guard: the guard of the panel.
        load: continues with the session in a file.
        begin: continues with a new session.
        lock: held while rendering, since sessions of one pipeline must not render at the same time.
        folder: the folder that all files stay in; None: the current one.
        keeper: keeps the session in the folder; None: nobody does.
        shown: called on the render thread with each exact render, the session, and where it is
            kept, in words.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        load: Callable[[Path], None],
        begin: Callable[[EditSession], object],
        lock: Lock,
        folder: Path | None = None,
        keeper: Keeper | None = None,
        shown: Callable[[Render, EditSession, str], object] = lambda *_: None,
    ) -> None:
        self.session, self.keeper = session, keeper
        self._guard, self._lock, self._shown = guard, lock, shown
        self._failed: set[EditState] = set()
        self._tool: Tool | None = None
        self.scene = SceneBar(
            session, guard, begin, explore=self._open_explorer, alone=self._paused
        )
        self.concepts = ConceptList(session, self._changed, guard, edit_mask=self._open_mask)
        self.image = ImageView(session, guard, rerender=self._rerender, colour=self.concepts.colour)
        self.mask = MaskEditor(
            session,
            guard,
            self._changed,
            self._close_tool,
            render=lambda: self.image.render,
            colour=self.concepts.colour,
        )
        self.explorer = Explorer(
            session,
            guard,
            begin,
            self._close_tool,
            changed=self._changed,
            rerender=self._rerender,
        )
        self.strip = StripView(session, self._changed, guard, rerender=self._rerender)
        self.progress = ProgressView(self.pause, lambda: guard.run(self.refresh))
        self.history = HistoryView(session, self._changed, guard, pin=self._pin)
        self.files = FilesBar(
            session, guard, save=self._save, load=load, folder=folder, keeper=keeper
        )
        self._worker = RenderWorker(
            session,
            show=self._show,
            progress=self.progress.show,
            fail=guard.messages.error,
            more=self._render_more,
            missing=self._count_missing,
            lock=lock,
        )
        self._place = _box("sega-place", self.image, self.mask, self.explorer)
        picture = _box("sega-picture-column", self._place, self.progress, self.strip)
        side = _box("sega-side-column", self.history, self.files)
        super().__init__([self.scene, picture, self.concepts, side])
        self.add_class("sega-view")
        self._worker.post()

    @property
    def worker(self) -> RenderWorker:
        """The thread that renders the session."""
        return self._worker

    @property
    def tool(self) -> Tool | None:
        """The tool in the place of the image; None: the image is there."""
        return self._tool

    def refresh(self) -> None:
        """Show and render the session's current state."""
        self._changed(False)

    def pause(self) -> None:
        """Stop rendering until `refresh` or another edit."""
        self._worker.cancel()

    def stop(self) -> None:
        """End the threads."""
        self._worker.close()
        if self.keeper is not None:
            self.keeper.close()

    def _changed(self, moving: bool) -> None:
        for part in (self.concepts, self.history, self.image, self.strip, self.explorer):
            part.refresh()
        if not moving:
            self.scene.refresh()
            self.files.refresh()
        self._worker.post(moving=moving)

    def _rerender(self) -> None:
        self._worker.post()

    def _pin(self, number: int | None, title: str) -> None:
        """Compare with an entry of the history; None: with the unedited image."""
        state = None if number is None else self.session.history[number].state
        self.image.compare_with(state, title)

    def _open_mask(self, name: str | None) -> None:
        self.explorer.leave()
        # First, since the editor takes the focus, which nothing hidden can have.
        self._open_tool("mask")
        try:
            self.mask.edit(name)
        except SegaSessionError:
            self._close_tool()
            raise

    def _open_explorer(self) -> None:
        self._open_tool("explorer")
        self.explorer.explore()

    def _open_tool(self, tool: Tool) -> None:
        """Show a tool in the place of the image."""
        self._close_tool()
        self._tool = tool
        self._place.add_class(f"sega-shows-{tool}")

    def _close_tool(self) -> None:
        """Show the image."""
        self._place.remove_class(f"sega-shows-{self._tool}")
        self._tool = None

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Let nothing of the panel render inside the block."""
        self.pause()
        try:
            with self._lock:
                yield
        finally:
            self._rerender()

    def _show(self, render: Render) -> None:
        """Show a render; called on the render thread."""
        self._show_thumbnail(render)
        self.image.show(render)
        self.mask.show(self.image.pngs[0])
        if render.exact:
            if self.keeper is not None:
                self.keeper.note_render(render)
            self._shown(render, self.session, self.keeper.words if self.keeper else "")

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
        reference = self.image.missing_reference
        if reference is not None:
            render = try_render("exact", reference)
            if render is not None:
                yield partial(self.image.show_reference, render)
        yield from self.explorer.render_missing(on_step)
        for state in self.history.states_without_thumbnail():
            render = try_render("preview" if self.session.plan(state=state) else "exact", state)
            if render is not None:
                yield partial(self._show_thumbnail, render)
        yield from self.strip.render_missing(try_render)

    def _count_missing(self) -> int:
        """Return how many images `_render_more` has still to show, but for heat maps."""
        others = int(self.image.missing_reference is not None)
        thumbnails = len(self.history.states_without_thumbnail())
        return self.explorer.missing + self.strip.missing + thumbnails + others

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


def _box(name: str, *children: object) -> Box:
    """Return a box with a CSS class."""
    box = Box(children)
    box.add_class(name)
    return box
