"""Converters and checks of single values, shared by every class and function that takes one.

A check raises InvalidValueError unless a value is allowed. In an attrs class, `checked_by` turns a
check into a validator; a converter before it accepts numpy's numbers and flags:

    scale: float = field(converter=as_float, validator=checked_by(check_number, at_least=0))

For the arguments of a function, call the check itself. `check_number` and `check_integer` return
the value as a plain ``float`` or ``int``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias

import attrs
import numpy as np
from attrs import field

from ..errors import InvalidValueError, suggest

P = ParamSpec("P")
Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def as_float(value: Any) -> Any:
    """Convert a real number to ``float``; return any other value, bool included, unchanged."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def as_int(value: Any) -> Any:
    """Convert an integer to ``int``; return any other value, bool included, unchanged."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def as_bool(value: Any) -> Any:
    """Convert numpy's bool to ``bool``; return any other value unchanged."""
    return bool(value) if isinstance(value, np.bool_) else value


def check_number(
    what: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    hint: str = "",
) -> float:
    """Return a finite number within the bounds as a float.

    Args:
        what: the name of the value in the error message.
        value: an int, a float or numpy's; bool and strings are refused.
        at_least, above, at_most, below: the bounds.
        hint: what to do next, for the error message.

    Raises:
        InvalidValueError: the value is no finite number, or outside the bounds.
    """
    number = as_float(value)
    if not (
        isinstance(number, float)
        and math.isfinite(number)
        and at_least <= number <= at_most
        and above < number < below
    ):
        allowed = "a finite number"
        allowed += f", at least {at_least:g}" if at_least > -math.inf else ""
        allowed += f", above {above:g}" if above > -math.inf else ""
        allowed += f", at most {at_most:g}" if at_most < math.inf else ""
        allowed += f", less than {below:g}" if below < math.inf else ""
        raise InvalidValueError(what, value, allowed, hint)
    return number


def check_integer(
    what: str, value: Any, *, at_least: int, at_most: int | None = None, hint: str = ""
) -> int:
    """Return an integer within the bounds as an int.

    Args:
        what: the name of the value in the error message.
        value: an int or numpy's; bool, 1.0 and strings are refused.
        at_least, at_most: the bounds; None: no upper bound.
        hint: what to do next, for the error message.

    Raises:
        InvalidValueError: the value is no integer, or outside the bounds.
    """
    number = as_int(value)
    if (
        not isinstance(number, int)
        or isinstance(number, bool)
        or number < at_least
        or (at_most is not None and number > at_most)
    ):
        allowed = f"an integer, at least {at_least}"
        allowed += "" if at_most is None else f", at most {at_most}"
        raise InvalidValueError(what, value, allowed, hint)
    return number


def check_flag(what: str, value: object) -> None:
    """Raise InvalidValueError unless a value is True or False."""
    if not isinstance(value, bool):
        raise InvalidValueError(what, value, "True or False")


def check_text(what: str, value: object, *, may_be_empty: bool) -> None:
    """Raise InvalidValueError unless a value is text; white space alone counts as empty."""
    allowed = "text" if may_be_empty else "text, not empty"
    if not isinstance(value, str) or not (may_be_empty or value.strip()):
        raise InvalidValueError(what, value, allowed)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidValueError(what, value, allowed, "Half a character is not text.")


def is_line(value: object) -> bool:
    """Return whether a value is one line of text, as labels and names of branches are."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def check_line(what: str, value: object) -> None:
    """Raise InvalidValueError unless a value is one line of text; see `is_line`."""
    if not is_line(value):
        raise InvalidValueError(what, value, "text in one line, not empty")


def check_path(what: str, value: object) -> Path:
    """Return a path as a `Path`. Raises InvalidValueError if the value is no path."""
    if not isinstance(value, str | os.PathLike):
        raise InvalidValueError(what, value, "a path, as text or pathlib.Path")
    return Path(value)


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise InvalidValueError unless a value is one of the choices."""
    choices = tuple(choices)
    if value not in choices:
        allowed = f"one of {', '.join(map(repr, choices))}"
        raise InvalidValueError(what, value, allowed, suggest(value, choices))


def checked_by(
    check: Callable[Concatenate[str, Any, P], object], *args: P.args, **kwargs: P.kwargs
) -> Validator:
    """Return an attrs validator that calls a check with the field's name and value.

    Args:
        check: one of the checks above.
        args, kwargs: its further arguments.
    """

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        check(attribute.name, value, *args, **kwargs)

    return validate


def field_like(owner: type, name: str, **other: Any) -> Any:
    """Return a field with the converter and the validator of another class's field.

    Args:
        owner: the other class.
        name: the name of its field.
        other: ``default=``, if the default differs; it is valid, whatever it is.
    """
    model = attrs.fields_dict(owner)[name]
    default = other.get("default", model.default)

    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not default and model.validator is not None:
            model.validator(instance, attribute, value)

    return field(default=default, converter=model.converter, validator=validate)
