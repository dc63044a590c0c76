"""The edits that the evaluation measures, and how it scores them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from attributes import ATTRIBUTES, HIDDEN, NAMES
from numpy.typing import NDArray

ANYONE = "a portrait of a person"
"""The prompt of all base images. It names no attribute, so that no edit has to argue with it."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit, and what the classifier has to read before and after it.

    Attributes:
        concept: What the edit guides towards, or away from.
        inverted: Whether it guides away.
        reprompt: What asks for the edited picture directly, after the base prompt.
        attribute: What is edited.
        source: Values of it in the base images that the edit applies to.
        target: Values of it that make the edit a success.
        scale: Edit guidance scale.
        threshold: Share of the latent entries that the edit leaves alone.
        warmup: Share of the model calls before it starts. What covers much of a picture is settled
            early: a hat leaves, and hair changes its colour, only if that starts earlier.
    """

    concept: str
    inverted: bool = False
    reprompt: str
    attribute: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    scale: float
    threshold: float
    warmup: float

    @property
    def name(self) -> str:
        return f"{'remove' if self.inverted else 'add'} {self.concept}"

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


Setting = tuple[float, float, float]
"""Scale, threshold and warm-up."""


def _add(
    concept: str,
    attribute: str,
    target: str | tuple[str, ...],
    setting: Setting,
    reprompt: str | None = None,
    source: tuple[str, ...] | None = None,
) -> Edit:
    """An addition to all images that lack it, or to those with a value of ``source``."""
    targets = (target,) if isinstance(target, str) else target
    values = next(one.values for one in ATTRIBUTES if one.name == attribute)
    return Edit(
        concept=concept,
        reprompt=f" with {reprompt or concept}",
        attribute=attribute,
        source=source or tuple(value for value in values if value not in targets),
        target=targets,
        scale=setting[0],
        threshold=setting[1],
        warmup=setting[2],
    )


def _remove(
    concept: str,
    attribute: str,
    source: str | tuple[str, ...],
    setting: Setting,
    reprompt: str,
) -> Edit:
    """A removal, by inversion, from all images that show it.

    Nothing may take its place: neither sunglasses that of glasses, nor a moustache a beard's.
    """
    sources = (source,) if isinstance(source, str) else source
    values = next(one.values for one in ATTRIBUTES if one.name == attribute)
    others = tuple(value for value in values if value not in sources)
    return Edit(
        concept=concept,
        inverted=True,
        reprompt=f", {reprompt}",
        attribute=attribute,
        source=sources,
        target=("none",) if "none" in values else others,
        scale=setting[0],
        threshold=setting[1],
        warmup=setting[2],
    )


_HATS = ("sun hat", "beanie")

ADDITIONS = (
    _add("glasses", "glasses", "glasses", (4, 0.95, 0.2), source=("none",)),
    _add("sunglasses", "glasses", "sunglasses", (3, 0.95, 0.2)),
    _add("beard", "facial_hair", "beard", (3, 0.95, 0.2), "a beard"),
    _add("moustache", "facial_hair", "moustache", (3, 0.96, 0.2), "a moustache"),
    _add("smile", "mouth", "smile", (4, 0.95, 0.2), "a smile"),
    _add("sad", "mouth", "sad", (4, 0.95, 0.2), "a sad face"),
    _add("hat", "hat", _HATS, (7, 0.80, 0.2), "a hat"),
    _add("curly hair", "hair", "curly", (7, 0.90, 0.2)),
    _add("long hair", "hair", "long", (3, 0.93, 0.2)),
    _add("bald", "hair", "bald", (4, 0.85, 0.2), "a bald head"),
    _add("blue hair", "hair_color", "blue", (6, 0.92, 0.1)),
    _add("yellow background", "background", "yellow", (6, 0.60, 0.2)),
)

REMOVALS = (
    _remove("glasses", "glasses", "glasses", (6, 0.90, 0.2), "no glasses"),
    _remove("beard", "facial_hair", "beard", (7, 0.90, 0.2), "clean-shaven"),
    _remove("hat", "hat", _HATS, (7, 0.85, 0.1), "bareheaded"),
    _remove("smile", "mouth", "smile", (6, 0.95, 0.2), "not smiling"),
)

TRIPLES = (
    ("glasses", "beard", "hat"),
    ("sunglasses", "smile", "curly hair"),
    ("moustache", "sad", "yellow background"),
    ("glasses", "smile", "long hair"),
)
"""Additions that are made together."""


def succeeded(edits: Sequence[Edit], after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """In which images all edits are what was wanted: labels (count, attributes) -> (count,)."""
    together: NDArray[np.bool_] = np.all([edit.succeeded(after) for edit in edits], axis=0)
    return together


def preserved(
    edits: Sequence[Edit], before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The share of the other attributes that stayed: labels (count, attributes) -> (count,).

    An attribute counts as kept or not where both pictures show it: a hat that hides short hair has
    not changed the hair.
    """
    edited = {edit.attribute for edit in edits}
    others = [index for index, name in enumerate(NAMES) if name not in edited]
    visible = ((before != HIDDEN) & (after != HIDDEN))[:, others]
    kept = (before == after)[:, others] & visible
    return np.asarray(kept.sum(1) / visible.sum(1))


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


def score(edits: Sequence[Edit], before: NDArray[np.int64], after: NDArray[np.int64]) -> Score:
    """Compare the labels of images before and after, both (count, attributes), count >= 1."""
    return Score(
        count=len(before),
        success=float(succeeded(edits, after).mean()),
        preservation=float(preserved(edits, before, after).mean()),
    )
