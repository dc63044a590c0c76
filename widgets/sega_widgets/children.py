"""A widget with all that it holds."""

from __future__ import annotations

from collections.abc import Iterator

from ipywidgets import Widget


def everything(widget: Widget) -> Iterator[Widget]:
    """A widget, its children, theirs, and so on."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def close_with_children(widget: Widget) -> None:
    """Close a widget and all that it holds: ipywidgets closes the outermost only."""
    for one in tuple(everything(widget)):
        one.close()
