"""The concepts of a session, to add, change and remove."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from anywidget import AnyWidget
from attrs import frozen
from traitlets import Bool, Dict, List, Unicode

from sega_session import Concept, EditSession, SegaSessionError
from sega_session.models import Preset, recommended

from .component import Handler, handle_messages
from .concept_row import COLOURS, Row, describe_settings, row_values, scale_fields
from .front_end import script, style
from .guard import Changed, Guard, edit
from .messages import Messages

INSTEAD = " instead of "
"""The words between a concept and its opposite."""


@frozen
class Choice:
    """A concept that the checkpoint recommends settings for.

    Attributes:
        group: "Add", "Remove" or "Replace".
        label: what it is called.
        prompt: the concept's prompt.
        preset: its settings.
    """

    group: str
    label: str
    prompt: str
    preset: Preset

    def concept(self, calls: int) -> Concept:
        """Return the concept, for renders of so many model calls."""
        return Concept(name=self.prompt, prompt=self.prompt, **self.preset.arguments(calls))


class ConceptList(AnyWidget):
    """The concepts of a session: what the checkpoint recommends, a text field, and their sliders.

    Args:
        session: the session that is edited.
        changed: called after every edit: with True while a slider moves, with False at the end.
        guard: the guard of the panel; None: the list shows its errors itself.
        edit_mask: called with a concept's name to edit its mask, or with None to edit the region
            that all edits are confined to; None: masks are not offered.

    Attributes:
        presets, concepts, maskable, protected, notice: what the page shows.
    """

    _esm = script("concepts")
    _css = style("slider", "concepts")

    presets = List(Dict()).tag(sync=True)
    concepts = List(Dict()).tag(sync=True)
    maskable = Bool(False).tag(sync=True)
    protected = Unicode("").tag(sync=True)
    notice = Unicode("").tag(sync=True)

    def __init__(
        self,
        session: EditSession,
        changed: Changed,
        guard: Guard | None = None,
        *,
        edit_mask: Callable[[str | None], object] | None = None,
    ) -> None:
        super().__init__(maskable=edit_mask is not None)
        self._session = session
        self._changed = changed
        messages = Messages()
        messages.observe(self._show_notice, "toasts")
        self._guard = guard or Guard(messages)
        self._edit_mask = edit_mask
        self._choices = tuple(_choices(session.pipeline))
        self._rows: dict[str, Row] = {}
        self._colours: dict[str, str] = {}
        self._numbers = count()
        # The number of the last message of each slider, by view, row and field; the last drag that
        # was refused; and whether `changed` was told that a slider moves, but not yet of its end.
        self._heard: dict[tuple[str, int, str], int] = {}
        self._refused = ""
        self._moving = False
        self.refresh()
        handlers: dict[str, Handler] = {
            "add": self._add,
            "apply": self._apply,
            "move": self._move,
            "enable": self._enable,
            "invert": self._invert,
            "reset": self._reset,
            "mask": self._open_mask,
            "protect": self._open_region,
            "remove": self._remove,
        }
        handle_messages(self, self._guard, handlers)

    def colour(self, name: str) -> str:
        """Return a concept's colour as "#rrggbb"; for a removed concept, its last one."""
        return self._colours.get(name, COLOURS[0])

    def refresh(self) -> None:
        """Show the session's current concepts without editing them."""
        concepts, calls = self._session.concepts, self._session.num_calls
        names = {concept.name for concept in concepts}
        self._rows = {name: row for name, row in self._rows.items() if name in names}
        for concept in concepts:
            if concept.name not in self._rows:
                self._rows[concept.name] = self._new_row(concept)
        numbers = {row.number for row in self._rows.values()}
        self._heard = {key: one for key, one in self._heard.items() if key[1] in numbers}
        self.concepts = [row_values(self._rows[one.name], one, calls) for one in concepts]
        applied = self._applied()
        region = self._session.state.region
        self.protected = "" if region is None else f"{1 - region.share:.0%} of the image"
        self.presets = [self._preset_values(one, applied.get(one)) for one in self._choices]

    def _new_row(self, concept: Concept) -> Row:
        """Return the row of a concept that has just appeared."""
        choice, name = _choice_of(concept, self._choices), concept.name
        removes = choice is not None and choice.group == "Remove"
        named = removes or concept.opposite is None or INSTEAD in name
        title = name if named else f"{name}{INSTEAD}{concept.opposite}"
        calls = self._session.num_calls
        home = self._as_added(name) if choice is None else choice.concept(calls)
        self._colours[name] = colour = self._free_colour(name)
        return Row(next(self._numbers), colour, title, home)

    def _free_colour(self, name: str) -> str:
        """Return a colour that no row has, if there is one: the concept's last one or the first."""
        used = [row.colour for row in self._rows.values()]
        least = min(map(used.count, COLOURS))
        free = [one for one in COLOURS if used.count(one) == least]
        last = self._colours.get(name)
        return last if last in free else free[0]

    def _as_added(self, name: str) -> Concept:
        """Return a concept as it was when it was added."""
        found = self._session.state.concept(name)
        history = self._session.history
        for entry in reversed(history.path(history.current)):
            if name not in entry.state:
                break
            found = entry.state.concept(name)
        return found

    def _applied(self) -> dict[Choice, str]:
        """Return the names of the concepts that presets were applied as."""
        found: dict[Choice, str] = {}
        for concept in self._session.concepts:
            choice = _choice_of(concept, self._choices)
            if choice is not None:
                found.setdefault(choice, concept.name)
        return found

    def _preset_values(self, choice: Choice, name: str | None) -> dict[str, Any]:
        """Return what the page shows of a preset, and of the concept that it was applied as."""
        return {
            "group": choice.group,
            "label": choice.label,
            "settings": describe_settings(choice.concept(self._session.num_calls)),
            "colour": None if name is None else self._rows[name].colour,
        }

    def _show_notice(self, change: Mapping[str, Any]) -> None:
        """Show the last message of a list that has no panel around it."""
        toasts: list[dict[str, str]] = change["new"]
        self.notice = toasts[-1]["detail"] or toasts[-1]["text"] if toasts else ""

    # What the page asks for. Its messages may arrive late, so they say which row they mean.

    def _add(self, text: str) -> None:
        """Add what was typed; tell the page whether that was done."""
        accepted = False
        try:
            words = " ".join(text.split())
            if words:
                choice = next((one for one in self._choices if one.label == words), None)
                self._run(
                    lambda: self._add_words(words) if choice is None else self._choose(choice)
                )
                accepted = True
        finally:
            self.send({"kind": "added", "text": text, "accepted": accepted})

    def _add_words(self, words: str) -> None:
        if words in [row.title for row in self._rows.values()]:
            raise _taken(words)
        prompt, instead, opposite = words.partition(INSTEAD)
        name = self._free_name(prompt, words)
        self._session.add(prompt, name=name, opposite=opposite if instead else None)

    def _choose(self, choice: Choice) -> None:
        if choice in self._applied():
            raise _taken(choice.label)
        name = self._free_name(choice.prompt, choice.label)
        arguments = choice.preset.arguments(self._session.num_calls)
        self._session.add(choice.prompt, name=name, **arguments)

    def _free_name(self, *names: str) -> str:
        """Return the first of these names that no concept has. Raises SegaSessionError."""
        for name in names:
            if name not in self._session:
                return name
        raise _taken(names[-1])

    def _apply(self, preset: int, apply: bool) -> None:
        """Add the concept of a preset, or remove it; nothing if that is done already."""
        choice = self._choices[preset]
        name = self._applied().get(choice)
        if apply and name is None:
            self._run(lambda: self._choose(choice))
        elif name is not None and not apply:
            self._run(lambda: self._session.remove(name))

    def _move(
        self, view: str, row: int, field: str, value: float, drag: str, number: int, end: bool
    ) -> None:
        """Apply a slider's value; all messages of one drag become one entry of the history.

        Args:
            view: the page's view, since one widget can be shown several times.
            row: the number of the row.
            field: "scale", "threshold" or "warmup".
            value: the value.
            drag: names the drag.
            number: grows with every message of the view.
            end: whether the slider was released.
        """
        name, slider = self._find(row), (view, row, field)
        if name is None or drag == self._refused or number <= self._heard.get(slider, -1):
            return
        self._heard[slider] = number
        fields = scale_fields(round(value, 3)) if field == "scale" else {field: value}

        def update() -> None:
            with self._session.gesture(drag):
                self._set(name, fields)

        before, refused = self._session.history, True
        try:
            self._run(update, moving=not end)
            refused = False
        finally:
            ended, moved = end or refused, self._session.history is not before
            if ended and self._moving and not moved:
                self._changed(False)
            self._moving = not ended and (self._moving or moved)
            if refused:
                self._refused = drag
            if ended:
                answer = {"kind": "settled", "view": view, "row": row, "field": field}
                self.send({**answer, "number": number, "refused": refused})

    def _set(self, name: str, fields: dict[str, Any]) -> None:
        """Change fields of a concept. Raises SegaSessionError, in the panel's words."""
        concept = self._session[name]
        if concept.cooldown is not None and fields.get("warmup", 0) > concept.cooldown:
            raise SegaSessionError(
                f"“{name}” ends at model call {concept.cooldown}, so its warm-up can be 0 to "
                f"{concept.cooldown}."
            )
        self._session.update(name, **fields)

    def _enable(self, row: int, enabled: bool) -> None:
        self._update(row, enabled=enabled)

    def _invert(self, row: int, inverted: bool) -> None:
        self._update(row, inverted=inverted)

    def _reset(self, row: int) -> None:
        """Restore a concept's scale, threshold and warm-up in one edit."""
        name = self._find(row)
        if name is not None:
            home = self._rows[name].home
            fields = ("scale", "inverted", "threshold", "warmup")
            self._update(row, **{one: getattr(home, one) for one in fields})

    def _update(self, row: int, **fields: Any) -> None:
        name = self._find(row)
        if name is not None:
            self._run(lambda: self._set(name, fields))

    def _open_mask(self, row: int) -> None:
        name = self._find(row)
        if name is not None and self._edit_mask is not None:
            self._edit_mask(name)

    def _open_region(self) -> None:
        if self._edit_mask is not None:
            self._edit_mask(None)

    def _remove(self, row: int) -> None:
        name = self._find(row)
        if name is not None:
            self._run(lambda: self._session.remove(name))
            self._guard.offer(f"“{name}” removed", "Undo", lambda: self._run(self._session.undo))

    def _find(self, number: int) -> str | None:
        """Return the name of the concept in a row; None if it was removed."""
        return next((name for name, row in self._rows.items() if row.number == number), None)

    def _run(self, act: Callable[[], None], *, moving: bool = False) -> None:
        edit(self._session, act, self.refresh, self._changed, moving=moving)


def _taken(words: str) -> SegaSessionError:
    return SegaSessionError(
        f"“{words}” is already in the list. Choose another name, or move its slider."
    )


def _choices(pipeline: Any) -> Iterator[Choice]:
    """Yield what a pipeline's checkpoint recommends."""
    found = recommended(pipeline)
    if found is None:
        return
    for prompt, one in found.concepts.items():
        yield Choice("Add", prompt, prompt, one)
    for prompt, one in found.removals.items():
        yield Choice("Remove", f"no {prompt}" if one.opposite is None else prompt, prompt, one)
    for prompt, one in found.opposites.items():
        yield Choice("Replace", f"{prompt}{INSTEAD}{one.opposite}", prompt, one)


def _choice_of(concept: Concept, choices: tuple[Choice, ...]) -> Choice | None:
    """Return the preset that a concept comes from; None if there is none for its words."""
    words = (concept.prompt, concept.opposite)
    found = [one for one in choices if (one.prompt, one.preset.opposite) == words]
    if concept.embedding is not None or not found:
        return None
    # A concept and its removal may have the same words: then the direction tells.
    return next((one for one in found if one.preset.inverted == concept.inverted), found[0])
