"""The present edits on other seeds and other prompts, and two concepts at several strengths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import RLock
from typing import Any

import attrs
from anywidget import AnyWidget
from attrs import frozen
from PIL.Image import Image
from traitlets import Bool, Dict, Float, List, Unicode

from sega_session import EditSession, EditState, Render, SegaSessionError
from sega_session.errors import redirect_warnings
from sega_session.render import StepCallback
from sega_session.state import edits
from sega_session.state.fields import check_choice

from .component import Handler, handle_messages
from .front_end import script, style
from .guard import Changed, Guard, edit
from .png import encode, encode_thumbnail
from .scene_bar import in_panel_words, new_seeds

KINDS = ("seeds", "prompts", "concepts")
"""What the tiles of an explorer differ in."""

COUNT = 9
"""Tiles of other seeds, and the most of other prompts."""

STEPS = 5
"""Scales of each concept in a grid of two."""

REACH = 8.0
"""These go from -REACH to REACH, or to the concept's own scale if that is larger."""

SIZE = 320
"""The size of a tile's image in pixels, for dense screens."""


@frozen(eq=False)
class Tile:
    """One image of an explorer.

    Attributes:
        key: the tile's name.
        caption: what it differs in, in words.
        state: the state that it is to show.
        changes: the arguments of `EditSession.another` for its session; None: the explorer's own.
        session: its session; None: not begun.
        shown: the state of its image; None: there is no image.
        image: the image.
        quality: of the image, as `Render.quality` says it.
        problem: the error that it could not be rendered for.
    """

    key: str
    caption: str
    state: EditState
    changes: Mapping[str, Any] | None = None
    session: EditSession | None = None
    shown: EditState | None = None
    image: Image | None = None
    quality: str = ""
    problem: str = ""

    @property
    def is_current(self) -> bool:
        """True if the image is of the state that the tile is to show."""
        return self.shown == self.state

    @property
    def is_exact(self) -> bool:
        """True if nothing is left to render."""
        return self.is_current and self.quality == "exact"


