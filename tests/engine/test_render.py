"""The denoising loop on its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sega_session.engine.denoise import Job, denoise
from sega_session.engine.predictions import PredictionSource
from sega_session.engine.store import TrajectoryStore
from sega_session.engine.walk import Walk
from sega_session.sega.guider import UNCOND, Branches
from sega_session.sega.recipe import make_recipe
from sega_session.sega.trajectory import latent_keys
from sega_session.state import Concept, EditState, Exact
from tests.support.fake_denoiser import FakeDenoiser
from tests.support.pipelines import SCHEDULERS

STATE = EditState(
    concepts=(
        Concept(name="hat", prompt="hat", warmup=2),
        Concept(name="beard", prompt="beard", warmup=3, inverted=True, weight=0.5),
    ),
    momentum_scale=0.5,
)


def run(denoiser: FakeDenoiser, **step_kwargs: Any) -> torch.Tensor:
    scheduler = denoiser.fresh_scheduler(6)
    conditionings = {
        UNCOND: denoiser.encode("", negative=True),
        **{f"prompt:{word}": denoiser.encode(word) for word in ("a cat", "hat", "beard")},
    }
    recipe = make_recipe(STATE, len(scheduler.timesteps))
    branches = Branches(conditionings, "prompt:a cat", 7.5)
    start = torch.ones(2, 4, 8, 8, device=denoiser.device) * scheduler.init_noise_sigma
    source = PredictionSource(denoiser, conditionings, TrajectoryStore(2**30), "together")  # type: ignore[arg-type]
    walk = Walk(scheduler, start, recipe, branches, step_kwargs)
    job = Job(walk, latent_keys(recipe), source, lambda *_: None)
    return denoise(job, Exact(), None).latents


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_nothing_leaves_the_device_inside_the_loop(scheduler: str) -> None:
    # A tensor on "meta" has no values: .cpu(), .item(), bool() and indexing by it all raise.
    latents = run(FakeDenoiser(scheduler, device="meta"))
    assert latents.device.type == "meta"
    assert latents.shape == (2, 4, 8, 8)
    assert run(FakeDenoiser(scheduler)).isfinite().all()


def keys(**momentum: float) -> tuple[str, ...]:
    hat = Concept(name="hat", prompt="hat", warmup=2)
    return latent_keys(make_recipe(EditState(concepts=(hat,), **momentum), 5))


def test_states_that_behave_alike_share_their_latents() -> None:
    base = latent_keys(make_recipe(EditState(), 5))
    with_hat = keys(momentum_scale=0.0)
    assert with_hat[:3] == base[:3]
    assert not set(with_hat[3:]) & set(base)
    assert len(set(with_hat)) == 6


def test_momentum_is_part_of_the_key_where_it_is_applied() -> None:
    one, other = keys(momentum_scale=0.2), keys(momentum_scale=0.3)
    assert one[:3] == other[:3]
    assert not set(one[3:]) & set(other[3:])
    assert keys(momentum_scale=0.2, momentum_beta=0.5)[3:] != one[3:]
