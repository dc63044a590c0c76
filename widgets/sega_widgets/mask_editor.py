"""A brush for masks: where a concept acts, or what must not change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from anywidget import AnyWidget
from traitlets import Bytes, Dict

from sega_session import EditSession, Render
from sega_session.errors import InvalidValueError, SegaSessionError
from sega_session.state import Pixels, mask_of, read_mask

from .component import Handler, handle_messages
from .front_end import script, style
from .guard import Changed, Guard, edit
from .messages import Messages

COLOUR = "#0072b2"
"""The colour of masks where none is given."""


class MaskEditor(AnyWidget):
    """A soft brush over the picture, for a concept's mask or the protected region.

    It shows nothing until `edit`. Applying or removing a mask is one edit.

    Args:
        session: the session that is edited.
        guard: the guard of the panel; None: errors are not shown.
        changed: called with False after every edit.
        close: called when the editor has closed, after an edit or without.
        render: returns the render that is shown, for "Heat map"; None: there is none.
        colour: returns a concept's colour by its name, as "#rrggbb".

    Attributes:
        picture: the picture below the mask, as the bytes of a PNG file.
        region: what is edited, for the page; empty while the editor is closed.
    """

    _esm = script("mask")
    _css = style("mask")

    picture = Bytes().tag(sync=True)
    region = Dict().tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        guard: Guard | None,
        changed: Changed,
        close: Callable[[], object],
        *,
        render: Callable[[], Render | None] = lambda: None,
        colour: Callable[[str], str] = lambda name: COLOUR,
    ) -> None:
        self._session = session
        self._guard = guard or Guard(Messages())
        self._changed = changed
        self._closed = close
        self._render = render
        self._colour = colour
        self._png = b""
        # `show` is called on the render thread, the rest on event threads.
        self._lock = threading.Lock()
        super().__init__()
        handlers: dict[str, Handler] = {
            "apply": self._apply,
            "remove": self._remove,
            "cancel": self._cancel,
            "heat": self._send_heat_mask,
        }
        handle_messages(self, self._guard, handlers)

    def edit(self, name: str | None) -> None:
        """Open the editor for the region that a concept acts in, with the mask that it has.

        Args:
            name: of the concept; None: the protected region, which edits do not change.

        Raises:
            UnknownConceptError: no concept has this name.
        """
        session = self._session
        height, width = session.size
        mask = session.state.region if name is None else session.state.concept(name).mask
        pixels = (
            np.zeros((1, height, width), np.uint8) if mask is None else session.mask_pixels(mask)
        )
        if name is None and mask is not None:
            pixels = _inverse(pixels)
        region = {
            "name": name,
            "colour": COLOUR if name is None else self._colour(name),
            "width": width,
            "height": height,
            # The model sees the average of each cell, an entry of the latents.
            "cell": height // session.latents_shape[2],
            "mask": _for_all_images(pixels).tobytes(),
            "masked": mask is not None,
            "images": len(pixels),
        }
        with self._lock:
            self.picture = self._png
            self.region = region

    def show(self, png: bytes) -> None:
        """Set the picture below the mask; it is sent to the page while the editor is open."""
        with self._lock:
            self._png = png
            if self.region:
                self.picture = png

    def _apply(self, width: int, height: int, buffers: Sequence[memoryview]) -> None:
        """Make what was painted the mask, one edit; an empty one is refused."""
        if not self.region:  # A second click on the button.
            return
        painted = _read_painted(self._session.size, (height, width), buffers)
        if mask_of(painted).share == 0:
            raise SegaSessionError("Nothing is painted, so there is no mask to apply.")
        if self.region["name"] is not None:
            self._set_mask(painted)
            return
        changeable = _inverse(painted)
        if mask_of(changeable).share == 0:
            raise SegaSessionError(
                "Everything is protected, so that no edit would have an effect. Leave a part "
                "unpainted."
            )
        self._set_mask(changeable)

    def _remove(self) -> None:
        if self.region:
            self._set_mask(None)

    def _cancel(self) -> None:
        if self.region:
            self._finish()

    def _set_mask(self, mask: Pixels | None) -> None:
        """Give the concept, or all edits, this mask, or none, and close."""
        session, name = self._session, self.region["name"]
        if name is not None and name not in session:
            raise SegaSessionError(
                f"“{name}” is no longer a concept of this image. Undo brings it back; "
                "what you painted stays here until you cancel."
            )

        def act() -> None:
            if name is None:
                session.protect(mask)
            else:
                session.update(name, mask=mask)

        edit(session, act, lambda: None, self._changed)
        self._finish()

    def _finish(self) -> None:
        """Close the editor, and tell the parts around it."""
        with self._lock:
            self.region, self.picture = {}, b""
        self._closed()

    def _send_heat_mask(self) -> None:
        """Send the page the region where the concept acts most, or the reason why there is none."""
        # Heat maps wait for the end of a running render, and other controls must not.
        name = self.region.get("name")
        if name is not None:
            threading.Thread(target=self._find_heat_mask, args=(name,), daemon=True).start()

    def _find_heat_mask(self, name: str) -> None:
        """Answer `_send_heat_mask`, on a thread of its own."""
        render = self._render()
        if render is None or not render.exact or name not in render.state:
            reason = f"Where “{name}” acts is known once its exact image is rendered."
            self.send({"kind": "heat", "name": name, "problem": reason})
            return
        try:
            heat = self._session.heat_mask(render, name)
        except InvalidValueError:  # The render's predictions were evicted from the cache.
            reason = f"Where “{name}” acts is no longer recorded. Render the image again."
            self.send({"kind": "heat", "name": name, "problem": reason})
            return
        pixels = _for_all_images(read_mask(heat, *self._session.size, len(heat)))
        self.send({"kind": "heat", "name": name}, buffers=[pixels.tobytes()])


def _read_painted(
    size: tuple[int, int], painted: tuple[int, int], buffers: Sequence[memoryview]
) -> Pixels:
    """Return the bytes of a painted mask as pixels, ``(1, height, width)``.

    Args:
        size: height and width of the session's images.
        painted: height and width that the page says.
        buffers: one, with a byte for each pixel.

    Raises:
        InvalidValueError: the sizes differ.
    """
    pixels = np.frombuffer(buffers[0], np.uint8)
    if painted != size or pixels.size != size[0] * size[1]:
        raise InvalidValueError(
            "size of the painted mask",
            painted,
            f"that of the image, {size}",
            "Open the mask again.",
        )
    return pixels.reshape(1, *size)


def _for_all_images(pixels: Pixels) -> Pixels:
    """Return one mask, ``(height, width)``, that covers what the masks of all images cover."""
    found: Pixels = pixels.max(axis=0)
    return found


def _inverse(pixels: Pixels) -> Pixels:
    return np.uint8(255) - pixels
