"""Connect the messages of a page to the methods of a widget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anywidget import AnyWidget

from .guard import Guard

Handler = Callable[..., None]
"""A function that is called with a message's values, and ``buffers`` if the message has any."""


def handle_messages(widget: AnyWidget, guard: Guard, handlers: Mapping[str, Handler]) -> None:
    """Call the handler of each message that a page sends, one at a time.

    Args:
        widget: the widget that gets the messages.
        guard: runs the handlers, and shows their errors and warnings.
        handlers: by the message's ``kind``; other kinds are ignored, since a page may be of
            another version.
    """

    def handle(_: object, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        values = dict(content)
        handler = handlers.get(values.pop("kind", ""))
        if handler is not None:
            if buffers:
                values["buffers"] = buffers
            guard.run(lambda: handler(**values))

    widget.on_msg(handle)
