"""Highlight selected buttons."""

from __future__ import annotations

from ipywidgets import Button

COLOUR = "#0072b2"
"""White text on it is readable in light and dark themes."""


def highlight(button: Button, selected: bool) -> None:
    """Highlight a button if it is selected, else remove the highlight."""
    button.style.button_color = COLOUR if selected else None
    button.style.text_color = "white" if selected else None
