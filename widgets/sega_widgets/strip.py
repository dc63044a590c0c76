"""One concept at several strengths, in a row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

from ipywidgets import Box, Button, HBox, Image, Layout, ToggleButton, VBox

from sega_session import EditSession, EditState, Render
from sega_session.state import edits

from .access import CHOICE
from .choice import ConceptChoice
from .concept_row import signed, unsigned
from .guard import Changed, Guard, edit
from .marks import mark
from .png import blank, small

Draw = Callable[[str, EditState], Render | None]
"""Draws a state in a mode; None where that is not possible."""

COUNT = 7
REACH = 9.0
"""The strip goes from minus this scale to plus this, or as far as the concept's own."""

SIZE = 192
"""Pixels of a picture: twice what is shown, for dense screens."""


class StripView(VBox):
    """Previews of the current state with one concept at several scales; a click takes one.

    Args:
        session: what is edited.
        changed: called after a click has set a scale.
        guard: shared by the parts of a panel.
        redraw: called to have the current state drawn once more, and then the strip.
    """

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard,
        *,
        redraw: Callable[[], object],
    ) -> None:
        self._session = session
        self._changed = changed
        self._guard = guard
        self._redraw = redraw
        # Held while a picture is put up: they come from the thread that draws.
        self._lock = threading.Lock()
        self._nothing = blank(session.scene.width, session.scene.height)
        self._states: list[EditState] = []
        self.shown = ToggleButton(
            description="Strength strip",
            tooltip="The picture with one concept at several scales, as previews",
        )
        self.concept = ConceptChoice()
        self.images = tuple(Image(value=self._nothing, format="png") for _ in range(COUNT))
        self.buttons = tuple(Button(layout=Layout(width="auto")) for _ in range(COUNT))
        for number, button in enumerate(self.buttons):
            button.on_click(lambda _, number=number: guard.act(lambda: self._take(number)))
        cells = [VBox(pair) for pair in zip(self.images, self.buttons, strict=True)]
        for cell in cells:
            cell.add_class(CHOICE)
        self._row = Box(
            cells,
            layout=Layout(grid_template_columns=f"repeat({COUNT}, minmax(0, 1fr))", grid_gap="4px"),
        )
        for control in (self.shown, self.concept):
            control.observe(lambda _: guard.act(self._chosen), "value")
        bar = HBox([self.shown, self.concept], layout=Layout(flex_flow="row wrap"))
        super().__init__([bar, self._row])
        self.refresh()

    def refresh(self) -> None:
        """Follow the session; pictures of states that are no longer meant go."""
        with self._guard.setting(), self._lock:
            self.concept.follow(self._session)
            before, self._states = self._states, self._wanted()
            open_ = bool(self._states)
            self.shown.disabled = not self._session.concepts
            self.concept.layout.display = "" if open_ else "none"
            self._row.layout.display = "grid" if open_ else "none"
            for number, state in enumerate(self._states):
                concept = state.concept(self.concept.value)
                button, image = self.buttons[number], self.images[number]
                button.description = f"{signed(concept):g}"
                button.tooltip = f"{concept.name}: set the scale to {signed(concept):g}"
                mark(button, state == self._session.state)
                if before[number : number + 1] != [state]:
                    image.value = self._nothing

    def drawn(self, draw: Draw) -> Iterator[Callable[[], object]]:
        """Draw the strip, on the thread that draws; yields what puts up each picture."""
        for number, state in enumerate(tuple(self._states)):
            if self.images[number].value == self._nothing:
                render = draw("preview", state)
                if render is not None:
                    yield partial(self._show, number, render)

    def _show(self, number: int, render: Render) -> None:
        with self._lock:
            if self._states[number : number + 1] == [render.state]:
                self.images[number].value = small(render.image, SIZE)

    def _wanted(self) -> list[EditState]:
        """What the strip shows; nothing where it is closed or there is no concept."""
        name, state = self.concept.value, self._session.state
        if not self.shown.value or name is None:
            return []
        reach = max(REACH, state.concept(name).scale)
        scales = [round(reach * (2 * number / (COUNT - 1) - 1), 1) for number in range(COUNT)]
        return [edits.update(state, name, enabled=True, **unsigned(scale)) for scale in scales]

    def _chosen(self) -> None:
        self.refresh()
        if self._states:
            self._redraw()

    def _take(self, number: int) -> None:
        """Set the scale that a picture shows."""
        if number >= len(self._states):  # The last concept was just removed.
            return
        wanted = self._states[number].concept(self.concept.value)
        fields = {"scale": wanted.scale, "inverted": wanted.inverted, "enabled": True}
        take = partial(self._session.update, wanted.name, **fields)
        edit(self._session, take, self.refresh, self._changed)
