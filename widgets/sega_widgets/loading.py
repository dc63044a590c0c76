"""The steps of loading that the page shows before the panel, or why they failed."""

from __future__ import annotations

from threading import Event

from anywidget import AnyWidget
from traitlets import Int, List, Unicode

from .front_end import script, style

STEPS = ("Starting Python", "Loading torch", "Loading the model")
"""The steps; the page's template shows the same ones before a widget can."""

TORCH, MODEL = 1, 2
"""The numbers of the steps that follow Python's start."""


class Loading(AnyWidget):
    """The steps until the panel is there.

    Attributes:
        steps: the steps, in words.
        step: the number of the present one.
        error: why it failed, in words; "" if it did not.
        shown: set as soon as a page shows them.
    """

    _esm = script("loading")
    _css = style("loading")

    steps = List(Unicode(), [*STEPS]).tag(sync=True)
    step = Int(TORCH).tag(sync=True)
    error = Unicode("").tag(sync=True)

    def __init__(self) -> None:
        self.shown = Event()
        super().__init__()
        self.on_msg(lambda *_: self.shown.set())
