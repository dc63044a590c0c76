"""Differences between states, in words."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from sega_session.state import Concept, EditState, diff, renamed

BEARD, GLASSES = Concept(name="beard", prompt="beard"), Concept(name="glasses", prompt="glasses")


def state(*concepts: Concept, **momentum: Any) -> EditState:
    return EditState(concepts=concepts, **momentum)


def change(concept: Concept, **fields: Any) -> Concept:
    return attrs.evolve(concept, **fields)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            state(BEARD, GLASSES),
            state(change(BEARD, scale=8), change(GLASSES, inverted=True)),
            "beard: scale 5 -> 8; glasses inverted",
        ),
        (state(BEARD), state(GLASSES), "beard removed; glasses added"),
        (state(BEARD), state(change(BEARD, name="whiskers")), "beard renamed to whiskers"),
        (state(BEARD, GLASSES), state(GLASSES, BEARD), "order changed"),
        (state(change(BEARD, inverted=True)), state(BEARD), "beard no longer inverted"),
        (state(BEARD), state(change(BEARD, enabled=False)), "beard disabled"),
        (state(change(BEARD, enabled=False)), state(BEARD), "beard enabled"),
        (
            state(BEARD),
            state(change(BEARD, prompt="a beard", cooldown=20), momentum_scale=0.3),
            "beard: prompt beard -> a beard; beard: cooldown None -> 20; momentum scale 0.1 -> 0.3",
        ),
        (state(BEARD), state(BEARD), "no change"),
    ],
)
def test_differences_in_words(before: EditState, after: EditState, words: str) -> None:
    assert diff(before, after) == words


def test_only_a_name_that_is_free_counts_as_renamed() -> None:
    specs = change(GLASSES, name="specs")
    assert renamed(state(BEARD, GLASSES), state(BEARD, specs)) == {"glasses": "specs"}
    assert renamed(state(GLASSES), state(change(specs, scale=3))) == {}
    assert renamed(state(GLASSES), state(GLASSES, specs)) == {}


def test_a_name_counts_as_renamed_once() -> None:
    cap, hat, crown = (change(GLASSES, name=name) for name in ("cap", "hat", "crown"))
    # One of two equal concepts was removed: the other keeps its name.
    assert renamed(state(cap, hat), state(hat)) == {}
    # Both were, and one was added: it is the first's new name, and nobody else's.
    assert renamed(state(cap, hat), state(crown)) == {"cap": "crown"}


def test_the_words_are_one_printable_line() -> None:
    name = "a\x1b[2J\n\u202eb"
    one = EditState(concepts=(Concept(name=name, prompt=name),))
    other = EditState(concepts=(Concept(name=name, prompt="x\ny"),))
    assert diff(EditState(), one) == r"a\x1b[2J\n\u202eb added"
    assert diff(one, other) == r"a\x1b[2J\n\u202eb: prompt a\x1b[2J\n\u202eb -> x\ny"
