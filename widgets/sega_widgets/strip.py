"""One concept at several scales, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from anywidget import AnyWidget
from attrs import asdict, frozen
from traitlets import Bool, Bytes, Dict, Int, List, Unicode

from sega_session import EditSession, EditState, Render
from sega_session.state import edits

from .captions import EARLIER, EXACT, FAILED, MISSING, Accuracy, measure_accuracy
from .component import Handler, handle_messages
from .concept_row import scale_fields, signed_scale
from .front_end import script, style
from .guard import Changed, Guard, edit
from .messages import Messages
from .png import encode_thumbnail

TryRender = Callable[[str, EditState], Render | None]
"""A function that renders a state in a mode, and returns None if that fails."""

COUNT = 7
REACH = 9.0
"""The scales go from -REACH to REACH, or to the concept's own scale if that is larger."""

SIZE = 192
"""Width of an image in pixels, twice the width on the page for dense screens."""

KEPT = 10 * COUNT
"""The most images that are kept, so that those of another concept or an undone edit come back."""


MODES = ("preview", "exact")
"""All images are rendered in the first mode, then in the second."""


@frozen
class _Image:
    """An image of the strip; no bytes if it cannot be rendered."""

    png: bytes
    accuracy: Accuracy

    @property
    def is_final(self) -> bool:
        """True if no better image will be rendered."""
        return self.accuracy in (EXACT, FAILED)


