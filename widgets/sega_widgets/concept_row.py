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

from .highlight import highlight

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7fd1", "#999933")
"""Colour-blind safe, and readable in light and dark themes (after Okabe and Ito)."""

MAX_SCALE = 20.0
MAX_THRESHOLD = 0.995
"""Ends of the sliders; they grow for values set by code."""


class ConceptRow(VBox):
    """The controls of one concept; `ConceptList` connects them to a session.

    Args:
        concept: its values at the start.
        calls: model calls of a render, the limit of warm-up.
        colour: the concept's colour, as "#rrggbb".

    Attributes:
        name: the concept's name.
        details: the box with threshold and warm-up, which ``more`` shows and hides.
    """

    def __init__(self, concept: Concept, calls: int, colour: str) -> None:
        self.colour, self.name = colour, concept.name
        name = concept.name
        style = {"handle_color": colour, "description_width": "8em"}
        wide = Layout(flex="1 1 auto", min_width="12em", width="auto")
        self.enabled = Checkbox(
            description="on",
            indent=False,
            tooltip=f"{name}: on, or off with its settings kept",
            layout=Layout(width="3.5em"),
        )
        self.scale = FloatSlider(
            min=-MAX_SCALE,
            max=MAX_SCALE,
            step=0.1,
            readout_format=".1f",
            style=style,
            layout=wide,
        )
        self.invert = Button(
            description="Invert",
            tooltip=f"{name}: reverse the direction",
            layout=Layout(width="5em"),
        )
        self.remove = Button(
            description="Remove",
            tooltip=f"{name}: remove it; undo restores it",
            layout=Layout(width="6em"),
        )
        self.more = ToggleButton(
            description="More",
            tooltip=f"{name}: show threshold and warm-up",
            layout=Layout(width="5em"),
        )
        self.threshold = FloatSlider(
            description="threshold",
            tooltip=f"{name}: share of the image that stays unchanged, 0 to {MAX_THRESHOLD:g}",
            min=0.0,
            max=MAX_THRESHOLD,
            step=0.005,
            readout_format=".3f",
            style=style,
            layout=Layout(width="auto", max_width="36em"),
        )
        self.warmup = IntSlider(
            description="warm-up",
            tooltip=f"{name}: the model call at which it starts, 0 to {calls - 1}; "
            "a later start keeps more of the composition",
            min=0,
            max=calls - 1,
            style=style,
            layout=Layout(width="auto", max_width="36em"),
        )
        self.details = VBox([self.threshold, self.warmup], layout=Layout(display="none"))
        self.more.observe(self._show_details, "value")
        buttons = HBox([self.invert, self.remove, self.more])
        strength = HBox([self.enabled, self.scale], layout=Layout(flex="1 1 26em", min_width="0"))
        head = HBox([strength, buttons], layout=Layout(flex_flow="row wrap"))
        edge = f"4px solid {colour}"
        super().__init__(
            [head, self.details],
            layout=Layout(border_left=edge, padding="0 0 0 6px", width="100%"),
        )
        self.show(concept)

    def show(self, concept: Concept) -> None:
        """Set the controls to a concept's values; widen the sliders' ranges if necessary."""
        self._concept = concept
        self.scale.description = label = _label(concept)
        away = "steer away from it" if concept.opposite is None else "lead to the opposite"
        self.scale.tooltip = (
            f"{label}: scale, {-MAX_SCALE:g} to {MAX_SCALE:g}; negative values {away}"
        )
        self.enabled.value = concept.enabled
        limit = max(MAX_SCALE, concept.scale)
        self.scale.max, self.scale.min = limit, -limit
        highlight(self.invert, concept.inverted)
        self.threshold.max = max(MAX_THRESHOLD, concept.threshold)
        self.warmup.max = max(self.warmup.max, concept.warmup)
        for field, value in _slider_values(concept).items():
            if self._differs(field, value):
                getattr(self, field).value = value

    def on_move(self, moved: Callable[[str], None]) -> None:
        """Call ``moved`` with "scale", "threshold" or "warmup" when the user moves its slider."""

        def report(field: str) -> None:
            # Pages round a value to the slider's steps and send it back; that is not a move.
            if self.changes(field):
                moved(field)

        for field in ("scale", "threshold", "warmup"):
            getattr(self, field).observe(lambda _, field=field: report(field), "value")

    def changes(self, field: str) -> dict[str, object]:
        """Return a slider's new value as arguments of `EditSession.update`, or no arguments.

        The slider is read now, since its events may arrive out of order.
        """
        value = round(getattr(self, field).value, 3)
        if not self._differs(field, _slider_values(self._concept)[field]):
            return {}
        if field != "scale":
            return {field: value}
        return scale_fields(value)

    def _differs(self, field: str, value: float) -> bool:
        """Return whether a slider differs from a value by half a step or more.

        Setting a smaller difference would move the handle during a drag.
        """
        slider = getattr(self, field)
        return bool(abs(slider.value - value) >= slider.step / 2)

    def _show_details(self, change: object) -> None:
        self.details.layout.display = "" if self.more.value else "none"


def _slider_values(concept: Concept) -> dict[str, float]:
    return {
        "scale": signed_scale(concept),
        "threshold": concept.threshold,
        "warmup": concept.warmup,
    }


def _label(concept: Concept) -> str:
    """Return a concept's name, with the words that it is measured against if it has any."""
    if concept.opposite is None:
        return concept.name
    return f"{concept.name} ↔ {concept.opposite}"


def signed_scale(concept: Concept) -> float:
    """Return a concept's scale, negative if the concept is inverted."""
    return -concept.scale if concept.inverted else concept.scale


def scale_fields(signed: float) -> dict[str, Any]:
    """Return a signed scale as arguments of `EditSession.update`."""
    # Zero has no sign, so it keeps the concept's direction.
    return {"scale": abs(signed)} | ({"inverted": signed < 0} if signed else {})
