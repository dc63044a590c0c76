"""The concepts of a session, to add, change and remove."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from ipywidgets import Combobox, Label, Layout, VBox

from sega_session import Concept, EditSession
from sega_session.models import Preset, recommended

from .children import close_all
from .concept_row import COLOURS, ConceptRow
from .guard import Changed, Guard, edit
from .messages import Messages

PAUSE = 1.0
"""Seconds without a slider event that separate one drag from the next."""


class ConceptList(VBox):
    """A text field that adds concepts, and the controls of each concept.

    Args:
        session: the session that is edited.
        changed: called after every edit, with True while a slider moves.
        guard: the guard of the panel; None: the list shows its errors itself.
        clock: returns seconds, to tell one drag from the next.

    Attributes:
        text: the text field.
    """

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._changed = changed
        self._guard = guard or Guard(Messages())
        self._clock = clock
        self._rows: dict[str, ConceptRow] = {}
        self._drag_prefix, self._drags, self._moved_at = secrets.token_hex(4), 0, -PAUSE
        self._presets = _presets(session.pipeline)
        self.text = Combobox(
            options=tuple(self._presets),
            description="Concept",
            placeholder="glasses, then Enter",
            tooltip="Add a concept: a short phrase, then Enter. The list has measured settings; "
            "“remove ...” takes away what the image shows, “... instead of ...” replaces it",
            continuous_update=False,
            layout=Layout(width="auto", max_width="30em"),
        )
        self.text.observe(lambda _: self._guard.run(self._add), "value")
        self._placeholder = Label("No concepts yet: the image shows the prompt alone.")
        self._list = VBox()
        own = [] if guard else [self._guard.messages]
        super().__init__([self.text, self._list, *own])
        self.refresh()

    @property
    def rows(self) -> tuple[ConceptRow, ...]:
        """The controls of all concepts, in the concepts' order."""
        return tuple(self._rows[concept.name] for concept in self._session.concepts)

    def row(self, name: str) -> ConceptRow:
        """Return the controls of a concept. Raises KeyError if there is no such concept."""
        return self._rows[name]

    def colour(self, name: str) -> str:
        """Return a concept's colour as "#rrggbb"; for a removed concept, the first colour."""
        row = self._rows.get(name)
        return COLOURS[0] if row is None else row.colour

    def refresh(self) -> None:
        """Show the session's current concepts without editing them."""
        with self._guard.updating():
            concepts = self._session.concepts
            gone = self._rows.keys() - {concept.name for concept in concepts}
            old = [self._rows.pop(name) for name in gone]
            for concept in concepts:
                if concept.name in self._rows:
                    self._rows[concept.name].show(concept)
                else:
                    self._rows[concept.name] = self._new_row(concept)
            rows = [self._rows[concept.name] for concept in concepts]
            self._list.children = rows or [self._placeholder]
            for row in old:
                close_all(row)

    def _new_row(self, concept: Concept) -> ConceptRow:
        name, session = concept.name, self._session
        used = {row.colour for row in self._rows.values()}
        colour = next(
            (one for one in COLOURS if one not in used), COLOURS[len(self._rows) % len(COLOURS)]
        )
        row = ConceptRow(concept, session.num_calls, colour)
        row.on_move(lambda field: self._guard.run(lambda: self._move(row, field)))
        row.enabled.observe(
            lambda _: self._run(lambda: session.update(name, enabled=row.enabled.value)), "value"
        )
        row.invert.on_click(lambda _: self._run(lambda: session.invert(name)))
        row.remove.on_click(lambda _: self._run(lambda: session.remove(name)))
        return row

    def _add(self) -> None:
        """Add the concept in the text field; a refused one stays there to be corrected."""
        text = self.text.value.strip()
        if not text:
            return
        prompt, settings = text, {}
        if text in self._presets:
            prompt, preset = self._presets[text]
            settings = preset.arguments(self._session.num_calls)
        self._edit(lambda: self._session.add(prompt, **settings))
        with self._guard.updating():
            self.text.value = ""

    def _move(self, row: ConceptRow, field: str) -> None:
        """Apply a slider's value; all events of one drag become one entry of the history."""
        if self._rows.get(row.name) is not row:  # A late event of a row that was removed.
            return
        changes = row.changes(field)
        if not changes:
            return
        now = self._clock()
        self._drags += now - self._moved_at > PAUSE
        self._moved_at = now

        def update() -> None:
            with self._session.gesture(f"{self._drag_prefix}.{self._drags}: {row.name}.{field}"):
                self._session.update(row.name, **changes)

        self._edit(update, moving=True)

    def _run(self, act: Callable[[], None]) -> None:
        self._guard.run(lambda: self._edit(act))

    def _edit(self, act: Callable[[], None], *, moving: bool = False) -> None:
        edit(self._session, act, self.refresh, self._changed, moving=moving)


def _presets(pipeline: Any) -> Mapping[str, tuple[str, Preset]]:
    """Return the prompt and the settings that each text of the list stands for."""
    found = recommended(pipeline)
    if found is None:
        return {}
    by_text = {prompt: (prompt, one) for prompt, one in found.concepts.items()}
    for prompt, one in found.removals.items():
        by_text[f"remove {one.opposite or prompt}"] = prompt, one
    for prompt, one in found.opposites.items():
        by_text[f"{prompt} instead of {one.opposite}"] = prompt, one
    return by_text
