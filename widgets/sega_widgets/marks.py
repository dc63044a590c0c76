"""What is chosen, in a colour that white words are readable on in light and dark themes."""

from __future__ import annotations

from ipywidgets import Button

CHOSEN = "#0072b2"


def mark(button: Button, chosen: bool) -> None:
    """Mark a button, or take the mark away."""
    button.style.button_color = CHOSEN if chosen else None
    button.style.text_color = "white" if chosen else None
