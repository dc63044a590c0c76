"""A dropdown list of a session's concepts."""

from __future__ import annotations

from typing import Any

from ipywidgets import Dropdown, Layout

from sega_session import EditSession


class ConceptChoice(Dropdown):
    """A dropdown list of concept names; its value is None while there are no concepts."""

    options: Any
    value: Any

    def __init__(self) -> None:
        super().__init__(
            options=[],
            description="of",
            tooltip="The concept that is shown",
            style={"description_width": "initial"},
            layout=Layout(width="auto", min_width="9em"),
        )

    def refresh(self, session: EditSession) -> None:
        """Offer the session's current concepts; keep the selected one if it still exists."""
        names, selected = [concept.name for concept in session.concepts], self.value
        if list(self.options) != names:
            self.options = names
            self.value = selected if selected in names else next(iter(names), None)