class Explorer(AnyWidget):
    """A grid of images: the present edits on other seeds or prompts, or two concepts' strengths.

    Args:
        session: the session that is edited.
        guard: the guard of the panel.
        begin: continues with the session of a tile.
        close: called when the user closes the explorer.
        changed: called after a click has set the strengths of two concepts.
        rerender: called to render the current state, and then the tiles.
    """

    _esm = script("explorer")
    _css = style("explorer")
    kind = Unicode("seeds").tag(sync=True)
    tiles = List(Dict()).tag(sync=True)
    axes = Dict().tag(sync=True)
    prompts = Unicode().tag(sync=True)
    aspect = Float(1.0).tag(sync=True)
    is_open = Bool(False).tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        begin: Callable[[EditSession], object],
        close: Callable[[], object],
        *,
        changed: Changed,
        rerender: Callable[[], object],
    ) -> None:
        height, width = session.size
        super().__init__(aspect=width / height, prompts=session.prompt)
        self._session = session
        self._begin = begin
        self._on_close = close
        self._changed = changed
        self._rerender = rerender
        # Held while tiles change, since the render thread sets them.
        self._lock = RLock()
        self._tiles: tuple[Tile, ...] = ()
        self._names: tuple[str, ...] = ()
        self._scales: tuple[tuple[float, ...], ...] = ()
        self._drawn = 0
        handlers: dict[str, Handler] = {
            "ready": self._send_images,
            "choose": self.choose,
            "more": self.more,
            "show_prompts": self._show_prompts,
            "show_concepts": self._show_concepts,
            "enlarge": self._enlarge,
            "keep": self._keep,
            "apply": self._apply,
            "leave": self.leave,
        }
        handle_messages(self, guard, handlers)

    @property
    def cells(self) -> tuple[Tile, ...]:
        """The tiles with their sessions and images, in order."""
        return self._tiles

    def explore(self) -> None:
        """Show tiles of new seeds, unless the explorer is open."""
        if not self.is_open:
            self.is_open = True
            self.choose("seeds")

    @property
    def missing(self) -> int:
        """The number of tiles that `render_missing` has still to render exactly."""
        with self._lock:
            return sum(not (one.is_exact or one.problem) for one in self._tiles)

    def leave(self) -> None:
        """Close the explorer, if it is open, and its tiles' sessions."""
        if not self.is_open:
            return
        self.is_open = False
        before = self._replace(())
        self._rerender()
        _close_sessions(before)
        self._on_close()

    def close(self) -> None:
        """Close the widget and the tiles' sessions."""
        _close_sessions(self._replace(()))
        super().close()

    def refresh(self) -> None:
        """Show the session's current state; images of other states stay until they are rendered."""
        if not self.is_open:
            return
        with self._lock:
            state = self._session.state
            if self.kind == "concepts":
                self._set_axes(self._names)
            else:
                self._tiles = tuple(
                    attrs.evolve(one, state=state, problem="") for one in self._tiles
                )
                self._publish()

    def choose(self, what: str) -> None:
        """Show tiles that differ in their "seeds", their "prompts", or two "concepts"."""
        check_choice("what", what, KINDS)
        self.kind = what
        if what == "seeds":
            self.more()
        elif what == "prompts":
            self._show_prompts(self.prompts)
        else:
            with self._lock:
                before = self._replace(())
                self._set_axes(self._names)
            self._rerender()
            _close_sessions(before)

    def more(self) -> None:
        """Show tiles of other new seeds."""
        seeds = new_seeds(COUNT)
        self._show_others([(f"Seed {seed}", {"seed": seed}) for seed in seeds])

    def render_missing(self, on_step: StepCallback) -> Iterator[Callable[[], object]]:
        """Render the missing images, on the render thread; yield a function that shows each.

        Args:
            on_step: passed to every render as ``callback_on_step_end``.
        """
        while (tile := self._next_tile()) is not None:
            try:
                # Nobody chose these states, so their warnings are not shown.
                with redirect_warnings(lambda _: None):
                    session = self._session_of(tile, on_step)
                    if session is None:
                        continue
                    mode = "exact" if tile.is_current or tile.changes is not None else "preview"
                    render = session.render(mode, state=tile.state, callback_on_step_end=on_step)
            except SegaSessionError as error:
                yield partial(self._fail, tile, str(in_panel_words(error)))
            else:
                yield partial(self._show_render, tile.key, render)

    # On the render thread.

    def _next_tile(self) -> Tile | None:
        """Return the tile to render next: those without an image come first."""
        with self._lock:
            waiting = [one for one in self._tiles if not (one.is_exact or one.problem)]
            missing = [one for one in waiting if not one.is_current]
            return next(iter(sorted(missing, key=self._distance) or waiting), None)

    def _distance(self, tile: Tile) -> float:
        """Return how far a tile's scales are from the current ones; 0 for other tiles."""
        if tile.changes is not None:
            return 0.0
        state = self._session.state
        return sum(
            (_signed(tile.state, name) - _signed(state, name)) ** 2
            for name in self._names
            if name in state
        )

    def _session_of(self, tile: Tile, on_step: StepCallback) -> EditSession | None:
        """Return the session that renders a tile; None if the tile is gone."""
        if tile.changes is None:
            return self._session
        if tile.session is not None and tile.session.state == tile.state:
            return tile.session
        if tile.session is not None:
            tile.session.close()
        session = self._session.another(edits="state", callback_on_step_end=on_step, **tile.changes)
        with self._lock:
            if tile.key not in {one.key for one in self._tiles}:
                return None
            self._update(tile.key, session=session)
        return session

    def _show_render(self, key: str, render: Render) -> None:
        """Show a tile's image, unless the tile is gone."""
        with self._lock:
            found = self._update(
                key,
                shown=render.state,
                image=render.image,
                quality=render.quality or "rough",
            )
            if found is not None:
                self._send_image(found)
                self._publish()

    def _fail(self, tile: Tile, problem: str) -> None:
        """Say on a tile why there is no image."""
        with self._lock:
            self._update(tile.key, problem=problem)
            self._publish()

    def _update(self, key: str, **fields: Any) -> Tile | None:
        """Change a tile; return it, or None if it is gone. The caller holds the lock."""
        found = None
        tiles = []
        for one in self._tiles:
            if one.key == key:
                one = found = attrs.evolve(one, **fields)  # noqa: PLW2901
            tiles.append(one)
        self._tiles = tuple(tiles)
        return found

    # Of the page.

    def _show_others(self, found: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Show tiles of other sessions, each with a caption and what it differs in."""
        state = self._session.state
        tiles = tuple(Tile(self._new_key(), caption, state, changes) for caption, changes in found)
        before = self._replace(tiles)
        # The new request ends what is being rendered for the tiles before.
        self._rerender()
        _close_sessions(before)

    def _replace(self, tiles: tuple[Tile, ...]) -> tuple[Tile, ...]:
        """Show other tiles, and return those before."""
        with self._lock:
            before, self._tiles = self._tiles, tiles
            self._publish()
        return before

    def _new_key(self) -> str:
        self._drawn += 1
        return str(self._drawn)

    def _show_prompts(self, text: str) -> None:
        """Show a tile for each line. Raises SegaSessionError for too many."""
        prompts = [line.strip() for line in text.splitlines() if line.strip()]
        if len(prompts) > COUNT:
            raise SegaSessionError(
                f"There are {len(prompts)} prompts, and up to {COUNT} are shown at once."
            )
        self.prompts = text
        self._show_others([(prompt, {"prompt": prompt}) for prompt in prompts])

    def _show_concepts(self, across: str, up: str) -> None:
        """Show the grid of two concepts."""
        with self._lock:
            self._set_axes((across, up))
        self._rerender()

    def _set_axes(self, names: Sequence[str]) -> None:
        """Show the grid of two concepts; where they are not there, of the first two."""
        state = self._session.state
        known = [concept.name for concept in state]
        if len({*names} & {*known}) < 2:
            names = known[:2]
        self._names = tuple(names)
        self._scales = tuple(_scales(state, name) for name in names) if len(names) == 2 else ()
        self.axes = {
            "known": known,
            "names": list(names),
            "scales": [[f"{scale:g}" for scale in one] for one in self._scales],
        }
        before = {one.key: one for one in self._tiles}
        self._tiles = tuple(self._merged(before, one) for one in self._grid(state))
        self._publish()

    def _grid(self, state: EditState) -> Iterator[Tile]:
        """Yield the tiles of a grid of two concepts, row by row from the top."""
        if not self._scales:
            return
        (across, up), (columns, rows) = self._names, self._scales
        for high in reversed(rows):
            for right in columns:
                caption = f"{across} {right:g}, {up} {high:g}"
                target = _with_scale(_with_scale(state, across, right), up, high)
                yield Tile(f"{across}\n{up}\n{right:g}\n{high:g}", caption, target)

    def _merged(self, before: Mapping[str, Tile], tile: Tile) -> Tile:
        """Return a tile of the grid with the image that its place has, which may be of before."""
        old = before.get(tile.key)
        return tile if old is None else attrs.evolve(old, state=tile.state, problem="")

    def _keep(self, key: str) -> None:
        """Continue with the session of a tile."""
        tile = self._tile(key)
        if tile is None or tile.session is None or not tile.is_current:
            return
        self.is_open = False
        before = self._replace(())
        self._begin(tile.session)
        _close_sessions([one for one in before if one.key != key])
        self._on_close()

    def _apply(self, key: str) -> None:
        """Set both concepts to the scales of a tile, as one edit."""
        tile, session = self._tile(key), self._session
        if tile is None or tile.changes is not None:
            return
        names = [name for name in self._names if name in session]

        def act() -> None:
            label = ", ".join(f"{name} {_signed(tile.state, name):g}" for name in names)
            with session.transaction(label):
                for name in names:
                    target = tile.state.concept(name)
                    session.update(name, scale=target.scale, inverted=target.inverted, enabled=True)

        # A scale of 0 is what the user chose.
        with redirect_warnings(lambda _: None):
            edit(session, act, self.refresh, self._changed)

    def _enlarge(self, key: str) -> None:
        """Send a tile's image in its full size."""
        tile = self._tile(key)
        if tile is not None and tile.image is not None:
            self.send({"kind": "large", "key": key}, [encode(tile.image)])

    def _tile(self, key: str) -> Tile | None:
        with self._lock:
            return next((one for one in self._tiles if one.key == key), None)

    def _send_images(self) -> None:
        """Send a page that has just opened all images."""
        with self._lock:
            for one in self._tiles:
                self._send_image(one)

    def _send_image(self, tile: Tile) -> None:
        if tile.image is not None:
            self.send({"kind": "image", "key": tile.key}, [encode_thumbnail(tile.image, SIZE)])

    def _publish(self) -> None:
        """Tell the page what the tiles are; the caller holds the lock."""
        state = self._session.state
        self.tiles = [
            {
                "key": one.key,
                "caption": one.caption,
                "quality": one.quality if one.is_current else "",
                "waiting": not (one.is_current or one.problem),
                "problem": one.problem,
                "chosen": one.changes is None and one.state == state,
            }
            for one in self._tiles
        ]


def _scales(state: EditState, name: str) -> tuple[float, ...]:
    """Return the scales of a concept in a grid, evenly spaced."""
    reach = max(REACH, state.concept(name).scale)
    return tuple(round(reach * (2 * number / (STEPS - 1) - 1), 1) for number in range(STEPS))


def _signed(state: EditState, name: str) -> float:
    concept = state.concept(name)
    return -concept.scale if concept.inverted else concept.scale


def _with_scale(state: EditState, name: str, signed: float) -> EditState:
    """Return a state with another scale of a concept, inverted if it is negative."""
    return edits.update(state, name, scale=abs(signed), inverted=signed < 0, enabled=True)


def _close_sessions(tiles: Iterable[Tile]) -> None:
    """Free what the sessions of tiles have recorded."""
    for one in tiles:
        if one.session is not None:
            one.session.close()
