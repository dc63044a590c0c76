"""The operations of a script as frozen values: the methods of `EditSession` in JSON.

The JSON of an operation holds its class's ``op`` and its fields; a field with a default may be
left out. Values are checked on construction by the rules of `Concept` and `EditState`, and refused
with InvalidValueError. Values that depend on the session, such as a concept's name, are checked
when the script runs.
"""

# ruff: noqa: RUF009 - `field_like` returns a field, not a default.

from __future__ import annotations

from typing import Any, ClassVar, get_args

import attrs
from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of, optional

from .. import files as strict
from ..state import (
    MASK_PREFIX,
    MODES,
    Anchored,
    Concept,
    EditState,
    Include,
    ModeName,
    check_line,
    fields,
)
from .outputs import check_output

UNSET: Any = strict.Unset.UNSET


def _check_target(what: str, value: object) -> None:
    if isinstance(value, str):
        check_line(what, value)
    else:
        fields.check_integer(what, value, at_least=0)


def _check_mask(what: str, value: object) -> None:
    """Raise InvalidValueError unless a value is a PNG file as text, or one in the run's folder."""
    if not (isinstance(value, str) and value.startswith(MASK_PREFIX)):
        check_output(what, value, suffix=".png")


def _check_given_mask(what: str, value: object) -> None:
    if value is not UNSET:
        _check_mask(what, value)


def _check_mode(what: str, value: object) -> None:
    if not isinstance(value, Anchored):
        fields.check_choice(what, value, MODES)


@frozen(kw_only=True)
class Add:
    """Add a concept; None: its name is the prompt, it starts after a fifth of the model calls."""

    op: ClassVar = "add"
    prompt: str = fields.field_like(Concept, "prompt")
    name: str | None = fields.field_like(Concept, "name", default=None)
    scale: float = fields.field_like(Concept, "scale")
    threshold: float = fields.field_like(Concept, "threshold")
    warmup: int | None = fields.field_like(Concept, "warmup", default=None)
    cooldown: int | None = fields.field_like(Concept, "cooldown")
    weight: float = fields.field_like(Concept, "weight")
    inverted: bool = fields.field_like(Concept, "inverted")
    opposite: str | None = fields.field_like(Concept, "opposite")
    mask: str | None = field(default=None, validator=optional(fields.checked_by(_check_mask)))

    def __attrs_post_init__(self) -> None:
        # The lowest warmup where none is given, since the number of calls is not known here.
        settings = {**attrs.asdict(self), "name": "any", "warmup": self.warmup or 0, "mask": None}
        Concept(**settings)


@frozen(kw_only=True)
class Remove:
    """Remove a concept."""

    op: ClassVar = "remove"
    name: str = fields.field_like(Concept, "name")


@frozen(kw_only=True)
class Reweight:
    """Change a concept's scale, its weight, or both; None keeps the current value."""

    op: ClassVar = "reweight"
    name: str = fields.field_like(Concept, "name")
    scale: float | None = fields.field_like(Concept, "scale", default=None)
    weight: float | None = fields.field_like(Concept, "weight", default=None)


@frozen(kw_only=True)
class Invert:
    """Reverse a concept's direction."""

    op: ClassVar = "invert"
    name: str = fields.field_like(Concept, "name")


@frozen(kw_only=True)
class Enable:
    """Apply a muted concept again."""

    op: ClassVar = "enable"
    name: str = fields.field_like(Concept, "name")


@frozen(kw_only=True)
class Disable:
    """Mute a concept."""

    op: ClassVar = "disable"
    name: str = fields.field_like(Concept, "name")


