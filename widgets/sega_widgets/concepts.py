"""The concepts of a session, to add, change and remove."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from ipywidgets import Combobox, Label, Layout, VBox

from sega_session import Concept, EditSession
from sega_session.models.presets import recommended

from .children import close_with_children
from .concept_row import COLOURS, ConceptRow
from .guard import Changed, Guard, edit
from .messages import Messages

PAUSE = 1.0
"""Seconds without an event after which a slider's next one begins another drag."""


class ConceptList(VBox):
    """Adds concepts by text, and shows the controls of each.

    Args:
        session: what is edited.
        changed: called after every edit, with True while a slider moves.
        guard: shared by the parts of a panel; without one, the list shows its own errors.
        clock: seconds, to tell one drag from the next.
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
        self._drag, self._drags, self._moved_at = secrets.token_hex(4), 0, -PAUSE
        found = recommended(session.pipeline)
        self._presets = found.concepts if found else {}
        self.text = Combobox(
            options=tuple(self._presets),
            description="Concept",
            placeholder="glasses, then Enter",
            tooltip="Add a concept: a short phrase, then Enter",
            continuous_update=False,
            layout=Layout(width="auto", max_width="30em"),
        )
        self.text.observe(lambda _: self._guard.act(self._add), "value")
        self._none = Label("No concept yet: the picture is the prompt's.")
        self._list = VBox()
        own = [] if guard else [self._guard.messages]
        super().__init__([self.text, self._list, *own])
        self.refresh()

    @property
    def rows(self) -> tuple[ConceptRow, ...]:
        """The concepts' controls, in the order of the concepts."""
        return tuple(self._rows[concept.name] for concept in self._session.concepts)

    def colour(self, name: str) -> str:
        """The colour that marks a concept, as "#rrggbb"; of one that is gone, any."""
        row = self._rows.get(name)
        return COLOURS[0] if row is None else row.colour

    def refresh(self) -> None:
        """Show the session's concepts as they are now; this edits nothing."""
        with self._guard.setting():
            concepts = self._session.concepts
            gone = self._rows.keys() - {concept.name for concept in concepts}
            old = [self._rows.pop(name) for name in gone]
            for concept in concepts:
                if concept.name in self._rows:
                    self._rows[concept.name].show(concept)
                else:
                    self._rows[concept.name] = self._row(concept)
            rows = [self._rows[concept.name] for concept in concepts]
            self._list.children = rows or [self._none]
            for row in old:
                close_with_children(row)

    def _row(self, concept: Concept) -> ConceptRow:
        """New controls, and what they do."""
        name, session = concept.name, self._session
        colour = next(
            (one for one in COLOURS if one not in {row.colour for row in self._rows.values()}),
            COLOURS[len(self._rows) % len(COLOURS)],
        )
        row = ConceptRow(concept, session.num_calls, colour)
        row.on_move(lambda field: self._guard.act(lambda: self._move(row, name, field)))
        row.enabled.observe(
            lambda _: self._act(lambda: session.update(name, enabled=row.enabled.value)), "value"
        )
        row.invert.on_click(lambda _: self._act(lambda: session.invert(name)))
        row.remove.on_click(lambda _: self._act(lambda: session.remove(name)))
        return row

    def _add(self) -> None:
        """Add the concept in the text field; a refused one stays there to be mended."""
        text = self.text.value.strip()
        if not text:
            return
        calls = self._session.num_calls
        # A warm-up of 10 calls suits 50: of fewer, it takes the same share.
        settings: dict[str, Any] = {"warmup": min(10, calls // 5)}
        if text in self._presets:
            settings = self._presets[text].arguments(calls)
        self._edit(lambda: self._session.add(text, **settings))
        with self._guard.setting():
            self.text.value = ""

    def _move(self, row: ConceptRow, name: str, field: str) -> None:
        """Follow a slider; the events of one drag are one entry of the history."""
        if self._rows.get(name) is not row:  # The last event of one that was just removed.
            return
        fields = row.fields(field)
        if not fields:
            return
        now = self._clock()
        self._drags += now - self._moved_at > PAUSE
        self._moved_at = now

        def move() -> None:
            with self._session.gesture(f"{self._drag}.{self._drags}: {name}.{field}"):
                self._session.update(name, **fields)

        self._edit(move, moving=True)

    def _act(self, act: Callable[[], None]) -> None:
        self._guard.act(lambda: self._edit(act))

    def _edit(self, act: Callable[[], None], *, moving: bool = False) -> None:
        edit(self._session, act, self.refresh, self._changed, moving=moving)
