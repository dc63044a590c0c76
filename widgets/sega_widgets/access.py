"""Keys, clicks and accessible names that stock widgets lack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict

STATIC = Path(__file__).parent / "static"
"""The folder of the JavaScript and CSS files."""

# The CSS classes that static/access.js and static/access.css refer to.

PANEL = "sega-panel"
"""CSS class of the widget that the keys and names are for; it contains the `Access`."""

CHOICE = "sega-choice"
"""CSS class of a box with an image and a button: a click on the image presses the button."""

IMAGE = "sega-image"
"""CSS class of a box with images and a `CAPTION`, whose tooltip becomes their alternative text."""

CAPTION = "sega-caption"
"""CSS class of the element that describes the images of an `IMAGE` box in its tooltip."""

FORM = "sega-form"
"""CSS class of a box with fields and a button: Enter in a field presses the first button."""


class Access(AnyWidget):
    """An invisible widget that gives the panel around it keys, clicks and accessible names.

    Ctrl+Z undoes, Ctrl+Shift+Z redoes, Enter submits forms, clicks on images press buttons, and
    screen readers get names for sliders and images. Where a front end cannot run it, the rest of
    the panel works as before.

    Args:
        step: called with "undo" or "redo" when its keys are pressed while the panel has the focus.

    Attributes:
        tips: tooltips of fields by their labels, since ipywidgets does not show those of text
            fields and dropdown lists.
    """

    _esm = STATIC / "access.js"
    _css = STATIC / "access.css"

    tips = Dict().tag(sync=True)

    def __init__(self, step: Callable[[str], object]) -> None:
        super().__init__()
        self._step = step
        self.on_msg(self._handle_message)

    def _handle_message(self, _: object, content: Any, __: object) -> None:
        self._step(content["step"])
