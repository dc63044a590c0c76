"""A choice among a session's concepts."""

from __future__ import annotations

from typing import Any

from ipywidgets import Dropdown, Layout

from sega_session import EditSession


class ConceptChoice(Dropdown):
    """Chooses a concept by its name; None where there is none."""

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

    def follow(self, session: EditSession) -> None:
        """Offer the concepts that there are now; the chosen one stays chosen if it is there."""
        names, chosen = [concept.name for concept in session.concepts], self.value
        if list(self.options) != names:
            self.options = names
            self.value = chosen if chosen in names else next(iter(names), None)
