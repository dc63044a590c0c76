"""Walk and close trees of widgets."""

from __future__ import annotations

from collections.abc import Iterator

from ipywidgets import Widget


def iter_widgets(widget: Widget) -> Iterator[Widget]:
    """Iterate over a widget and everything inside it, parents first."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from iter_widgets(child)


def close_all(widget: Widget) -> None:
    """Close a widget and everything inside it, since `Widget.close` closes one widget only."""
    for one in tuple(iter_widgets(widget)):
        one.close()
