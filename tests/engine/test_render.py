"""The render loop on its own, on a fake model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sega_session.engine import Conditionings, Masks, Renderer, TrajectoryStore
from sega_session.models import Request
from sega_session.sega import Guider, Trajectory
from sega_session.state import Concept, EditState, Exact, Scene
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS

STATE = EditState(
    concepts=(
        Concept(name="hat", prompt="hat", warmup=2),
        Concept(name="beard", prompt="beard", warmup=3, inverted=True, weight=0.5),
    ),
    momentum_scale=0.5,
)


def renderer(model: FakeModel) -> Renderer:
    scene = Scene(prompt="a cat", seeds=(1, 2), num_inference_steps=6, height=16, width=16)
    conditionings = Conditionings(model, scene)
    conditionings.prepare(STATE)
    return Renderer(
        model=model,
        spec=model.spec,
        sampler=model.sampler(6, 16, 16, 0.0),
        seeds=scene.seeds,
        shape=(2, 4, 8, 8),
        noise=None,
        guider=Guider(scene),
        conditionings=conditionings,
        masks=Masks(scene, (2, 4, 8, 8), model.spec),
        store=TrajectoryStore(2**30),
        batch_plan="together",
    )


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_nothing_leaves_the_device_inside_the_loop(scheduler: str) -> None:
    # A tensor on "meta" has no values: .cpu(), .item(), bool() and indexing by it all raise, as
    # the check of the finished latents does, which is the first thing after the loop.
    evaluated: list[int] = []

    def on_evaluate(requests: Sequence[Request]) -> None:
        assert all(one.latents.device.type == "meta" for one in requests)
        evaluated.append(len(requests))

    model = FakeModel(SCHEDULERS[scheduler](), device="meta", on_evaluate=on_evaluate)
    steps: list[Any] = []
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        renderer(model).render(
            STATE, Exact(), None, "latent", lambda _: lambda *step: steps.append(step)
        )
    assert len(steps) == len(evaluated) == model.sampler(6, 16, 16, 0.0).calls
    assert steps[-1][2].shape == (2, 4, 8, 8)


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_the_loop_evaluates_what_was_planned(scheduler: str) -> None:
    model = FakeModel(SCHEDULERS[scheduler]())
    one = renderer(model)
    planned = one.plan(STATE, Exact(), None)
    made = one.render(STATE, Exact(), None, "latent", lambda _: lambda *_: None)
    assert made.latents.isfinite().all()
    assert planned == made.evaluations == model.rows > 0


def names(**momentum: Any) -> tuple[str, ...]:
    hat = Concept(name="hat", prompt="hat", warmup=2)
    return Trajectory.of(EditState(concepts=(hat,), **momentum), 5).names


def test_states_that_behave_alike_share_their_latents() -> None:
    base = Trajectory.of(EditState(), 5).names
    with_hat = names(momentum_scale=0.0)
    assert with_hat[:3] == base[:3]
    assert not set(with_hat[3:]) & set(base)
    assert len(set(with_hat)) == 6


def test_momentum_is_part_of_the_name_where_it_is_applied() -> None:
    one, other = names(momentum_scale=0.2), names(momentum_scale=0.3)
    assert one[:3] == other[:3]
    assert not set(one[3:]) & set(other[3:])
    assert names(momentum_scale=0.2, momentum_beta=0.5)[3:] != one[3:]


def test_a_trajectory_is_worked_out_once() -> None:
    state = EditState(concepts=(Concept(name="hat", prompt="hat"),))
    again = EditState(concepts=(Concept(name="hat", prompt="hat"),))
    assert Trajectory.of(state, 5) is Trajectory.of(again, 5)
