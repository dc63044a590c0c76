"""The operations of a script, as frozen values: what `EditSession` does, said in JSON.

An operation's JSON has its class's ``op`` and its fields; what has a default may be left out.
Values are checked on construction, by the rules of `Concept` and `EditState`, and refused with
InvalidValueError. What depends on the session, a concept's name for example, shows in the run.
"""

# ruff: noqa: RUF009 - what `like` returns is a field, not a default.

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal, get_args

import attrs
from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of, optional

from ..errors import InvalidValueError
from ..files import Unset
from ..state.edits import Concept, EditState
from ..state.history import check_line
from ..state.modes import MODES, Anchored

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]

UNSET: Any = Unset.UNSET

ModeName = Literal["exact", "anchored", "replay", "preview"]
Include = Literal["state", "base", "all"]
"""How much of what is recorded a session's file holds: nothing, the unedited and the current
picture's render, or every render of the history."""

_PART = r"[^/\\:\x00-\x1f\x7f-\x9f\ud800-\udfff]+(?<![. ])"

OUTPUT = re.compile(rf"{_PART}(/{_PART})*")
"""Paths that lead down from a folder, on every system."""


def like(owner: type, name: str, **other: Any) -> Any:
    """A field as another class has it; ``default=`` is another default, valid whatever it is."""
    model = attrs.fields_dict(owner)[name]
    default = other.get("default", model.default)

    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not default and model.validator is not None:
            model.validator(instance, attribute, value)

    return field(default=default, converter=model.converter, validator=validate)


def _line(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    check_line(attribute.name, value)


def _count(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if type(value) is not int or value < 0:
        raise InvalidValueError(attribute.name, value, "an integer, at least 0")


def _target(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    (_line if isinstance(value, str) else _count)(_, attribute, value)


def _output(suffix: str) -> Validator:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        is_path = isinstance(value, str) and OUTPUT.fullmatch(value)
        if not is_path or PurePosixPath(value).suffix != suffix:
            allowed = f"a relative path with / between its parts, ending in {suffix}"
            hint = (
                "No part may be empty, end in '.' or ' ', or hold ':', '\\' or control characters."
            )
            raise InvalidValueError(attribute.name, value, allowed, hint)

    return validate


def _choice(*allowed: str) -> Validator:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            names = ", ".join(map(repr, allowed))
            raise InvalidValueError(attribute.name, value, f"one of {names}")

    return validate


def _mode(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Anchored):
        _choice(*MODES)(_, attribute, value)


@frozen(kw_only=True)
class Add:
    """Adds a concept; a name of None is its prompt."""

    op: ClassVar = "add"
    prompt: str = like(Concept, "prompt")
    name: str | None = like(Concept, "name", default=None)
    scale: float = like(Concept, "scale")
    threshold: float = like(Concept, "threshold")
    warmup: int = like(Concept, "warmup")
    cooldown: int | None = like(Concept, "cooldown")
    weight: float = like(Concept, "weight")
    inverted: bool = like(Concept, "inverted")

    def __attrs_post_init__(self) -> None:
        Concept(**{**attrs.asdict(self), "name": "any"})


@frozen(kw_only=True)
class Remove:
    """Takes a concept out."""

    op: ClassVar = "remove"
    name: str = like(Concept, "name")


@frozen(kw_only=True)
class Reweight:
    """Changes a concept's scale, its weight, or both; None keeps what is set."""

    op: ClassVar = "reweight"
    name: str = like(Concept, "name")
    scale: float | None = like(Concept, "scale", default=None)
    weight: float | None = like(Concept, "weight", default=None)


@frozen(kw_only=True)
class Invert:
    """Turns a concept's direction around."""

    op: ClassVar = "invert"
    name: str = like(Concept, "name")


@frozen(kw_only=True)
class Enable:
    """Lets a muted concept act again."""

    op: ClassVar = "enable"
    name: str = like(Concept, "name")


@frozen(kw_only=True)
class Disable:
    """Mutes a concept."""

    op: ClassVar = "disable"
    name: str = like(Concept, "name")


@frozen(kw_only=True)
class Fields:
    """New values for a concept; what is not given stays as it is."""

    name: str | Unset = like(Concept, "name", default=UNSET)
    prompt: str | Unset = like(Concept, "prompt", default=UNSET)
    scale: float | Unset = like(Concept, "scale", default=UNSET)
    threshold: float | Unset = like(Concept, "threshold", default=UNSET)
    warmup: int | Unset = like(Concept, "warmup", default=UNSET)
    cooldown: int | Unset | None = like(Concept, "cooldown", default=UNSET)
    weight: float | Unset = like(Concept, "weight", default=UNSET)
    inverted: bool | Unset = like(Concept, "inverted", default=UNSET)
    enabled: bool | Unset = like(Concept, "enabled", default=UNSET)

    def __attrs_post_init__(self) -> None:
        # The lowest warmup, since the concept's own is not known here.
        Concept(**{"name": "any", "prompt": "any", "warmup": 0, **self.given()})

    def given(self) -> dict[str, Any]:
        """The new values, as `EditSession.update` takes them."""
        return attrs.asdict(self, filter=lambda _, value: value is not UNSET)


@frozen(kw_only=True)
class Update:
    """Changes any of a concept's fields."""

    op: ClassVar = "update"
    name: str = like(Concept, "name")
    fields: Fields = field(validator=instance_of(Fields))


@frozen(kw_only=True)
class Momentum:
    """Sets momentum's scale, its decay beta, or both; None keeps what is set."""

    op: ClassVar = "momentum"
    scale: float | None = like(EditState, "momentum_scale", default=None)
    beta: float | None = like(EditState, "momentum_beta", default=None)


Edit = Add | Remove | Reweight | Invert | Enable | Disable | Update | Momentum


@frozen(kw_only=True)
class Transaction:
    """Makes several edits one entry of the history; if one fails, all are taken back."""

    op: ClassVar = "transaction"
    label: str = field(validator=_line)
    operations: tuple[Edit, ...] = field(
        validator=deep_iterable(instance_of(get_args(Edit)), instance_of(tuple))
    )


@frozen
class Undo:
    """Goes back to the state before the last edit."""

    op: ClassVar = "undo"


@frozen
class Redo:
    """Takes back an undo."""

    op: ClassVar = "redo"


@frozen(kw_only=True)
class Checkout:
    """Goes to an entry of the history, by its id or by a branch's name."""

    op: ClassVar = "checkout"
    target: int | str = field(validator=_target)


@frozen(kw_only=True)
class Branch:
    """Begins a branch of the history."""

    op: ClassVar = "branch"
    name: str = field(validator=_line)


@frozen(kw_only=True)
class Render:
    """Draws the current state and writes it to a PNG file, or to none."""

    op: ClassVar = "render"
    output: str | None = field(default=None, validator=optional(_output(".png")))
    mode: ModeName | Anchored = field(default="exact", validator=_mode)


@frozen(kw_only=True)
class Save:
    """Writes the session's file."""

    op: ClassVar = "save"
    output: str = field(validator=_output(".safetensors"))
    include: Include = field(default="all", validator=_choice(*get_args(Include)))


@frozen(kw_only=True)
class Expect:
    """Fails where the render before took more evaluations than this."""

    op: ClassVar = "expect"
    at_most: int = field(validator=_count)


Operation = Edit | Transaction | Undo | Redo | Checkout | Branch | Render | Save | Expect
