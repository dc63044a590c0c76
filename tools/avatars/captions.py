"""Captions for portraits: varied in words, order and completeness.

Every concept also occurs alone, as the short phrase of a semantic edit ("glasses", "a beard"),
and so does its absence ("no glasses", "clean-shaven"): an edit compares the prediction
for such a phrase with that for the empty prompt, so both must be familiar to the model.
"""

from collections.abc import Callable, Sequence

import numpy as np
from attributes import Portrait

EMPTY = 0.10
"""Share of empty captions, which classifier-free guidance needs."""

SHORT = 0.25
"""Share of captions of a single phrase."""

ABSENCE = 0.35
"""The probability that a longer caption mentions that something is absent."""

MOST_PHRASES = 6
"""Phrases in one caption, so that its tokens fit the text encoder."""

_OPENINGS = (
    "a portrait of a person",
    "a portrait of a person",
    "a portrait",
    "portrait of a person",
    "a person",
    "an avatar of a person",
    "a cartoon portrait of a person",
    "a picture of a person",
    "someone",
)

_GLASSES = {
    "none": ("no glasses", "without glasses", "bare eyes"),
    "glasses": ("glasses", "glasses", "eyeglasses", "spectacles", "wearing glasses"),
    "sunglasses": ("sunglasses", "sunglasses", "dark glasses", "shades", "wearing sunglasses"),
}
_MOUTH = {
    "smile": ("a smile", "smile", "smiling", "a big smile", "happy", "a happy face"),
    "serious": ("a serious face", "serious", "a straight mouth", "not smiling"),
    "sad": ("sad", "a sad face", "frowning", "a frown"),
    "open": ("an open mouth", "shouting", "screaming", "surprised"),
}
_EYES = {
    "open": ("open eyes", "eyes open"),
    "wide": ("wide eyes", "big eyes", "staring"),
    "closed": ("closed eyes", "eyes closed", "sleeping"),
}
_SKIN = {
    "light": ("light skin", "pale skin"),
    "tan": ("tan skin", "tanned skin"),
    "brown": ("brown skin",),
    "dark": ("dark skin", "black skin"),
}
_NO_BEARD = ("clean-shaven", "no beard", "no facial hair", "without a beard", "shaved")
_NO_HAT = ("no hat", "bareheaded", "without a hat", "bare head")
_HAIR_STYLES = {
    "short": ("short hair", "short {} hair"),
    "long": ("long hair", "long {} hair"),
    "curly": ("curly hair", "curly {} hair"),
    "bob": ("a bob", "a {} bob"),
    "bun": ("a bun", "a {} bun"),
}


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _synonym(rng: np.random.Generator, word: str) -> str:
    synonyms = {"blonde": ("blonde", "blond"), "grey": ("grey", "gray")}
    return _pick(rng, synonyms.get(word, (word,)))


def _with_article(color: str, noun: str) -> str:
    return f"a {color} {noun}"


def _facial_hair(portrait: Portrait, rng: np.random.Generator) -> str:
    kind, color = portrait["facial_hair"], portrait["beard_color"]
    if kind == "none" or color is None:
        return _pick(rng, _NO_BEARD)
    if rng.random() < 0.3:
        return _with_article(_synonym(rng, color), str(kind))
    if kind == "beard":
        return _pick(rng, ("a beard", "beard", "bearded", "a full beard"))
    return _pick(rng, ("a moustache", "moustache", "a mustache"))


def _hat(portrait: Portrait, rng: np.random.Generator) -> str:
    kind, color = portrait["hat"], portrait["hat_color"]
    if kind == "none" or color is None:
        return _pick(rng, _NO_HAT)
    nouns = {"sun hat": ("sun hat", "wide hat"), "beanie": ("beanie", "winter hat")}
    noun = "hat" if rng.random() < 0.6 else _pick(rng, nouns[str(kind)])
    if rng.random() < 0.3:
        return _with_article(_synonym(rng, color), noun)
    return _pick(rng, (f"a {noun}", noun, f"wearing a {noun}"))


def _hair(portrait: Portrait, rng: np.random.Generator) -> str | None:
    style, color = portrait["hair"], portrait["hair_color"]
    if style is None:
        return None
    if style == "bald" or color is None:
        return _pick(rng, ("bald", "a bald head", "no hair"))
    color = _synonym(rng, color)
    plain, colored = _HAIR_STYLES[style]
    return _pick(rng, (plain, colored.format(color), f"{color} hair"))


def _clothes(portrait: Portrait, rng: np.random.Generator) -> str:
    kind, color = portrait["clothes"], _synonym(rng, str(portrait["clothes_color"]))
    return _pick(rng, (f"a {kind}", _with_article(color, str(kind)), f"{color} clothes"))


def _background(portrait: Portrait, rng: np.random.Generator) -> str:
    color = _synonym(rng, str(portrait["background"]))
    return _pick(
        rng,
        (f"{color} background", f"a {color} background", f"{color} backdrop"),
    )


def _listed(
    name: str, phrases: dict[str, tuple[str, ...]]
) -> Callable[[Portrait, np.random.Generator], str | None]:
    def describe(portrait: Portrait, rng: np.random.Generator) -> str | None:
        value = portrait[name]
        return None if value is None else _pick(rng, phrases[value])

    return describe


_TOPICS: dict[str, tuple[float, Callable[[Portrait, np.random.Generator], str | None]]] = {
    "glasses": (2.0, _listed("glasses", _GLASSES)),
    "facial_hair": (2.0, _facial_hair),
    "mouth": (1.5, _listed("mouth", _MOUTH)),
    "eyes": (0.7, _listed("eyes", _EYES)),
    "hat": (2.0, _hat),
    "hair": (3.5, _hair),
    "skin": (0.8, _listed("skin", _SKIN)),
    "clothes": (1.0, _clothes),
    "background": (1.6, _background),
}
"""The subjects of a phrase, with their weights among the short captions."""

_MAY_BE_ABSENT = ("glasses", "facial_hair", "hat")
_WEIGHTS = np.array([weight for weight, _ in _TOPICS.values()])
_WEIGHTS /= _WEIGHTS.sum()


def describe(portrait: Portrait, rng: np.random.Generator) -> str:
    """Return a random caption that is true of `portrait`."""
    kind = rng.random()
    if kind < EMPTY:
        return ""
    if kind < EMPTY + SHORT:
        topic = list(_TOPICS)[rng.choice(len(_TOPICS), p=_WEIGHTS)]
        return _TOPICS[topic][1](portrait, rng) or _background(portrait, rng)

    completeness = rng.beta(1.2, 1.2)
    phrases: list[str] = []
    for topic, (_, phrase_for) in _TOPICS.items():
        share = completeness
        if topic in _MAY_BE_ABSENT and portrait[topic] == "none":
            share *= ABSENCE
        if rng.random() < share and (phrase := phrase_for(portrait, rng)) is not None:
            phrases.append(phrase)
    rng.shuffle(phrases)
    return _join(phrases[:MOST_PHRASES], rng)


def _join(phrases: list[str], rng: np.random.Generator) -> str:
    """Write phrases as a sentence or as a comma-separated list."""
    if phrases and rng.random() < 0.2:
        return ", ".join(phrases)
    opening = _pick(rng, _OPENINGS)
    if not phrases:
        return opening
    if rng.random() < 0.6:
        # "with" suits a noun better than "smiling"; the model is indifferent.
        return f"{opening} with " + " and ".join(
            part for part in (", ".join(phrases[:-1]), phrases[-1]) if part
        )
    return ", ".join([opening, *phrases])
