"""Ends widgets that are shown no more."""

from __future__ import annotations

from ipywidgets import Widget


def close_with_children(widget: Widget) -> None:
    """Close a widget and all that it holds: ipywidgets closes the outermost only."""
    for child in getattr(widget, "children", ()):
        close_with_children(child)
    widget.close()
