"""What a panel tells a person in words."""

from __future__ import annotations

import html

from ipywidgets import HTML

from sega_session.errors import SegaSessionError, SegaSessionWarning

from .access import CAPTION


class Caption(HTML):
    """How a picture was made; its tooltip describes the picture.

    Attributes:
        text: what it says now.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.say(text, "")

    def say(self, text: str, about: str) -> None:
        """Say how a picture was made, and what it shows."""
        self.text = text
        self.value = (
            f'<div class="{CAPTION}" title="{html.escape(about)}">{html.escape(text)}</div>'
        )


class Messages(HTML):
    """One line for what happened last: a note, or an error with its remedy.

    Both are announced by screen readers.
    """

    def clear(self) -> None:
        """Say nothing."""
        self.value = ""

    def note(self, text: str) -> None:
        """Say that something was done."""
        self.value = f'<div role="status">{html.escape(text)}</div>'

    def error(self, error: BaseException) -> None:
        """Say what went wrong, and how to mend it where the error knows; or a warning."""
        if isinstance(error, SegaSessionWarning):
            self.note(str(error))
            return
        kind = "" if isinstance(error, SegaSessionError) else f"{type(error).__name__}: "
        self.value = (
            '<div role="alert" style="border-left: 4px solid #d55e00; padding: 0 0.6em">'
            f"<b>Not done.</b> {html.escape(f'{kind}{error}')}</div>"
        )
