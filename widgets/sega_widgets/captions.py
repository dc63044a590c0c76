"""Captions of images: how an image was made and what it shows."""

from __future__ import annotations

import html

from ipywidgets import HTML

from sega_session import EditState, Render

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
    return f"{render.mode}: approximate, error about {max(render.error_estimate):.2g}"


def describe_image(prompt: str, state: EditState) -> str:
    """Return an alternative text, such as "a cat; glasses 5; less of a crowd 8"."""
    concepts = [
        f"{'less of ' * one.inverted}{one.name} {one.scale:g}" for one in state if one.enabled
    ]
    return "; ".join([prompt, *concepts])
