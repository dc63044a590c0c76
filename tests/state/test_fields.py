"""Checks of single values: what they accept, and the text of their errors."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import pytest

from sega_session.errors import InvalidValueError
from sega_session.state import fields


@pytest.mark.parametrize("value", [2, 2.0, np.float16(2), np.int8(2), Fraction(2)])
def test_numbers_become_floats(value: Any) -> None:
    number = fields.check_number("x", value, at_least=2, above=1, at_most=2, below=3)
    assert (number, type(number)) == (2.0, float)


@pytest.mark.parametrize("value", [True, np.True_, "2", None, 2j, float("nan"), 10**400])
def test_other_values_are_no_numbers(value: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^x is .*; allowed: a finite number\.$"):
        fields.check_number("x", value)


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({"at_least": 3}, "at least 3"),
        ({"above": 2}, "above 2"),
        ({"at_most": 1.5}, "at most 1.5"),
        ({"below": 2}, "less than 2"),
        ({"at_least": 0, "below": 1}, "at least 0, less than 1"),
    ],
)
def test_numbers_have_bounds(bounds: dict[str, float], allowed: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        fields.check_number("x", 2, hint="Try 1.", **bounds)
    assert str(caught.value) == f"x is 2; allowed: a finite number, {allowed}. Try 1."


def test_integers() -> None:
    number = fields.check_integer("x", np.uint8(7), at_least=7)
    assert (number, type(number)) == (7, int)
    for value in (True, 7.0, "7", None, 6):
        with pytest.raises(InvalidValueError) as caught:
            fields.check_integer("x", value, at_least=7, hint="Try 8.")
        assert str(caught.value) == f"x is {value!r}; allowed: an integer, at least 7. Try 8."


@pytest.mark.parametrize(
    ("check", "arguments", "good", "bad", "message"),
    [
        (fields.check_flag, {}, False, 0, "x is 0; allowed: True or False."),
        (fields.check_text, {"may_be_empty": True}, "", 3, "x is 3; allowed: text."),
        (
            fields.check_text,
            {"may_be_empty": False},
            "a",
            " ",
            "x is ' '; allowed: text, not empty.",
        ),
        (
            fields.check_text,
            {"may_be_empty": True},
            "é",
            "\ud800",
            r"x is '\ud800'; allowed: text. Half a character is not text.",
        ),
        (
            fields.check_line,
            {},
            "a b",
            "a\nb",
            r"x is 'a\nb'; allowed: text in one line, not empty.",
        ),
        (
            fields.check_choice,
            {"choices": ("a", "b")},
            "b",
            "c",
            "x is 'c'; allowed: one of 'a', 'b'.",
        ),
        (fields.check_choice, {"choices": ("a",)}, "a", ["a"], "x is ['a']; allowed: one of 'a'."),
    ],
)
def test_other_checks(check: Any, arguments: Any, good: Any, bad: Any, message: str) -> None:
    check("x", good, **arguments)
    with pytest.raises(InvalidValueError) as caught:
        check("x", bad, **arguments)
    assert str(caught.value) == message


@attrs.frozen(kw_only=True)
class Size:
    width: int = attrs.field(
        default=4,
        converter=fields.as_int,
        validator=fields.checked_by(fields.check_integer, at_least=2),
    )


@attrs.frozen(kw_only=True)
class MaybeSize:
    width: int = fields.field_like(Size, "width")
    given: int | None = fields.field_like(Size, "width", default=None)


def test_a_field_is_checked_by_its_name() -> None:
    assert type(Size(width=np.int64(3)).width) is int
    with pytest.raises(InvalidValueError, match="width is 1; allowed: an integer, at least 2"):
        Size(width=1)


def test_a_field_is_like_another() -> None:
    assert MaybeSize() == MaybeSize(width=4, given=None)
    assert type(MaybeSize(given=np.int64(3)).given) is int  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="given is 1; allowed: an integer, at least 2"):
        MaybeSize(given=1)
    with pytest.raises(InvalidValueError, match="width is None"):
        MaybeSize(width=None)  # type: ignore[arg-type]
