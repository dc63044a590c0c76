"""Immutable sequences beside tuples."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sega_session.state.vector import BLOCK, Vector, as_vector
from tests.files.fuzzing import peak_megabytes


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_a_vector_is_like_a_tuple(length: int) -> None:
    plain: tuple[Any, ...] = ()
    vector: Vector[Any] = as_vector(())
    for number in range(length):
        plain, vector = (*plain, number), vector.appended(number)
    assert tuple(vector) == plain
    assert len(vector) == length
    assert vector == as_vector(plain)
    assert hash(vector) == hash(as_vector(plain))
    assert vector != plain
    assert vector[3:-2:2] == plain[3:-2:2]
    for place in (-length - 1, length):
        with pytest.raises(IndexError):
            vector[place]
    if length:
        assert (vector[0], vector[-1], vector[length // 2]) == (0, length - 1, length // 2)
        assert vector.index(length - 1) == length - 1
        changed = vector.replaced({0: "a", length - 1: "z"})
        assert list(changed) == ["z" if length == 1 else "a", *plain[1:-1], "z"][-length:]
        assert tuple(vector) == plain
    assert as_vector(vector) is vector
    assert repr(as_vector((1,))) == "Vector((1,))"


def test_differing_places_are_found() -> None:
    dice = random.Random(1)
    for _ in range(50):
        items = [object() for _ in range(dice.choice([0, 1, BLOCK, 700]))]
        one = as_vector(items)
        other = one
        places = {dice.randrange(len(items)) for _ in range(3)} if items else set()
        other = other.replaced({place: object() for place in places})
        for _ in range(dice.choice([0, 1, BLOCK])):
            other = other.appended(object())
        expected = sorted(places) + list(range(len(one), len(other)))
        assert list(one.differing(other)) == list(other.differing(one)) == expected
        # The same items in other blocks.
        assert list(as_vector(list(other)).differing(other)) == []


def test_an_edit_copies_little() -> None:
    long = as_vector(range(100_000))
    other = long.appended(1).replaced({50_000: 2})
    peak = peak_megabytes(lambda: long.appended(1).replaced({50_000: 2}))
    assert list(long.differing(other)) == [50_000, 100_000]
    assert peak < 0.02
