"""The options that several commands share: the scene, the edits, and values in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

from attrs import frozen
from cyclopts import Parameter
from cyclopts.validators import Path as PathValidator

from ..errors import suggest
from ..files import strict_json
from ..state import MODES, Concept, EditState, ModeName, Scene

INSTEAD = " instead of "
"""What precedes the words that a concept is measured against, as in the panel."""

MAX_VALUES = 1_000
"""The most values in a range."""

PngFile = Annotated[Path, Parameter(validator=PathValidator(ext="png"))]
SessionFile = Annotated[Path, Parameter(validator=PathValidator(ext="safetensors"))]

ModeOption = Annotated[
    ModeName,
    Parameter(
        help="The mode of the render. The others than exact start from the last exact image of the "
        "file; where there is none, the image is exact."
    ),
]


@frozen
class Addition:
    """A concept to add.

    Attributes:
        text: the text of the option.
        name: its name, and its words.
        opposite: the words that it is measured against; None: those that are recommended, if any.
        scale: its scale, below 0 to steer away from it; None: the recommended one.
    """

    text: str
    name: str
    opposite: str | None
    scale: float | None


@frozen
class Setting:
    """A value of a field.

    Attributes:
        text: the text of the option.
        concept: the concept's name; None: a field of the whole state or scene.
        field: the field's name.
        value: the value.
    """

    text: str
    concept: str | None
    field: str
    value: Any


@frozen
class Axis:
    """The values that a field has along one side of a grid.

    Attributes:
        field: the field, "glasses.scale" for example.
        values: at least one.
    """

    field: str
    values: tuple[Any, ...]


def _kinds(values: type, left_out: set[str]) -> dict[str, Any]:
    """Return the kinds of the fields of a class of values, by name."""
    kinds = strict_json.kinds_of(values)
    return {name: kind for name, kind in kinds.items() if name not in left_out}


CONCEPT_FIELDS = {**_kinds(Concept, {"embedding"}), "mask": Path | None}
"""The fields of a concept, and their kinds. A mask is the path of an image."""

STATE_FIELDS = _kinds(EditState, {"concepts", "region"})
"""The fields of a state that have values in words."""

SCENE_FIELDS = {
    "mode": ModeName,
    "seed": int,
    **_kinds(Scene, {"seeds", "photograph", "prompt_embedding", "negative_embedding"}),
}
"""The mode, and the fields of a scene, that a grid can vary."""

ALIASES = {"steps": "num_inference_steps"}
"""Other names of fields, which are those of the options."""

_FIELD = re.compile(r"(?:(?P<concept>.+?)\.)?(?P<field>[\w-]+)=(?P<text>.*)", re.DOTALL)


def parse_addition(text: str) -> Addition:
    """Return the concept in ``NAME[:SCALE]``. Raises ValueError."""
    words, colon, scale = text.rpartition(":")
    if not colon:
        words, scale = text, ""
    name, instead, opposite = words.partition(INSTEAD)
    if not name.strip() or (instead and not opposite.strip()):
        raise ValueError(f"the concept's name is empty in {text!r}; allowed: NAME or NAME:SCALE.")
    try:
        number = float(scale) if colon else None
    except ValueError:
        raise ValueError(
            f"the scale is {scale!r}; allowed: a number. A name with a colon in it needs a scale "
            "after it."
        ) from None
    return Addition(text, name.strip(), opposite.strip() or None, number)


def parse_setting(text: str) -> Setting:
    """Return the value in ``NAME.FIELD=VALUE`` or ``FIELD=VALUE``. Raises ValueError."""
    concept, field, kind, value = _parse_field(text, STATE_FIELDS)
    return Setting(text, concept, field, _parse_value(field, kind, value))


def parse_axis(text: str) -> Axis:
    """Return the values in ``FIELD=VALUE,VALUE,...``. Raises ValueError.

    Integers can be a range, ``0..7``; texts are separated by ``|``.
    """
    concept, field, kind, values = _parse_field(text, STATE_FIELDS | SCENE_FIELDS)
    kinds = (kind, *get_args(kind))
    found: list[Any] = []
    for one in values.split("|" if str in kinds else ","):
        first, dots, last = one.partition("..")
        if dots and int in kinds:
            ends = [_parse_value(field, int, end) for end in (first, last)]
            if not 0 <= ends[1] - ends[0] < MAX_VALUES:
                raise ValueError(
                    f"the range is {one!r}; allowed: from a number to a higher one, at most "
                    f"{MAX_VALUES} numbers."
                )
            found += range(ends[0], ends[1] + 1)
        else:
            found.append(_parse_value(field, kind, one))
    return Axis(field if concept is None else f"{concept}.{field}", tuple(found))


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of ``SIDE`` or ``WIDTHxHEIGHT``. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text)
    if found is None:
        raise ValueError(f"the size is {text!r}; allowed: SIDE or WIDTHxHEIGHT, in pixels.")
    width, height = found[1], found[2] or found[1]
    return int(height), int(width)


def _parse_field(text: str, others: dict[str, Any]) -> tuple[str | None, str, Any, str]:
    """Return concept, field, the field's kind, and the text after ``=``.

    Args:
        text: the text of an option.
        others: the fields that are not of a concept.

    Raises:
        ValueError: it is in another form, or there is no such field.
    """
    found = _FIELD.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no setting; allowed: NAME.FIELD=VALUE, or FIELD=VALUE for "
            f"{', '.join(others)}."
        )
    field = found["field"].replace("-", "_")
    field = ALIASES.get(field, field)
    known = others if found["concept"] is None else CONCEPT_FIELDS
    if field not in known:
        hint = suggest(field, known)
        if found["concept"] is None and field in CONCEPT_FIELDS:
            hint = f"Give the concept, too, as in glasses.{field}."
        raise ValueError(f"the field is {field!r}; allowed: one of {', '.join(known)}. {hint}")
    return found["concept"], field, known[field], found["text"]


def _parse_flag(text: str) -> bool:
    return {"true": True, "false": False, "yes": True, "no": False}[text.lower()]


def _parse_mode(text: str) -> str:
    if text not in MODES:
        raise ValueError
    return text


_PARSERS: dict[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "an integer"),
    float: (float, "a number"),
    bool: (_parse_flag, "true or false"),
    str: (str, "text"),
    Path: (Path, "a path"),
    ModeName: (_parse_mode, f"one of {', '.join(MODES)}"),
}
"""How the value of each kind of field is read, and which are allowed."""


def _parse_value(field: str, kind: Any, text: str) -> Any:
    """Return the value of a field. Raises ValueError."""
    kinds = (kind,) if kind in _PARSERS else get_args(kind)
    optional = NoneType in kinds
    if optional and text == "none":
        return None
    parse, allowed = next(_PARSERS[one] for one in kinds if one is not NoneType)
    try:
        return parse(text.strip())
    except (ValueError, LookupError):
        allowed += ", or none" if optional else ""
        raise ValueError(f"{field} is {text!r}; allowed: {allowed}.") from None


def parsed(parse: Callable[[str], Any], metavar: str, text: str) -> Parameter:
    """Return an option whose text a function reads; the help shows ``metavar`` for the text."""
    return Parameter(
        converter=lambda _, tokens: parse(tokens[0].value),
        n_tokens=1,
        accepts_keys=False,
        negative="",
        metavar=metavar,
        help=text,
    )


def repeated(parse: Callable[[str], Any], metavar: str, text: str) -> Parameter:
    """Return an option as `parsed` does that can be repeated, for a list."""
    return Parameter(
        converter=lambda _, tokens: [parse(token.value) for token in tokens],
        n_tokens=1,
        accepts_keys=False,
        negative="",
        metavar=metavar,
        help=text,
    )
