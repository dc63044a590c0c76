"""Edits are pure: they return a new state, or raise and change nothing."""

from __future__ import annotations

import attrs
import pytest

from sega_session.errors import DuplicateConceptError, InvalidValueError, UnknownConceptError
from sega_session.state import Concept, EditState, edits

GLASSES = Concept(name="glasses", prompt="glasses")
BEARD = Concept(name="beard", prompt="a beard", scale=4)
BOTH = EditState(concepts=(GLASSES, BEARD))


def test_momentum_has_the_papers_ranges() -> None:
    with pytest.raises(InvalidValueError, match=r"momentum_beta is 1\.0; .* set its scale to 0\."):
        edits.momentum(BOTH, beta=1)
    with pytest.raises(InvalidValueError, match=r"momentum_scale is 1\.5; .*at most 1\."):
        edits.momentum(BOTH, scale=1.5)
    changed = edits.momentum(BOTH, scale=0.3)
    assert (changed.momentum_scale, changed.momentum_beta) == (0.3, BOTH.momentum_beta)


def test_edits_make_new_states_and_leave_the_old() -> None:
    assert edits.add(EditState(concepts=(GLASSES,)), BEARD) == BOTH
    assert edits.remove(BOTH, "glasses").concepts == (BEARD,)
    changed = edits.update(BOTH, "glasses", scale=7, name="specs")
    assert changed.concepts == (attrs.evolve(GLASSES, scale=7, name="specs"), BEARD)
    assert EditState(concepts=(GLASSES, BEARD)) == BOTH


def test_names_are_checked() -> None:
    with pytest.raises(DuplicateConceptError) as duplicate:
        edits.add(BOTH, GLASSES)
    assert str(duplicate.value) == (
        "name is 'glasses'; allowed: a name that no other concept has. "
        "Change that concept with update('glasses', ...), or pass another name=."
    )
    with pytest.raises(DuplicateConceptError):
        edits.update(BOTH, "glasses", name="beard")
    with pytest.raises(UnknownConceptError) as unknown:
        edits.remove(BOTH, "hat")
    assert str(unknown.value) == (
        "name is 'hat'; allowed: one of 'glasses', 'beard'. Add a concept with add(prompt)."
    )


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="field is 'strength'; allowed: one of name, prom"):
        edits.update(BOTH, "beard", strength=3)
    with pytest.raises(InvalidValueError, match="field is 'embedding'"):
        edits.update(BOTH, "beard", embedding="x")


def test_a_prompt_of_embeddings_is_not_changed() -> None:
    given = EditState(concepts=(Concept(name="mine", prompt="", embedding="0" * 16),))
    with pytest.raises(InvalidValueError, match="prompt is 'x'; allowed: none, since 'mine' is"):
        edits.update(given, "mine", prompt="x")
    assert edits.update(given, "mine", scale=2).concept("mine").scale == 2


def test_only_one_concept_acts() -> None:
    assert edits.only(BOTH, "beard").concepts == (attrs.evolve(GLASSES, scale=0), BEARD)
    with pytest.raises(UnknownConceptError):
        edits.only(BOTH, "hat")
