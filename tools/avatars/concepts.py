"""The edits that the evaluation measures, and how it measures them."""

from dataclasses import dataclass

import numpy as np
import torch
from attributes import ATTRIBUTES, HIDDEN, NAMES
from numpy.typing import NDArray
from train_classifier import Classifier

ANYONE = "a portrait of a person"


@dataclass(frozen=True, kw_only=True)
class Concept:
    """An edit, and what the classifier has to read before and after it.

    Attributes:
        prompt: What is added or removed, in words.
        absence: For a removal: how a prompt says that it is not there. Empty for an addition.
        attribute: What is edited.
        source: Values of it in the base images that count.
        target: Values of it that make an edit a success.
        scale: Edit guidance scale.
        threshold: Share of the latent entries that the edit leaves alone.
    """

    prompt: str
    absence: str = ""
    attribute: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    scale: float
    threshold: float

    @property
    def inverted(self) -> bool:
        """Whether the edit guides away from the concept."""
        return bool(self.absence)

    @property
    def name(self) -> str:
        return f"remove {self.prompt}" if self.inverted else f"add {self.prompt}"

    @property
    def base(self) -> str:
        """The prompt of the base images."""
        return f"{ANYONE} with {self.prompt}" if self.inverted else ANYONE

    @property
    def reprompt(self) -> str:
        """The prompt that asks for the edited picture directly."""
        return f"{ANYONE}, {self.absence}" if self.inverted else f"{ANYONE} with {self.prompt}"


def _others(attribute: str, target: str) -> tuple[str, ...]:
    values = next(item.values for item in ATTRIBUTES if item.name == attribute)
    return tuple(value for value in values if value != target)


def _addition(
    prompt: str, attribute: str, target: str, *, scale: float, threshold: float
) -> Concept:
    return Concept(
        prompt=prompt,
        attribute=attribute,
        source=_others(attribute, target),
        target=(target,),
        scale=scale,
        threshold=threshold,
    )


_HATS = ("sun hat", "beanie")

CONCEPTS: tuple[Concept, ...] = (
    Concept(
        prompt="glasses",
        attribute="glasses",
        source=("none",),
        target=("glasses",),
        scale=5,
        threshold=0.90,
    ),
    _addition("sunglasses", "glasses", "sunglasses", scale=5, threshold=0.90),
    _addition("a beard", "facial_hair", "beard", scale=5, threshold=0.92),
    _addition("a smile", "mouth", "smile", scale=6, threshold=0.95),
    Concept(
        prompt="a hat", attribute="hat", source=("none",), target=_HATS, scale=6, threshold=0.85
    ),
    _addition("curly hair", "hair", "curly", scale=5, threshold=0.88),
    _addition("long hair", "hair", "long", scale=5, threshold=0.88),
    _addition("blue hair", "hair_color", "blue", scale=5, threshold=0.88),
    _addition("yellow background", "background", "yellow", scale=8, threshold=0.50),
    Concept(
        prompt="glasses",
        absence="no glasses",
        attribute="glasses",
        source=("glasses",),
        target=("none",),
        scale=6,
        threshold=0.90,
    ),
    Concept(
        prompt="a beard",
        absence="clean-shaven",
        attribute="facial_hair",
        source=("beard",),
        target=("none", "moustache"),
        scale=7,
        threshold=0.90,
    ),
    Concept(
        prompt="a hat",
        absence="bareheaded",
        attribute="hat",
        source=_HATS,
        target=("none",),
        scale=8,
        threshold=0.80,
    ),
)


@dataclass(frozen=True)
class Score:
    """What became of the images that a concept applies to.

    Attributes:
        count: How many there were.
        success: Share of them in which the attribute now has a target value.
        preservation: Mean share of their other attributes that stayed as they were.
    """

    count: int
    success: float
    preservation: float


@torch.no_grad()
def read_labels(classifier: Classifier, images: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classify float (count, 128, 128, 3) in [0, 1]; return int64 (count, attributes)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
    return torch.cat([classifier.predict(chunk) for chunk in pixels.split(64)]).numpy()


def score(concept: Concept, before: NDArray[np.int64], after: NDArray[np.int64]) -> Score:
    """Compare the labels of base images and edited images, both (count, attributes).

    An attribute counts as preserved or not where both pictures show it: a hat that hides short hair
    has not changed the hair.
    """
    column = NAMES.index(concept.attribute)
    values = ATTRIBUTES[column].values
    source = [values.index(value) for value in concept.source]
    target = [values.index(value) for value in concept.target]
    applies = np.isin(before[:, column], source)
    if not applies.any():
        return Score(0, float("nan"), float("nan"))
    before, after = before[applies], after[applies]

    others = [i for i, name in enumerate(NAMES) if name != concept.attribute]
    visible = ((before != HIDDEN) & (after != HIDDEN))[:, others]
    kept = (before == after)[:, others] & visible
    return Score(
        count=len(before),
        success=float(np.isin(after[:, column], target).mean()),
        preservation=float((kept.sum(1) / visible.sum(1)).mean()),
    )
