"""Words about images: how exact an image is, and what it shows."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from sega_session import Concept, EditState, Render
from sega_session.render import ROUGH

SMALLEST = 0.01
"""Errors below this many per cent are not told apart."""


@frozen
class Accuracy:
    """The accuracy of one image, in words.

    Attributes:
        quality: as `Render.quality`, for this image alone; "unknown" where no error was estimated,
            "earlier" for an image of another state, "missing" and "failed" where there is none.
        label: what to write on the image, such as "Rough preview".
        short: the same for a small image.
        error: the estimated error, such as "about 6% off"; may be empty.
        tip: a sentence.
    """

    quality: Literal["exact", "close", "rough", "unknown", "earlier", "missing", "failed"]
    label: str
    short: str
    error: str
    tip: str


EXACT = Accuracy("exact", "Exact", "Exact", "", "The exact image")
EARLIER = Accuracy("earlier", "Earlier", "Earlier", "", "Made before the last edit")
MISSING = Accuracy("missing", "", "", "", "Not rendered yet")
FAILED = Accuracy("failed", "Not rendered", "Failed", "", "This image could not be rendered")


def measure_accuracy(render: Render, number: int = 0) -> Accuracy:
    """Return the accuracy of one image of a render.

    Args:
        render: any render.
        number: the index of the image.
    """
    if render.exact:
        return EXACT
    if render.error_estimate is None:
        tip = f"An approximate image ({render.mode}); its error is not known"
        return Accuracy("unknown", "Approximate", "Approx.", "error not known", tip)
    error = render.error_estimate[number]
    words = _describe_error(error)
    if error >= ROUGH:
        tip = f"A rough preview, {words} as estimated: an eye may see the difference"
        return Accuracy("rough", "Rough preview", "Rough", words, tip)
    tip = f"Close to the exact image, {words} as estimated"
    return Accuracy("close", "Close preview", "Close", words, tip)


def describe_image(prompt: str, state: EditState) -> str:
    """Return an alternative text, such as "a cat; glasses 5; less of a crowd 8".

    A concept with an opposite reads "smile instead of sad 4"; inverted, "sad instead of smile 4".
    """
    return "; ".join([prompt, *(_describe_concept(one) for one in state if one.enabled)])


def _describe_error(error: float) -> str:
    percent = 100 * error
    if percent < SMALLEST:
        return f"less than {SMALLEST:g}% off"
    return f"about {percent:.0f}% off" if percent >= 10 else f"about {percent:.2g}% off"


def _describe_concept(concept: Concept) -> str:
    words = concept.name
    if concept.opposite is not None:
        ends = (concept.opposite, words) if concept.inverted else (words, concept.opposite)
        words = " instead of ".join(ends)
    elif concept.inverted:
        words = f"less of {words}"
    return f"{words} {concept.scale:g}"