class StripView(AnyWidget):
    """Images of the current state with one concept at several scales; a click sets the scale.

    Args:
        session: the session that is edited.
        changed: called after a click has set a scale.
        guard: the guard of the panel; None: errors are shown in messages of its own.
        rerender: called to render the current state again, and then the strip.

    Attributes:
        shown: True while the strip is open.
        size: the width and height of an image.
        concepts: the names of the session's concepts.
        concept: the name of the concept that is varied; "" while there is none.
        tiles: for each scale its ``scale``, the ``alt`` of its image, whether it is the
            ``current`` one, and its accuracy as in `Accuracy`.
        progress: what is rendered of the strip, in words; "" once all is.
        image_0 to image_6: the images of the tiles, each a trait, so that one that changes is sent
            alone.
    """

    _esm = script("strip")
    _css = style("picture", "strip")

    shown = Bool(False).tag(sync=True)
    size = List(Int()).tag(sync=True)
    concepts = List(Unicode()).tag(sync=True)
    concept = Unicode().tag(sync=True)
    tiles = List(Dict()).tag(sync=True)
    progress = Unicode().tag(sync=True)
    image_0 = Bytes().tag(sync=True)
    image_1 = Bytes().tag(sync=True)
    image_2 = Bytes().tag(sync=True)
    image_3 = Bytes().tag(sync=True)
    image_4 = Bytes().tag(sync=True)
    image_5 = Bytes().tag(sync=True)
    image_6 = Bytes().tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard | None = None,
        *,
        rerender: Callable[[], object],
    ) -> None:
        self._session = session
        self._changed = changed
        self._rerender = rerender
        # Held while images change, since the render thread and the page's events set them.
        self._lock = threading.RLock()
        self._states: tuple[EditState, ...] = ()
        self._current = session.state
        # The concept that the images vary.
        self._varied = ""
        # The images that were rendered, the latest last.
        self._known: dict[EditState, _Image] = {}
        super().__init__(size=[session.scene.width, session.scene.height])
        handlers: dict[str, Handler] = {
            "open": self._open,
            "concept": self._set_concept,
            "scale": self._set_scale,
        }
        handle_messages(self, guard or Guard(Messages()), handlers)
        self.refresh()

    @property
    def pngs(self) -> tuple[bytes, ...]:
        """The images of the tiles as bytes of PNG files; empty where none is rendered."""
        return tuple(getattr(self, f"image_{number}") for number in range(COUNT))

    @property
    def missing(self) -> int:
        """The number of images that `render_missing` has still to render."""
        states = self._nearest_first()
        return sum(not self._is_done(state, mode) for mode in MODES for state in states)

    def refresh(self) -> None:
        """Show the strip of the session's current state; mark images of other states."""
        with self._lock, self.hold_sync():
            self._current = self._session.state
            names = [concept.name for concept in self._current]
            self.concepts = names
            if self.concept not in names:
                self.concept = next(iter(names), "")
            self._states = self._states_to_show()
            if self._states and self._varied != self.concept:
                # An image stays until its successor is rendered, but not with another concept.
                self._varied = self.concept
                for number in range(COUNT):
                    self.set_trait(f"image_{number}", b"")
            self._update()

    def render_missing(self, try_render: TryRender) -> Iterator[Callable[[], object]]:
        """Render the missing images, then all of them exactly; called on the render thread.

        Args:
            try_render: renders a state in a mode.

        Yields:
            Functions that show one image each.
        """
        for mode in MODES:
            for state in self._nearest_first():
                if not self._is_done(state, mode):
                    render = try_render(mode, state)
                    if render is not None:
                        png = encode_thumbnail(render.image, SIZE)
                        yield partial(self._show, state, _Image(png, measure_accuracy(render)))
                    elif mode == "preview":
                        yield partial(self._show, state, _Image(b"", FAILED))

    def _nearest_first(self) -> list[EditState]:
        """Return the states of the strip, those beside the current scale first."""
        with self._lock:
            states, current, name = self._states, self._current, self._varied
        if not states:
            return []
        scale = signed_scale(current.concept(name))
        return sorted(states, key=lambda state: abs(signed_scale(state.concept(name)) - scale))

    def _is_done(self, state: EditState, mode: str) -> bool:
        with self._lock:
            found = self._known.get(state)
        return found is not None and (mode == "preview" or found.is_final)

    def _show(self, state: EditState, image: _Image) -> None:
        with self._lock, self.hold_sync():
            self._known.pop(state, None)
            self._known[state] = image
            for one in [*self._known][:-KEPT]:
                del self._known[one]
            self._update()

    def _update(self) -> None:
        """Set what the page shows of each state; the caller holds the lock and the messages."""
        found = [self._known.get(state) for state in self._states]
        for number, image in enumerate(found):
            if image is not None:
                self.set_trait(f"image_{number}", image.png)
        self.tiles = [
            self._describe(number, state, image)
            for number, (state, image) in enumerate(zip(self._states, found, strict=True))
        ]
        self.progress = _describe_progress(found)

    def _describe(self, number: int, state: EditState, image: _Image | None) -> dict[str, Any]:
        concept, current = (one.concept(self._varied) for one in (state, self._current))
        scale = signed_scale(concept)
        missing = EARLIER if self.pngs[number] else MISSING
        return {
            "scale": scale,
            "current": current.enabled and signed_scale(current) == scale,
            "alt": f"{concept.name} at {scale:g}",
            **asdict(missing if image is None else image.accuracy),
        }

    def _states_to_show(self) -> tuple[EditState, ...]:
        """Return the states of the strip; none if it is closed or there is no concept."""
        name, state = self.concept, self._current
        if not self.shown or not name:
            return ()
        reach = max(REACH, state.concept(name).scale)
        scales = [round(reach * (2 * number / (COUNT - 1) - 1), 1) for number in range(COUNT)]
        # At 0 both directions are the same image.
        return tuple(
            edits.update(state, name, enabled=True, scale=abs(scale), inverted=scale < 0)
            for scale in scales
        )

    def _open(self, shown: bool) -> None:
        self.shown = shown
        self._change()

    def _set_concept(self, name: str) -> None:
        if name in self.concepts:
            self.concept = name
            self._change()

    def _change(self) -> None:
        """Show the strip after it was opened, closed, or another concept was chosen."""
        self.refresh()
        with self._lock:
            found = [self._known.get(state) for state in self._states]
        if any(image is None or not image.is_final for image in found):
            self._rerender()

    def _set_scale(self, name: str, scale: float) -> None:
        """Set the scale of a concept to that of an image."""
        if name not in self._session.state:  # It has just been removed.
            return
        update = partial(self._session.update, name, enabled=True, **scale_fields(scale))
        edit(self._session, update, self.refresh, self._changed)


def _describe_progress(images: list[_Image | None]) -> str:
    """Return how many images of a strip are rendered, or how many are exact; "" if all are."""
    rendered = [one for one in images if one is not None]
    if len(rendered) < len(images):
        return f"{len(rendered)} of {len(images)}"
    final = sum(one.is_final for one in rendered)
    return f"{final} of {len(images)} exact" if final < len(images) else ""
