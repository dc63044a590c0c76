"""Messages to the user of a panel."""

from __future__ import annotations

import html

from ipywidgets import HTML

from sega_session.errors import SegaSessionError, SegaSessionWarning


class Messages(HTML):
    """A line with the last note or error; screen readers announce both."""

    def clear(self) -> None:
        """Remove the message."""
        self.value = ""

    def note(self, text: str) -> None:
        """Show that something was done."""
        self.value = f'<div role="status">{html.escape(text)}</div>'

    def error(self, error: BaseException) -> None:
        """Show an error, or a warning of this package as a note."""
        if isinstance(error, SegaSessionWarning):
            self.note(str(error))
            return
        kind = "" if isinstance(error, SegaSessionError) else f"{type(error).__name__}: "
        self.value = (
            '<div role="alert" style="border-left: 4px solid #d55e00; padding: 0 0.6em">'
            f"<b>Not done.</b> {html.escape(f'{kind}{error}')}</div>"
        )
