"""One concept at several scales, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

from ipywidgets import Box, Button, HBox, Image, Layout, ToggleButton, VBox

from sega_session import EditSession, EditState, Render
from sega_session.state import edits

from .access import CHOICE
from .captions import describe_accuracy
from .choice import ConceptChoice
from .concept_row import scale_fields, signed_scale
from .guard import Changed, Guard, edit
from .highlight import highlight
from .png import encode_blank, encode_thumbnail

TryRender = Callable[[str, EditState], Render | None]
"""A function that renders a state in a mode, and returns None if that fails."""

COUNT = 7
REACH = 9.0
"""The scales go from -REACH to REACH, or to the concept's own scale if that is larger."""

SIZE = 192
"""Width of an image in pixels, twice the width on the page for dense screens."""


class StripView(VBox):
    """Previews of the current state with one concept at several scales; a click sets the scale.

    Args:
        session: the session that is edited.
        changed: called after a click has set a scale.
        guard: the guard of the panel.
        rerender: called to render the current state again, and then the strip.

    Attributes:
        shown: the button that opens the strip.
        row: the box of ``images`` and their ``buttons``.
    """

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard,
        *,
        rerender: Callable[[], object],
    ) -> None:
        self._session = session
        self._changed = changed
        self._guard = guard
        self._rerender = rerender
        # Held while images change, since the render thread sets them.
        self._lock = threading.Lock()
        self._blank = encode_blank(session.scene.width, session.scene.height)
        self._states: list[EditState] = []
        # Whether each image that is shown is rough, and its accuracy in words, by its state.
        self._accuracy: dict[EditState, tuple[bool, str]] = {}
        self.shown = ToggleButton(
            description="Strength strip",
            tooltip="Previews of the image with one concept at several scales",
        )
        self.concept = ConceptChoice()
        self.images = tuple(Image(value=self._blank, format="png") for _ in range(COUNT))
        self.buttons = tuple(Button(layout=Layout(width="auto")) for _ in range(COUNT))
        for number, button in enumerate(self.buttons):
            button.on_click(lambda _, number=number: guard.run(lambda: self._set_scale(number)))
        cells = [VBox(pair) for pair in zip(self.images, self.buttons, strict=True)]
        for cell in cells:
            cell.add_class(CHOICE)
        self.row = Box(
            cells,
            layout=Layout(grid_template_columns=f"repeat({COUNT}, minmax(0, 1fr))", grid_gap="4px"),
        )
        for control in (self.shown, self.concept):
            control.observe(lambda _: guard.run(self._change), "value")
        bar = HBox([self.shown, self.concept], layout=Layout(flex_flow="row wrap"))
        super().__init__([bar, self.row])
        self.refresh()

    def refresh(self) -> None:
        """Show the strip of the session's current state; clear images of other states."""
        with self._guard.updating(), self._lock:
            self.concept.refresh(self._session)
            before, self._states = self._states, self._states_to_show()
            visible = bool(self._states)
            self.shown.disabled = not self._session.concepts
            self.concept.layout.display = "" if visible else "none"
            self.row.layout.display = "grid" if visible else "none"
            for number, state in enumerate(self._states):
                if before[number : number + 1] != [state]:
                    self.images[number].value = self._blank
                    self._accuracy.pop(state, None)
                self._label(number)
                highlight(self.buttons[number], state == self._session.state)
            shown = {*self._states}
            self._accuracy = {one: how for one, how in self._accuracy.items() if one in shown}

    def render_missing(self, try_render: TryRender) -> Iterator[Callable[[], object]]:
        """Render the missing images, on the render thread; yield a function that shows each."""
        for number, state in enumerate(tuple(self._states)):
            if self.images[number].value == self._blank:
                render = try_render("preview", state)
                if render is not None:
                    yield partial(self._show, number, render)

    def _show(self, number: int, render: Render) -> None:
        with self._lock:
            if self._states[number : number + 1] == [render.state]:
                self.images[number].value = encode_thumbnail(render.image, SIZE)
                rough = render.quality == "rough"
                self._accuracy[render.state] = rough, describe_accuracy(render)
                self._label(number)

    def _label(self, number: int) -> None:
        """Name an image's scale on its button, and say if the image is rough."""
        state, button = self._states[number], self.buttons[number]
        concept = state.concept(self.concept.value)
        rough, accuracy = self._accuracy.get(state, (False, ""))
        scale = f"{signed_scale(concept):g}"
        button.description = f"{scale} (rough)" if rough else scale
        how = f" ({accuracy})" if accuracy else ""
        button.tooltip = f"{concept.name}: set the scale to {scale}{how}"

    def _states_to_show(self) -> list[EditState]:
        """Return the states of the strip; none if it is closed or there is no concept."""
        name, state = self.concept.value, self._session.state
        if not self.shown.value or name is None:
            return []
        reach = max(REACH, state.concept(name).scale)
        scales = [round(reach * (2 * number / (COUNT - 1) - 1), 1) for number in range(COUNT)]
        return [edits.update(state, name, enabled=True, **scale_fields(scale)) for scale in scales]

    def _change(self) -> None:
        """Show the strip after it was opened, closed, or another concept was selected."""
        self.refresh()
        if self._states:
            self._rerender()

    def _set_scale(self, number: int) -> None:
        """Set the concept to the scale of an image."""
        if number >= len(self._states):  # The last concept has just been removed.
            return
        target = self._states[number].concept(self.concept.value)
        fields = {"scale": target.scale, "inverted": target.inverted, "enabled": True}
        update = partial(self._session.update, target.name, **fields)
        edit(self._session, update, self.refresh, self._changed)
