"""What is planned is what is evaluated, in every mode, whatever was rendered before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sega_session import EditSession, anchored
from sega_session.state import Anchored, as_mode
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS

NAMES = ("hat", "beard", "smile")

MODES = st.sampled_from(
    [
        "exact",
        "replay",
        "preview",
        "anchored",
        anchored(every=5),
        anchored(every=1),
        anchored(every=2),
        anchored(tolerance=0.05),
        anchored(tolerance=1.0),
    ]
)

CHANGES = st.one_of(
    st.fixed_dictionaries({"scale": st.sampled_from([0.0, 3.0, 7.0])}),
    st.fixed_dictionaries({"threshold": st.sampled_from([0.0, 0.95])}),
    st.fixed_dictionaries({"warmup": st.integers(0, 9)}),
    st.fixed_dictionaries({"weight": st.sampled_from([0.0, 2.0])}),
    st.fixed_dictionaries({"inverted": st.booleans()}),
    st.fixed_dictionaries({"mask": st.sampled_from([None, (0, 0, 0.5, 1), (0, 0, 1, 0.5)])}),
    st.fixed_dictionaries({"opposite": st.sampled_from([None, "cap", "a cat"])}),
    st.fixed_dictionaries({"enabled": st.booleans()}),
)

EDITS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(NAMES), CHANGES),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("momentum"), st.sampled_from([0.0, 0.1, 0.5]), st.none()),
    st.tuples(st.just("checkout"), st.integers(0, 99), st.none()),
)


REGIONS = st.tuples(st.just("protect"), st.sampled_from([None, (0, 0, 0.5, 1)]), st.none())
"""Regions that all edits are confined to. Plans of these are lower bounds in small caches."""


WALKS = st.lists(st.tuples(EDITS | REGIONS, MODES), min_size=3, max_size=12)

SAMPLERS = st.sampled_from(["DDIM", "PNDM", "Heun", "Euler ancestral", "UniPC"])


def edit(session: EditSession, kind: str, what: Any, fields: Any) -> None:
    """Make an edit of `EDITS`; a change of a concept that is not there adds it."""
    present = {concept.name for concept in session.concepts}
    if kind == "momentum":
        session.momentum(scale=what)
    elif kind == "protect":
        session.protect(what)
    elif kind == "checkout":
        session.checkout(what % len(session.history))
    elif kind == "remove" and what in present:
        session.remove(what)
    elif kind == "change" and what in present:
        session.update(what, **fields)
    elif kind == "change":
        session.add(what, warmup=4)
        session.update(what, **fields)


def begin(model: FakeModel, *, skip: float | None = None, **scene: Any) -> EditSession:
    """Begin a session from noise, or, with a share to skip, from a photograph."""
    if skip is None:
        return EditSession(model, "a cat", **scene)
    gradient = np.linspace(0, 255, 768).astype(np.uint8).reshape(16, 16, 3)
    return EditSession.from_photo(gradient, model, "a cat", skip=skip, **scene)


def check_renders(walk: list[tuple[Any, Any]], scheduler: str, scene: dict[str, Any]) -> None:
    """Render after each edit of a walk, and compare the counts with a hook on the model."""
    model = FakeModel(SCHEDULERS[scheduler](), distilled=scene.pop("distilled", False))
    session = begin(model, num_inference_steps=9, **scene)
    for change, mode in walk:
        edit(session, *change)
        planned, before = session.plan(mode), model.rows
        render = session.render(mode, output_type="latent")
        assert render.evaluations == model.rows - before
        how = as_mode(mode)
        if isinstance(how, Anchored) and how.tolerance is not None and not render.exact:
            assert render.evaluations <= planned
        else:
            assert render.evaluations == planned
        if render.exact and "cache_bytes" not in scene:
            assert session.plan("exact") == 0
        info = session.cache
        assert info.bytes <= info.max_bytes
        assert info.spilled_bytes <= info.max_spilled_bytes


SCENES = st.fixed_dictionaries(
    {
        "seed": st.sampled_from([3, [1, 2]]),
        "guidance_scale": st.sampled_from([0.5, 7.5]),
        "batch_plan": st.sampled_from(["together", "canonical"]),
        "distilled": st.booleans(),
    }
)


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@given(WALKS, SAMPLERS, SCENES)
@settings(max_examples=60, deadline=None)
def test_planned_equals_evaluated_equals_rows_of_the_model(
    walk: list[tuple[Any, Any]], scheduler: str, scene: dict[str, Any]
) -> None:
    check_renders(walk, scheduler, scene)


ONE = 4 * 8 * 8 * 4
"""Bytes of one prediction of the fake model."""

BUDGETS = st.fixed_dictionaries(
    {
        "cache_bytes": st.integers(0, 150).map(lambda count: count * ONE),
        "spill_bytes": st.sampled_from([0, 10 * ONE, 60 * ONE]),
        "batch_plan": st.sampled_from(["together", "canonical"]),
    }
)


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@given(
    st.lists(st.tuples(EDITS, MODES), min_size=3, max_size=12),
    st.sampled_from(["DDIM", "PNDM", "Heun"]),
    BUDGETS,
)
@settings(max_examples=60, deadline=None)
def test_planned_equals_evaluated_within_small_budgets(
    walk: list[tuple[Any, Any]], scheduler: str, budgets: dict[str, Any]
) -> None:
    check_renders(walk, scheduler, budgets)


PHOTOGRAPHS = st.fixed_dictionaries(
    {
        "skip": st.sampled_from([0.0, 0.2, 0.6]),
        "guidance_scale": st.sampled_from([None, 7.5]),
        "cache_bytes": st.sampled_from([0, 40 * ONE, 2**30]),
        "batch_plan": st.sampled_from(["together", "canonical"]),
    }
)


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@given(WALKS, SAMPLERS, PHOTOGRAPHS)
@settings(max_examples=60, deadline=None)
def test_planned_equals_evaluated_from_photographs(
    walk: list[tuple[Any, Any]], scheduler: str, scene: dict[str, Any]
) -> None:
    check_renders(walk, scheduler, scene)


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@given(st.lists(st.tuples(EDITS, MODES), min_size=3, max_size=12), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_with_enough_host_memory_nothing_is_evaluated_again(
    walk: list[tuple[Any, Any]], count: int
) -> None:
    scene: dict[str, Any] = {"num_inference_steps": 9, "batch_plan": "canonical"}
    ample = EditSession(FakeModel(), "a cat", **scene)
    tight = EditSession(FakeModel(), "a cat", cache_bytes=count * ONE, spill_bytes=2**30, **scene)
    for change, mode in walk:
        made = []
        for session in (ample, tight):
            edit(session, *change)
            made.append(session.render(mode, output_type="latent"))
        assert made[0].evaluations == made[1].evaluations
        assert torch.equal(made[0].latents, made[1].latents)
    assert tight.cache.bytes <= count * ONE
    total = ample.cache.bytes + ample.cache.spilled_bytes
    assert tight.cache.bytes + tight.cache.spilled_bytes == total
