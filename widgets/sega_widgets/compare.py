"""Two images on top of each other with a handle between them."""

from __future__ import annotations

from anywidget import AnyWidget
from traitlets import Bytes, Float, Unicode

from .front_end import script, style


class CompareView(AnyWidget):
    """A comparison of two images with a handle to drag or to move with the arrow keys.

    Attributes:
        before, after: the images, as the bytes of PNG files.
        before_label, after_label: their labels, shown on the images and read by screen readers.
        position: position of the handle, from 0 (only ``after``) to 1 (only ``before``).
    """

    _esm = script("compare")
    _css = style("picture", "compare")

    before = Bytes().tag(sync=True)
    after = Bytes().tag(sync=True)
    before_label = Unicode("before").tag(sync=True)
    after_label = Unicode("after").tag(sync=True)
    position = Float(0.5, min=0.0, max=1.0).tag(sync=True)
