"""The edits that the evaluation measures, and how it scores them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from attributes import ATTRIBUTES, HIDDEN, NAMES
from numpy.typing import NDArray

ANYONE = "a portrait of a person"
"""The prompt of all base images. It names no attribute that an edit could contradict."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An edit, and the classifier's labels that it needs before and after it.

    Attributes:
        name: What the edit does, in words.
        concept: The prompt that the edit guides towards.
        opposite: The prompt that it guides away from; None: the empty one.
        reprompt: The text that, after the base prompt, asks for the edited image directly.
        attribute: The name of the edited attribute.
        source: Its values in the base images that the edit applies to.
        target: Its values that make the edit a success.
        scale: Edit guidance scale.
        threshold: Share of the latent entries that the edit leaves unchanged.
        warmup: Share of the model calls before it starts. Large parts of an image are settled
            early: removing a hat or recolouring hair must start earlier.
    """

    name: str
    concept: str
    opposite: str | None = None
    reprompt: str
    attribute: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    scale: float
    threshold: float
    warmup: float

    def applies_to(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the base images to edit: labels (count, attributes) -> (count,)."""
        return self._has(labels, self.source)

    def succeeded(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the edited images with a target value: labels (count, attributes) -> (count,)."""
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
    """Return the addition to all images that lack it, or to those with a value of ``source``."""
    targets = (target,) if isinstance(target, str) else target
    values = next(one.values for one in ATTRIBUTES if one.name == attribute)
    return Edit(
        name=f"add {concept}",
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
    thing: str,
    attribute: str,
    source: str | tuple[str, ...],
    setting: Setting,
    absence: str,
    reprompt: str | None = None,
) -> Edit:
    """Return the removal from all images that show the thing: away from it, to its absence.

    Nothing may replace it: sunglasses must not replace glasses, nor a moustache a beard.
    """
    sources = (source,) if isinstance(source, str) else source
    values = next(one.values for one in ATTRIBUTES if one.name == attribute)
    others = tuple(value for value in values if value not in sources)
    return Edit(
        name=f"remove {thing}",
        concept=absence,
        opposite=thing,
        reprompt=f", {reprompt or absence}",
        attribute=attribute,
        source=sources,
        target=("none",) if "none" in values else others,
        scale=setting[0],
        threshold=setting[1],
        warmup=setting[2],
    )


def _replace(
    opposite: str,
    concept: str,
    attribute: str,
    source: str,
    target: str,
    setting: Setting,
    reprompt: str | None = None,
) -> Edit:
    """Return the replacement of a value by another, in all images that show it."""
    return Edit(
        name=f"{concept} instead of {opposite}",
        concept=concept,
        opposite=opposite,
        reprompt=f" with {reprompt or concept}",
        attribute=attribute,
        source=(source,),
        target=(target,),
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
    _remove("glasses", "glasses", "glasses", (4, 0.93, 0.2), "no glasses"),
    _remove("beard", "facial_hair", "beard", (4, 0.93, 0.1), "no beard", "clean-shaven"),
    _remove("hat", "hat", _HATS, (4, 0.9, 0.06), "no hat", "bareheaded"),
    _remove("smile", "mouth", "smile", (6, 0.95, 0.2), "not smiling"),
)

OPPOSITES = (
    _replace("sad", "smile", "mouth", "sad", "smile", (3, 0.96, 0.2), "a smile"),
    _replace("short hair", "long hair", "hair", "short", "long", (2, 0.95, 0.2)),
    _replace("closed eyes", "open eyes", "eyes", "closed", "open", (4, 0.95, 0.2)),
    _replace("sunglasses", "glasses", "glasses", "sunglasses", "glasses", (4, 0.95, 0.2)),
)

TRIPLES = (
    ("glasses", "beard", "hat"),
    ("sunglasses", "smile", "curly hair"),
    ("moustache", "sad", "yellow background"),
    ("glasses", "smile", "long hair"),
)
"""Combinations of three additions."""


def succeeded(edits: Sequence[Edit], after: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the images in which all edits succeeded: labels (count, attributes) -> (count,)."""
    together: NDArray[np.bool_] = np.all([edit.succeeded(after) for edit in edits], axis=0)
    return together


def preserved(
    edits: Sequence[Edit], before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the share of the other attributes that stayed: (count, attributes) -> (count,).

    Only attributes that both images show are counted: a hat that hides short hair has not changed
    the hair.
    """
    edited = {edit.attribute for edit in edits}
    others = [index for index, name in enumerate(NAMES) if name not in edited]
    visible = ((before != HIDDEN) & (after != HIDDEN))[:, others]
    kept = (before == after)[:, others] & visible
    return np.asarray(kept.sum(1) / visible.sum(1))


@dataclass(frozen=True)
class Score:
    """The results of an edit on the images that it applies to.

    Attributes:
        count: The number of images.
        success: Share of the images in which the attribute has a target value after the edit.
        preservation: Mean share of their other attributes that stayed the same.
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
