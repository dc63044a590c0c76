"""Values refuse what is out of range, with messages that say what is allowed."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest

from sega_session.errors import InvalidValueError, SegaSessionError, UnknownConceptError
from sega_session.state import Concept, EditState, Scene

GLASSES = Concept(name="glasses", prompt="glasses")

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
        ("num_inference_steps", 0, "num_inference_steps is 0; allowed: an integer, at least 1, at"),
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


def test_numpy_numbers_become_plain_ones() -> None:
    concept = attrs.evolve(GLASSES, scale=np.float32(2), warmup=np.int64(3), inverted=np.True_)
    assert (type(concept.scale), type(concept.warmup), concept.inverted) == (float, int, True)
    assert Scene(prompt="", height=8, width=8, seeds=np.array(3)).seeds == (3,)
    assert Scene(prompt="", height=8, width=8, seeds=np.arange(2)).seeds == (0, 1)


def test_a_state_finds_its_concepts() -> None:
    state = EditState(concepts=(GLASSES,))
    assert [*state] == [GLASSES]
    assert state.concept("glasses") is GLASSES
    with pytest.raises(UnknownConceptError, match="allowed: one of 'glasses'"):
        state.concept("hat")
    with pytest.raises(UnknownConceptError, match="since the session has no concepts"):
        EditState().concept("hat")
