"""The attribute schema of the portraits: the visible attributes, and how DiceBear draws them.

A portrait is a mapping from attribute name to value name, or to ``None`` where the attribute is
not visible (the hair colour of a bald person, the hair style under a hat). The renderer, the
captions, the classifier and the evaluation use this schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Portrait = dict[str, str | None]
"""Attribute name to value name; ``None`` where the image does not show the attribute."""


@dataclass(frozen=True)
class Attribute:
    """One visible property of a portrait.

    Attributes:
        name: Its name, also the key in a `Portrait`.
        weights: Each value's share of the portraits; the shares add up to 1.
    """

    name: str
    weights: Mapping[str, float]

    @property
    def values(self) -> tuple[str, ...]:
        """The value names, in the order in which labels number them."""
        return tuple(self.weights)


def _uniform(*values: str) -> dict[str, float]:
    return {value: 1 / len(values) for value in values}


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("glasses", {"none": 0.52, "glasses": 0.32, "sunglasses": 0.16}),
    Attribute("facial_hair", {"none": 0.53, "beard": 0.36, "moustache": 0.11}),
    Attribute("beard_color", _uniform("black", "blonde", "red", "grey")),
    Attribute("mouth", {"smile": 0.40, "serious": 0.24, "sad": 0.18, "open": 0.18}),
    Attribute("eyes", {"open": 0.66, "wide": 0.17, "closed": 0.17}),
    Attribute("hat", {"none": 0.68, "sun hat": 0.16, "beanie": 0.16}),
    Attribute("hat_color", _uniform("red", "blue", "green", "yellow", "black")),
    Attribute(
        "hair",
        {"short": 0.22, "long": 0.22, "curly": 0.22, "bob": 0.14, "bun": 0.10, "bald": 0.10},
    ),
    Attribute("hair_color", _uniform("black", "brown", "blonde", "red", "blue", "pink", "grey")),
    Attribute("skin", _uniform("light", "tan", "brown", "dark")),
    Attribute("clothes", _uniform("t-shirt", "hoodie", "blazer")),
    Attribute(
        "clothes_color", _uniform("white", "black", "red", "blue", "green", "yellow", "pink")
    ),
    Attribute("background", _uniform("white", "grey", "blue", "green", "yellow", "pink", "purple")),
)

NAMES: tuple[str, ...] = tuple(attribute.name for attribute in ATTRIBUTES)

HIDDEN = -1
"""The label of an attribute that the image does not show."""

_HIDDEN_UNDER_A_HAT = ("short", "bun", "bald")

_VARIANTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("glasses", "glasses"): ("prescription02", "round"),
    ("glasses", "sunglasses"): ("sunglasses", "wayfarers"),
    ("facial_hair", "beard"): ("beardMedium", "beardLight"),
    ("facial_hair", "moustache"): ("moustacheMagnum",),
    ("mouth", "smile"): ("smile",),
    ("mouth", "serious"): ("serious",),
    ("mouth", "sad"): ("sad",),
    ("mouth", "open"): ("screamOpen",),
    ("eyes", "open"): ("default",),
    ("eyes", "wide"): ("surprised",),
    ("eyes", "closed"): ("closed",),
    ("hat", "sun hat"): ("hat",),
    ("hat", "beanie"): ("winterHat03",),
    ("hair", "short"): ("shortFlat", "shortWaved"),
    ("hair", "long"): ("straight02", "straightAndStrand"),
    ("hair", "curly"): ("curly", "fro"),
    ("hair", "bob"): ("bob",),
    ("hair", "bun"): ("bun",),
    ("clothes", "t-shirt"): ("shirtCrewNeck",),
    ("clothes", "hoodie"): ("hoodie",),
    ("clothes", "blazer"): ("blazerAndShirt",),
}

_HAIR_COLORS = {
    "black": "#2c1b18",
    "brown": "#7a4a2b",
    "blonde": "#e3b84e",
    "red": "#c93305",
    "blue": "#3f63e0",
    "pink": "#f267b0",
    "grey": "#c9c5c5",
}

_COLORS: dict[str, dict[str, str]] = {
    "hair_color": _HAIR_COLORS,
    "beard_color": _HAIR_COLORS,
    "hat_color": {
        "red": "#e03131",
        "blue": "#2f6fdb",
        "green": "#2b8a4b",
        "yellow": "#f2c230",
        "black": "#262e33",
    },
    "skin": {"light": "#ffdbb4", "tan": "#e0a36e", "brown": "#ae5d29", "dark": "#614335"},
    "clothes_color": {
        "white": "#ffffff",
        "black": "#262e33",
        "red": "#e03131",
        "blue": "#2f6fdb",
        "green": "#2b8a4b",
        "yellow": "#f2c230",
        "pink": "#f783ac",
    },
    "background": {
        "white": "#f8f9fa",
        "grey": "#adb5bd",
        "blue": "#74c0fc",
        "green": "#8ce99a",
        "yellow": "#ffe066",
        "pink": "#faa2c1",
        "purple": "#b197fc",
    },
}


def sample_portrait(rng: np.random.Generator) -> Portrait:
    """Sample every attribute independently, then hide those that the drawing does not show."""
    portrait: Portrait = {
        attribute.name: str(rng.choice(attribute.values, p=list(attribute.weights.values())))
        for attribute in ATTRIBUTES
    }
    if portrait["hat"] == "none":
        portrait["hat_color"] = None
    elif portrait["hair"] in _HIDDEN_UNDER_A_HAT:
        portrait["hair"] = portrait["hair_color"] = None
    if portrait["hair"] == "bald":
        portrait["hair_color"] = None
    if portrait["facial_hair"] == "none":
        portrait["beard_color"] = None
    if portrait["glasses"] == "sunglasses":
        portrait["eyes"] = None
    return portrait


def dicebear_options(portrait: Portrait, rng: np.random.Generator) -> dict[str, object]:
    """Return the options that make DiceBear draw `portrait` in its avataaars style.

    `rng` picks among the drawings that share a name, such as round and square glasses.
    """

    def component(option: str, name: str) -> dict[str, object]:
        variants = _VARIANTS.get((name, portrait[name] or ""))
        if variants is None:  # "none", "bald", or hidden
            return {f"{option}Probability": 0}
        return {f"{option}Probability": 100, f"{option}Variant": [str(rng.choice(variants))]}

    def color(option: str, name: str) -> dict[str, object]:
        value = portrait[name]
        return {} if value is None else {f"{option}Color": [_COLORS[name][value]]}

    options: dict[str, object] = {
        "seed": "",
        "eyebrowsVariant": ["default"],
        "accessoriesColor": ["#262e33"],
        "eyesVariant": ["default"],
    }
    options |= component("accessories", "glasses")
    options |= component("facialHair", "facial_hair") | color("facialHair", "beard_color")
    options |= component("mouth", "mouth")
    if portrait["eyes"] is not None:
        options |= component("eyes", "eyes")
    options |= component("hat", "hat") | color("hat", "hat_color")
    options |= component("top", "hair") | color("hair", "hair_color")
    options |= component("clothes", "clothes") | color("clothes", "clothes_color")
    options |= color("skin", "skin") | color("background", "background")
    return options


def to_labels(portrait: Portrait) -> NDArray[np.int8]:
    """Number a portrait's values: shape (attributes,), `HIDDEN` where nothing is visible."""
    labels = np.full(len(ATTRIBUTES), HIDDEN, dtype=np.int8)
    for index, attribute in enumerate(ATTRIBUTES):
        value = portrait[attribute.name]
        if value is not None:
            labels[index] = attribute.values.index(value)
    return labels


def from_labels(labels: NDArray[np.int8]) -> Portrait:
    """Invert `to_labels`."""
    return {
        attribute.name: None if label == HIDDEN else attribute.values[label]
        for attribute, label in zip(ATTRIBUTES, labels, strict=True)
    }
