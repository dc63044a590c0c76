"""The edits that the evaluation measures, and how it scores them."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from attributes import ATTRIBUTES, HIDDEN, NAMES
from numpy.typing import NDArray

ANYONE = "a portrait of a person"
"""The prompt of all base images. It names no attribute, so that no edit has to argue with it."""


class Kind(Enum):
    """What an edit does; the value describes it in the table."""

    ADD = "add"
    REMOVE = "remove: guide away from"
    DENY = "remove: guide towards"


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit, and what the classifier has to read before and after it.

    Attributes:
        kind: What it does.
        thing: What is added or removed, in words.
        absence: How a prompt says that it is not there; for removals only.
        attribute: What is edited.
        source: Values of it in the base images that the edit applies to.
        target: Values of it that make the edit a success.
        scale: Edit guidance scale.
        threshold: Share of the latent entries that the edit leaves alone.
    """

    kind: Kind
    thing: str
    absence: str = ""
    attribute: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    scale: float
    threshold: float

    @property
    def concept(self) -> str:
        """The words that the edit guides towards or away from."""
        return self.absence if self.kind is Kind.DENY else self.thing

    @property
    def inverted(self) -> bool:
        """Whether the edit guides away from its concept."""
        return self.kind is Kind.REMOVE

    @property
    def name(self) -> str:
        return f'{self.kind.value} "{self.concept}"'

    @property
    def reprompt(self) -> str:
        """The prompt that asks for the edited picture directly."""
        return (
            f"{ANYONE} with {self.thing}" if self.kind is Kind.ADD else f"{ANYONE}, {self.absence}"
        )

    def applies_to(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which base images to edit: labels (count, attributes) -> (count,)."""
        return self._has(labels, self.source)

    def succeeded(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which edited images are what was wanted: labels (count, attributes) -> (count,)."""
        return self._has(labels, self.target)

    def _has(self, labels: NDArray[np.int64], wanted: tuple[str, ...]) -> NDArray[np.bool_]:
        column = NAMES.index(self.attribute)
        values = ATTRIBUTES[column].values
        return np.isin(labels[:, column], [values.index(value) for value in wanted])


def _addition(thing: str, attribute: str, target: str, *, scale: float, threshold: float) -> Edit:
    values = next(item.values for item in ATTRIBUTES if item.name == attribute)
    return Edit(
        kind=Kind.ADD,
        thing=thing,
        attribute=attribute,
        source=tuple(value for value in values if value != target),
        target=(target,),
        scale=scale,
        threshold=threshold,
    )


_HATS = ("sun hat", "beanie")

_ADDITIONS = (
    Edit(
        kind=Kind.ADD,
        thing="glasses",
        attribute="glasses",
        source=("none",),
        target=("glasses",),
        scale=5,
        threshold=0.90,
    ),
    _addition("sunglasses", "glasses", "sunglasses", scale=5, threshold=0.90),
    _addition("a beard", "facial_hair", "beard", scale=5, threshold=0.92),
    _addition("a smile", "mouth", "smile", scale=6, threshold=0.95),
    Edit(
        kind=Kind.ADD,
        thing="a hat",
        attribute="hat",
        source=("none",),
        target=_HATS,
        scale=7,
        threshold=0.80,
    ),
    _addition("curly hair", "hair", "curly", scale=5, threshold=0.88),
    _addition("long hair", "hair", "long", scale=5, threshold=0.88),
    _addition("blue hair", "hair_color", "blue", scale=12, threshold=0.80),
    _addition("yellow background", "background", "yellow", scale=6, threshold=0.60),
)


def _removals(kind: Kind, settings: dict[str, tuple[float, float]]) -> tuple[Edit, ...]:
    """One removal for each thing in `settings`, which gives scales and thresholds."""
    things = {
        "glasses": ("no glasses", "glasses", ("glasses",), ("none",)),
        "a beard": ("clean-shaven", "facial_hair", ("beard",), ("none", "moustache")),
        "a hat": ("bareheaded", "hat", _HATS, ("none",)),
    }
    return tuple(
        Edit(
            kind=kind,
            thing=thing,
            absence=absence,
            attribute=attribute,
            source=source,
            target=target,
            scale=settings[thing][0],
            threshold=settings[thing][1],
        )
        for thing, (absence, attribute, source, target) in things.items()
    )


EDITS: tuple[Edit, ...] = (
    *_ADDITIONS,
    *_removals(Kind.REMOVE, {"glasses": (6, 0.90), "a beard": (7, 0.90), "a hat": (10, 0.70)}),
    *_removals(Kind.DENY, {"glasses": (5, 0.90), "a beard": (6, 0.90), "a hat": (8, 0.85)}),
)


@dataclass(frozen=True)
class Score:
    """What became of the images that an edit applies to.

    Attributes:
        count: How many there are.
        success: Share of them in which the attribute now has a target value.
        preservation: Mean share of their other attributes that stayed as they were.
    """

    count: int
    success: float
    preservation: float


def score(edit: Edit, before: NDArray[np.int64], after: NDArray[np.int64]) -> Score:
    """Compare the labels of images before and after, both (count, attributes), count >= 1.

    An attribute counts as kept or not where both pictures show it: a hat that hides short hair has
    not changed the hair.
    """
    others = [index for index, name in enumerate(NAMES) if name != edit.attribute]
    visible = ((before != HIDDEN) & (after != HIDDEN))[:, others]
    kept = (before == after)[:, others] & visible
    return Score(
        count=len(before),
        success=float(edit.succeeded(after).mean()),
        preservation=float((kept.sum(1) / visible.sum(1)).mean()),
    )
