"""Captions of images: how an image was made and what it shows."""

from __future__ import annotations

import html

from ipywidgets import HTML

from sega_session import Concept, EditState, Render

from .access import CAPTION


class Caption(HTML):
    """A line on how an image was made; its tooltip describes the image.

    Attributes:
        text: the line.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.show(text, "")

    def show(self, text: str, description: str) -> None:
        """Set the line and the description of the image."""
        self.text = text
        self.value = (
            f'<div class="{CAPTION}" title="{html.escape(description)}">{html.escape(text)}</div>'
        )


def describe_accuracy(render: Render) -> str:
    """Return how an image was made and, if it is approximate, its estimated error."""
    if render.exact:
        return "exact"
    if render.error_estimate is None:
        return f"{render.mode}: approximate, error not known"
    word = "rough" if render.quality == "rough" else "approximate"
    return f"{render.mode}: {word}, error about {max(render.error_estimate):.2g}"


def describe_image(prompt: str, state: EditState) -> str:
    """Return an alternative text, such as "a cat; glasses 5; less of a crowd 8".

    A concept with an opposite reads "smile instead of sad 4"; inverted, "sad instead of smile 4".
    """
    return "; ".join([prompt, *(_describe_concept(one) for one in state if one.enabled)])


def _describe_concept(concept: Concept) -> str:
    words = concept.name
    if concept.opposite is not None:
        ends = (concept.opposite, words) if concept.inverted else (words, concept.opposite)
        words = " instead of ".join(ends)
    elif concept.inverted:
        words = f"less of {words}"
    return f"{words} {concept.scale:g}"
