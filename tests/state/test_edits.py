"""Values refuse what is out of range, in words that help; edits are pure."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest

from sega_session.errors import (
    DuplicateConceptError,
    InvalidValueError,
    SegaSessionError,
    UnknownConceptError,
)
from sega_session.state import Concept, EditState, Scene, edits

GLASSES = Concept(name="glasses", prompt="glasses")
BEARD = Concept(name="beard", prompt="a beard", scale=4)
BOTH = EditState(concepts=(GLASSES, BEARD))

INVERT = " To push the image away from a concept, use inverted=True or invert(name)."


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scale", math.nan, "scale is nan; allowed: a finite number, at least 0." + INVERT),
        ("scale", math.inf, "scale is inf; allowed: a finite number, at least 0." + INVERT),
        ("scale", -1, "scale is -1.0; allowed: a finite number, at least 0." + INVERT),
        ("scale", "5", "scale is '5'; allowed: a finite number, at least 0." + INVERT),
        ("scale", True, "scale is True; allowed: a finite number, at least 0." + INVERT),
        ("weight", -0.5, "weight is -0.5; allowed: a finite number, at least 0." + INVERT),
        ("threshold", 1.0, "threshold is 1.0; allowed: a finite number, at least 0, less than 1."),
        ("threshold", -0.1, "threshold is -0.1; allowed: a finite number, at least 0, less than"),
        ("warmup", -1, "warmup is -1; allowed: an integer, at least 0."),
        ("warmup", 2.5, "warmup is 2.5; allowed: an integer, at least 0."),
        ("cooldown", 9, "cooldown is 9; allowed: None, or at least warmup (10). Lower warmup,"),
        ("inverted", 1, "inverted is 1; allowed: True or False."),
        ("enabled", None, "enabled is None; allowed: True or False."),
        ("name", " ", "name is ' '; allowed: text, not empty."),
        ("prompt", 7, "prompt is 7; allowed: text."),
        ("prompt", "", "prompt is ''; allowed: text, not empty."),
    ],
)
def test_a_concept_refuses(field: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        attrs.evolve(GLASSES, **{field: value})
    assert str(caught.value).startswith(message)
    assert caught.value.what == field
    assert isinstance(caught.value, (SegaSessionError, ValueError))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", None, "prompt is None; allowed: text."),
        ("seeds", -1, "seed is -1; allowed: an integer, at least 0, less than 2**64."),
        ("seeds", [1, 2.0], "seed is 2.0; allowed: an integer, at least 0, less than 2**64."),
        ("seeds", "7", "seed is '7'; allowed: an integer, at least 0, less than 2**64."),
        ("seeds", None, "seed is None; allowed: an integer, at least 0, less than 2**64."),
        ("seeds", [], "seed is (); allowed: an integer, or at least one in a list."),
        ("num_inference_steps", 0, "num_inference_steps is 0; allowed: an integer, at least 1."),
        ("guidance_scale", -1, "guidance_scale is -1.0; allowed: a finite number, at least 0."),
        ("guidance_scale", 10**400, "guidance_scale is 1000000"),
        ("eta", 1.5, "eta is 1.5; allowed: a finite number, at least 0, at most 1."),
    ],
)
def test_a_scene_refuses(field: str, value: Any, message: str) -> None:
    scene = Scene(prompt="a cat", height=64, width=64)
    with pytest.raises(InvalidValueError) as caught:
        attrs.evolve(scene, **{field: value})
    assert str(caught.value).startswith(message)


def test_momentum_has_the_papers_ranges() -> None:
    with pytest.raises(InvalidValueError, match=r"momentum_beta is 1\.0; .* set its scale to 0\."):
        edits.momentum(BOTH, beta=1)
    with pytest.raises(InvalidValueError, match=r"momentum_scale is 1\.5; .*at most 1\."):
        edits.momentum(BOTH, scale=1.5)
    changed = edits.momentum(BOTH, scale=0.3)
    assert (changed.momentum_scale, changed.momentum_beta) == (0.3, BOTH.momentum_beta)


def test_numpy_numbers_become_plain_ones() -> None:
    concept = attrs.evolve(GLASSES, scale=np.float32(2), warmup=np.int64(3), inverted=np.True_)
    assert (type(concept.scale), type(concept.warmup), concept.inverted) == (float, int, True)
    assert Scene(prompt="", height=8, width=8, seeds=np.array(3)).seeds == (3,)
    assert Scene(prompt="", height=8, width=8, seeds=np.arange(2)).seeds == (0, 1)


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
    with pytest.raises(UnknownConceptError, match="since the session has no concepts"):
        EditState().concept("hat")


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="field is 'strength'; allowed: one of name, prom"):
        edits.update(BOTH, "beard", strength=3)
    with pytest.raises(InvalidValueError, match="field is 'embedding'"):
        edits.update(BOTH, "beard", embedding="x")