@frozen(kw_only=True)
class Fields:
    """New values for a concept; a field that is left out keeps its value."""

    name: str | strict.Unset = fields.field_like(Concept, "name", default=UNSET)
    prompt: str | strict.Unset = fields.field_like(Concept, "prompt", default=UNSET)
    opposite: str | strict.Unset | None = fields.field_like(Concept, "opposite", default=UNSET)
    mask: str | strict.Unset | None = field(
        default=UNSET, validator=optional(fields.checked_by(_check_given_mask))
    )
    scale: float | strict.Unset = fields.field_like(Concept, "scale", default=UNSET)
    threshold: float | strict.Unset = fields.field_like(Concept, "threshold", default=UNSET)
    warmup: int | strict.Unset = fields.field_like(Concept, "warmup", default=UNSET)
    cooldown: int | strict.Unset | None = fields.field_like(Concept, "cooldown", default=UNSET)
    weight: float | strict.Unset = fields.field_like(Concept, "weight", default=UNSET)
    inverted: bool | strict.Unset = fields.field_like(Concept, "inverted", default=UNSET)
    enabled: bool | strict.Unset = fields.field_like(Concept, "enabled", default=UNSET)

    def __attrs_post_init__(self) -> None:
        # The lowest warmup, since the concept's own is not known here.
        Concept(**{"name": "any", "prompt": "any", "warmup": 0, **self.given(), "mask": None})

    def given(self) -> dict[str, Any]:
        """Return the new values, as arguments of `EditSession.update`."""
        return attrs.asdict(self, filter=lambda _, value: value is not UNSET)


@frozen(kw_only=True)
class Update:
    """Change any fields of a concept."""

    op: ClassVar = "update"
    name: str = fields.field_like(Concept, "name")
    fields: Fields = field(validator=instance_of(Fields))


@frozen(kw_only=True)
class Momentum:
    """Set momentum's scale, its decay beta, or both; None keeps the current value."""

    op: ClassVar = "momentum"
    scale: float | None = fields.field_like(EditState, "momentum_scale", default=None)
    beta: float | None = fields.field_like(EditState, "momentum_beta", default=None)


@frozen(kw_only=True)
class Protect:
    """Confine all edits to a region, a PNG file; None: to none, the whole image may change."""

    op: ClassVar = "protect"
    mask: str | None = field(default=None, validator=optional(fields.checked_by(_check_mask)))


Edit = Add | Remove | Reweight | Invert | Enable | Disable | Update | Momentum | Protect


@frozen(kw_only=True)
class Transaction:
    """Make several edits as one entry of the history; if one fails, none is made."""

    op: ClassVar = "transaction"
    label: str = field(validator=fields.checked_by(check_line))
    operations: tuple[Edit, ...] = field(
        validator=deep_iterable(instance_of(get_args(Edit)), instance_of(tuple))
    )


@frozen
class Undo:
    """Go back to the state before the last edit."""

    op: ClassVar = "undo"


@frozen
class Redo:
    """Reverse an undo."""

    op: ClassVar = "redo"


@frozen(kw_only=True)
class Checkout:
    """Go to an entry of the history, by its id or by a branch's name."""

    op: ClassVar = "checkout"
    target: int | str = field(converter=fields.as_int, validator=fields.checked_by(_check_target))


@frozen(kw_only=True)
class Branch:
    """Start a branch of the history."""

    op: ClassVar = "branch"
    name: str = field(validator=fields.checked_by(check_line))


@frozen(kw_only=True)
class Render:
    """Render the current state and, unless the output is None, write it to a PNG file."""

    op: ClassVar = "render"
    output: str | None = field(
        default=None, validator=optional(fields.checked_by(check_output, suffix=".png"))
    )
    mode: ModeName | Anchored = field(default="exact", validator=fields.checked_by(_check_mode))
    keep_outside: bool = field(default=False, validator=fields.checked_by(fields.check_flag))


@frozen(kw_only=True)
class Save:
    """Write the session's file."""

    op: ClassVar = "save"
    output: str = field(validator=fields.checked_by(check_output, suffix=".safetensors"))
    include: Include = field(
        default="all", validator=fields.checked_by(fields.check_choice, get_args(Include))
    )


@frozen(kw_only=True)
class Expect:
    """Fail if the last render took more evaluations than this."""

    op: ClassVar = "expect"
    at_most: int = field(
        converter=fields.as_int, validator=fields.checked_by(fields.check_integer, at_least=0)
    )


Operation = Edit | Transaction | Undo | Redo | Checkout | Branch | Render | Save | Expect
