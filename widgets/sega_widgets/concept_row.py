"""The controls of one concept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import (
    Button,
    Checkbox,
    FloatSlider,
    HBox,
    IntSlider,
    Layout,
    ToggleButton,
    VBox,
)

from sega_session import Concept

from .marks import mark

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7fd1", "#999933")
"""Told apart by colour-blind people, and readable on dark and light (after Okabe and Ito)."""

SCALE = 20.0
THRESHOLD = 0.995


class ConceptRow(VBox):
    """One concept's controls; `ConceptList` says what they do.

    Args:
        concept: what they show at first.
        calls: a render's model calls, which warm-up counts.
        colour: tells the concept from the others.
    """

    def __init__(self, concept: Concept, calls: int, colour: str) -> None:
        self.colour, name = colour, concept.name
        style = {"handle_color": colour, "description_width": "8em"}
        wide = Layout(flex="1 1 auto", min_width="12em", width="auto")
        self.enabled = Checkbox(
            description="on",
            indent=False,
            tooltip=f"{name}: on, or muted with its settings kept",
            layout=Layout(width="3.5em"),
        )
        self.scale = FloatSlider(
            description=name,
            tooltip=f"{name}: scale, {-SCALE:g} to {SCALE:g}; below zero pushes away from it",
            min=-SCALE,
            max=SCALE,
            step=0.1,
            readout_format=".1f",
            style=style,
            layout=wide,
        )
        self.invert = Button(
            description="Invert",
            tooltip=f"{name}: turn the direction around",
            layout=Layout(width="5em"),
        )
        self.remove = Button(
            description="Remove",
            tooltip=f"{name}: take it out; undo brings it back",
            layout=Layout(width="6em"),
        )
        self.more = ToggleButton(
            description="More",
            tooltip=f"{name}: show threshold and warm-up",
            layout=Layout(width="5em"),
        )
        self.threshold = FloatSlider(
            description="threshold",
            tooltip=f"{name}: share of the picture that is left alone, 0 to {THRESHOLD:g}",
            min=0.0,
            max=THRESHOLD,
            step=0.005,
            readout_format=".3f",
            style=style,
            layout=Layout(width="auto", max_width="36em"),
        )
        self.warmup = IntSlider(
            description="warm-up",
            tooltip=f"{name}: the model call at which it starts, 0 to {calls - 1}; "
            "the later, the more of the composition stays",
            min=0,
            max=calls - 1,
            style=style,
            layout=Layout(width="auto", max_width="36em"),
        )
        self._fold = VBox([self.threshold, self.warmup], layout=Layout(display="none"))
        self.more.observe(self._unfold, "value")
        buttons = HBox([self.invert, self.remove, self.more])
        strength = HBox([self.enabled, self.scale], layout=Layout(flex="1 1 26em", min_width="0"))
        head = HBox([strength, buttons], layout=Layout(flex_flow="row wrap"))
        edge = f"4px solid {colour}"
        super().__init__(
            [head, self._fold], layout=Layout(border_left=edge, padding="0 0 0 6px", width="100%")
        )
        self.show(concept)

    def show(self, concept: Concept) -> None:
        """Set the controls to a concept's values; the ranges widen where they must."""
        self._concept = concept
        self.enabled.value = concept.enabled
        limit = max(SCALE, concept.scale)
        self.scale.max, self.scale.min = limit, -limit
        mark(self.invert, concept.inverted)
        self.threshold.max = max(THRESHOLD, concept.threshold)
        self.warmup.max = max(self.warmup.max, concept.warmup)
        for field, value in _shown(concept).items():
            if self._differs(field, value):
                getattr(self, field).value = value

    def on_move(self, moved: Callable[[str], None]) -> None:
        """Call ``moved`` with the field whose slider has moved."""

        def tell(field: str) -> None:
            # Pages round a value to the slider's steps and send it back, which is no move.
            if self.fields(field):
                moved(field)

        for field in ("scale", "threshold", "warmup"):
            getattr(self, field).observe(lambda _, field=field: tell(field), "value")

    def fields(self, field: str) -> dict[str, object]:
        """What a slider says now, as `EditSession.update` takes it; empty if it says no news."""
        # The value is read now and not taken from the event: events may come out of order.
        value = round(getattr(self, field).value, 3)
        if not self._differs(field, _shown(self._concept)[field]):
            return {}
        if field != "scale":
            return {field: value}
        return unsigned(value)

    def _differs(self, field: str, value: float) -> bool:
        """Whether a slider shows another value, by half a step or more."""
        slider = getattr(self, field)
        # Less would be sent back to a page in the middle of a drag, and move the handle there.
        return bool(abs(slider.value - value) >= slider.step / 2)

    def _unfold(self, change: object) -> None:
        self._fold.layout.display = "" if self.more.value else "none"


def _shown(concept: Concept) -> dict[str, float]:
    """What the sliders of a concept show."""
    return {
        "scale": signed(concept),
        "threshold": concept.threshold,
        "warmup": concept.warmup,
    }


def signed(concept: Concept) -> float:
    """A concept's scale, below zero where it is inverted."""
    return -concept.scale if concept.inverted else concept.scale


def unsigned(scale: float) -> dict[str, Any]:
    """A signed scale as a concept's fields, for `EditSession.update`."""
    # Zero has no sign, so it leaves the direction as it is.
    return {"scale": abs(scale)} | ({"inverted": scale < 0} if scale else {})
