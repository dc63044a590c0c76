"""The picture of a session: its latest render, one image or a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from anywidget import AnyWidget
from traitlets import Bool, Bytes, Dict, Int, List, Unicode

from sega_session import EditSession, EditState, Render
from sega_session.errors import InvalidValueError, SegaSessionError

from .captions import describe_image, measure_accuracy
from .component import Handler, handle_messages
from .downloads import Download, download_png, download_sheet, download_zip
from .front_end import script, style
from .guard import Guard
from .messages import Messages
from .png import encode, overlay_heat_map

IMAGE, COMPARE, WHERE = LOOKS = ("image", "compare", "where")
"""The image alone, over the reference with a handle between them, or with a heat map."""

UNEDITED = "Unedited"
"""The title of the reference that nobody has chosen."""

Pngs = tuple[bytes, ...]
"""Images as the bytes of PNG files, one per seed."""


class ImageView(AnyWidget):
    """The latest render: alone, compared with a reference, or with a heat map.

    The images of several seeds are shown in a grid, and one of them can be enlarged. Only the
    images that are visible are sent to the page.

    Args:
        session: the session that is rendered.
        guard: the guard of the panel; None: errors are shown in `messages` of its own.
        rerender: called when an image is wanted that was not rendered yet: what `heat_maps`
            computes, or that of `missing_reference`.
        colour: returns a concept's colour by its name.

    Attributes:
        size: the width and height of an image.
        seeds: the seeds, as text, since pages have no integers above 2**53.
        look: "image", "compare" or "where".
        selected: the index of the enlarged image; None: all are shown.
        concepts: the names of the concepts that heat maps can be shown of.
        concept: the name of the concept whose heat map is shown; "" while there is none.
        colour: the colour of that concept.
        images: the visible images; none before the first render.
        captions: for each visible image its alternative text, and its accuracy as in `Accuracy`.
        references: the visible images of the reference; none if they are not rendered or not used.
        reference: the title of the reference.
        reference_alt: the alternative text of the reference.
        earlier: True if the images are of an earlier state than the session's.
        note: why there is no heat map; "" if there is one.
    """

    _esm = script("viewer")
    _css = style("picture", "compare", "viewer")

    size = List(Int()).tag(sync=True)
    seeds = List(Unicode()).tag(sync=True)
    look = Unicode(IMAGE).tag(sync=True)
    selected = Int(None, allow_none=True).tag(sync=True)
    concepts = List(Unicode()).tag(sync=True)
    concept = Unicode().tag(sync=True)
    colour = Unicode().tag(sync=True)
    images = List(Bytes()).tag(sync=True)
    captions = List(Dict()).tag(sync=True)
    references = List(Bytes()).tag(sync=True)
    reference = Unicode(UNEDITED).tag(sync=True)
    reference_alt = Unicode().tag(sync=True)
    earlier = Bool(False).tag(sync=True)
    note = Unicode().tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        guard: Guard | None = None,
        *,
        rerender: Callable[[], object],
        colour: Callable[[str], str],
    ) -> None:
        scene = session.scene
        self._session = session
        self._rerender = rerender
        self._colour = colour
        # Held while images change, since the render thread and the page's events set them.
        self._lock = threading.RLock()
        self._render: Render | None = None
        self._pngs: Pngs = ()
        # The heat maps of the latest render by their concepts; empty ones are not recorded.
        self._heat_maps: dict[str, Pngs] = {}
        # The state to compare with; None: the unedited one.
        self._pinned: EditState | None = None
        self._known: dict[EditState, Pngs] = {}
        self._held = False
        self._colours: dict[str, str] = {}
        super().__init__(
            size=[scene.width, scene.height],
            seeds=[f"{seed}" for seed in scene.seeds],
            selected=None if len(scene.seeds) > 1 else 0,
        )
        handlers: dict[str, Handler] = {
            "look": self._set_look,
            "concept": self._set_concept,
            "select": self._select,
            "hold": self._hold,
            "download": self._download,
        }
        handle_messages(self, guard or Guard(Messages()), handlers)
        self.refresh()

    @property
    def render(self) -> Render | None:
        """The latest render, or None before the first."""
        return self._render

    @property
    def pngs(self) -> tuple[bytes, ...]:
        """The latest images as bytes of PNG files, one per seed; none before the first render."""
        return self._pngs

    @property
    def missing_reference(self) -> EditState | None:
        """The state to render exactly and to give to `show_reference`; None: none is wanted."""
        with self._lock:
            wanted, state = self._wants_reference(), self._reference_state()
            return state if wanted and state not in self._known else None

    def show(self, render: Render) -> None:
        """Show a render; called on the render thread."""
        pngs = tuple(encode(image) for image in render.images)
        with self._lock:
            before, self._render, self._pngs = self._render, render, pngs
            if before is None or before.made_by.token != render.made_by.token:
                self._known = {}  # The session's model has changed.
            if not _is_same(before, render):
                self._heat_maps = {}
            self._learn(render, pngs)
            self._update()

    def show_reference(self, render: Render) -> None:
        """Show the exact render of `missing_reference`; called on the render thread."""
        pngs = tuple(encode(image) for image in render.images)
        with self._lock:
            self._learn(render, pngs)
            self._update()

    def compare_with(self, state: EditState | None, title: str = UNEDITED) -> None:
        """Choose the reference, and compare the image with it.

        Args:
            state: one of the session's history; None: the unedited state, without a change of
                the look.
            title: the reference in words, shown on it.
        """
        with self._lock:
            self._pinned = state
            self.reference = UNEDITED if state is None else title
            self._known = {
                one: pngs
                for one, pngs in self._known.items()
                if one in (state, self._session.history[0].state)
            }
            if self._render is not None:
                self._learn(self._render, self._pngs)
            if state is not None:
                self._enter(COMPARE)
            self._update()
        self._request_missing()

    def refresh(self) -> None:
        """Show the session's current concepts, and whether the image is of an earlier state."""
        colours = {one.name: self._colour(one.name) for one in self._session.concepts}
        with self._lock, self.hold_sync():
            self._colours, self.concepts = colours, [*colours]
            if self.concept not in colours:
                self.concept = next(iter(colours), "")
            self._update()

    def png(self) -> bytes | None:
        """Return the latest image as `Render.save` writes it; of a grid, the first image.

        Returns:
            The bytes of a PNG file, or None before the first render.

        Raises: as `Render.save` does.
        """
        render = self._render
        return None if render is None else download_png(render, self.selected or 0).data

    def heat_maps(self) -> Callable[[], None] | None:
        """Compute the selected concept's heat maps if they are to be shown.

        Called on the render thread, with no other render shown before the returned function.

        Returns:
            A function that shows them, or None if there is nothing new to show.
        """
        with self._lock:
            render, name, colour = self._render, self.concept, self.colour
            if render is None or not self._lacks_heat_map():
                return None
        try:
            heats = self._session.heat_map(render, name)
        except InvalidValueError:  # The render's predictions were evicted from the cache.
            return partial(self._show_heat_maps, name, ())
        images: Any = render.images
        pngs = tuple(
            encode(overlay_heat_map(image, heat, colour))
            for image, heat in zip(images, heats, strict=True)
        )
        return partial(self._show_heat_maps, name, pngs)

    def _show_heat_maps(self, name: str, pngs: Pngs) -> None:
        with self._lock:
            self._heat_maps[name] = pngs
            self._update()

    def _lacks_heat_map(self) -> bool:
        """Return whether a heat map is wanted that can be computed, and was not."""
        render = self._render
        return (
            self.look == WHERE
            and render is not None
            and render.exact
            and self.concept in render.state
            and self.concept not in self._heat_maps
        )

    def _set_look(self, look: str) -> None:
        if look in LOOKS:
            with self._lock:
                self._enter(look)
                self._update()
            self._request_missing()

    def _enter(self, look: str) -> None:
        """Change the look. The handle of a comparison is on one image, so a batch shows one."""
        self.look = look
        if look == COMPARE and self.selected is None:
            self.selected = 0

    def _set_concept(self, name: str) -> None:
        if name in self.concepts:
            with self._lock:
                self.concept = name
                self._update()
            self._request_missing()

    def _select(self, number: int | None) -> None:
        """Enlarge one image of a batch; None: show all."""
        if number is not None and not 0 <= number < len(self.seeds):
            return
        with self._lock:
            if number is None and self.look == COMPARE:
                self.look = IMAGE
            self.selected = number
            self._update()

    def _hold(self, held: bool) -> None:
        """Show the reference while the user holds the button."""
        with self._lock:
            self._held = held
            self._update()
        self._request_missing()

    def _request_missing(self) -> None:
        with self._lock:
            missing = self.missing_reference is not None or self._lacks_heat_map()
        if missing:
            self._rerender()

    def _download(self, file: str, token: str) -> None:
        """Send the page a file; the token tells its views apart."""
        found: Download | None = None
        try:
            found = self._make_download(file)
        finally:
            values = {} if found is None else {"name": found.name, "type": found.type}
            buffers = [] if found is None else [found.data]
            self.send({"kind": "file", "token": token, **values}, buffers)

    def _make_download(self, file: str) -> Download:
        render = self._render
        if render is None:
            raise SegaSessionError("there is no image yet. Wait for the first one.")
        if file == "zip":
            return download_zip(render)
        if file == "sheet":
            return download_sheet(render)
        return download_png(render, self.selected or 0)

    def _reference_state(self) -> EditState:
        return self._pinned or self._session.history[0].state

    def _wants_reference(self) -> bool:
        return self._held or self.look == COMPARE

    def _learn(self, render: Render, pngs: Pngs) -> None:
        """Keep the images of a render if it is one to compare with."""
        if render.exact and render.state in (self._pinned, self._session.history[0].state):
            self._known[render.state] = pngs

    def _update(self) -> None:
        """Set what the page shows, in one message; the caller holds the lock."""
        visible = range(len(self.seeds)) if self.selected is None else [self.selected]
        with self.hold_sync():
            self.colour = self._colours.get(self.concept, "")
            self.note = self._describe_missing_heat_map()
            self._update_references([*visible])
            if self._render is not None:
                pngs = self._shown_heat_maps() or self._pngs
                self.images = [pngs[number] for number in visible]
                self.captions = [self._caption(self._render, number) for number in visible]
                self.earlier = self._render.state != self._session.state

    def _update_references(self, visible: list[int]) -> None:
        """Send the images of the reference once they are used; keep them while they are right."""
        state = self._reference_state()
        pngs = self._known.get(state, ())
        found = [pngs[number] for number in visible] if pngs else []
        if self._wants_reference() or self.references != found:
            self.references = found if self._wants_reference() else []
        self.reference_alt = describe_image(self._session.scene.prompt, state)

    def _shown_heat_maps(self) -> Pngs:
        return self._heat_maps.get(self.concept, ()) if self.look == WHERE else ()

    def _describe_missing_heat_map(self) -> str:
        if self.look != WHERE or self._shown_heat_maps():
            return ""
        if not self.concept:
            return "Add a concept to see where it acts"
        if self.concept in self._heat_maps:
            return "No longer in memory"
        return "Shown once the image is exact"

    def _caption(self, render: Render, number: int) -> dict[str, str]:
        accuracy = measure_accuracy(render, number)
        words = [describe_image(self._session.scene.prompt, render.state)]
        if len(self.seeds) > 1:
            words.append(f"seed {self.seeds[number]}")
        if self._shown_heat_maps():
            words.append(f"coloured where “{self.concept}” acts")
        if not render.exact:
            words.append(f"{accuracy.label.lower()}, {accuracy.error}")
        return {"alt": ", ".join(words), **attrs.asdict(accuracy)}


def _is_same(before: Render | None, render: Render) -> bool:
    """Return whether two renders are exact ones of the same state, by the same model."""
    return (
        before is not None
        and before.exact
        and render.exact
        and before.state == render.state
        and before.made_by.token == render.made_by.token
    )
