"""One concept as a row of the list: its colour, the range of its slider, and its values."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from sega_session import Concept

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7fd1", "#999933")
"""Colour-blind safe, and readable in light and dark themes (after Okabe and Ito)."""

REACH = 10.0
"""The least scale at the ends of a slider."""

MAX_THRESHOLD = 0.995
"""The threshold at the end of its slider; larger ones are typed."""


@frozen
class Row:
    """The constant values of a concept's row.

    Attributes:
        number: tells the row from earlier ones of the same name.
        colour: as "#rrggbb".
        title: the concept in words, such as "smile instead of sad".
        home: the values that a reset restores.
    """

    number: int
    colour: str
    title: str
    home: Concept

    @property
    def reach(self) -> float:
        """The end of the usual range: twice the scale of ``home``, at least `REACH`."""
        return max(REACH, 2 * self.home.scale)


def row_values(row: Row, concept: Concept, calls: int) -> dict[str, Any]:
    """Return what the page shows of a concept.

    Args:
        row: its row.
        concept: its present values.
        calls: model calls of a render, the limit of warm-up.
    """
    last = calls - 1 if concept.cooldown is None else min(calls - 1, concept.cooldown)
    mask = concept.mask
    return {
        "id": row.number,
        "name": concept.name,
        "title": row.title,
        "opposite": concept.opposite,
        "colour": row.colour,
        "enabled": concept.enabled,
        "inverted": concept.inverted,
        **_slider_values(concept),
        "home": _slider_values(row.home),
        "reach": row.reach,
        "maxThreshold": max(MAX_THRESHOLD, concept.threshold),
        "maxWarmup": max(last, concept.warmup),
        "settings": describe_settings(concept, scale=False),
        "homeSettings": describe_settings(row.home),
        "beyond": f"beyond ±{row.reach:g}" if concept.scale > row.reach else "",
        "mask": None if mask is None else f"{mask.share:.0%} of the image",
    }


def describe_settings(concept: Concept, *, scale: bool = True) -> str:
    """Return a concept's settings in words: "scale 4, threshold .95, warm-up 10".

    Args:
        concept: the concept.
        scale: False leaves the scale out.
    """
    threshold = f"{concept.threshold:.3g}".replace("0.", ".", 1)
    words = f"threshold {threshold}, warm-up {concept.warmup}"
    return f"scale {signed_scale(concept):g}, {words}" if scale else words


def signed_scale(concept: Concept) -> float:
    """Return a concept's scale, negative if the concept is inverted."""
    return -concept.scale if concept.inverted else concept.scale


def scale_fields(signed: float) -> dict[str, Any]:
    """Return a signed scale as arguments of `EditSession.update`."""
    # Zero has no sign, so it keeps the concept's direction.
    return {"scale": abs(signed)} | ({"inverted": signed < 0} if signed else {})


def _slider_values(concept: Concept) -> dict[str, float]:
    return {
        "scale": signed_scale(concept),
        "threshold": concept.threshold,
        "warmup": concept.warmup,
    }
