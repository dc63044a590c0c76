"""Schedulers at odd settings: one typed error before anything is rendered."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from sega_session import EditSession, anchored
from sega_session.errors import InvalidValueError, NoEffectWarning
from sega_session.models import Origin, SchedulerSampler
from sega_session.models.schedulers import FAILURES
from sega_session.testing import FakeModel
from tests.support.noise_trees import sde_scheduler_class
from tests.support.pipelines import BETAS, SCHEDULERS, tiny_stable_diffusion


def unipc() -> Any:
    return diffusers.UniPCMultistepScheduler(**BETAS, solver_order=3, lower_order_final=False)


def edm() -> Any:
    return diffusers.EDMDPMSolverMultistepScheduler(
        solver_order=3, algorithm_type="sde-dpmsolver++"
    )


def inverse(**settings: Any) -> Any:
    return diffusers.DPMSolverMultistepInverseScheduler(**BETAS, **settings)


ODD: dict[str, tuple[Any, int, str]] = {
    "singular": (unipc, 5, r"solver_order=3, lower_order_final=False"),
    "unbound": (edm, 5, r"algorithm_type='sde-dpmsolver\+\+'"),
    "assertion": (
        lambda: inverse(solver_order=3, algorithm_type="sde-dpmsolver++"),
        5,
        r"solver_order=3, algorithm_type='sde-dpmsolver\+\+'",
    ),
    "index": (lambda: inverse(use_exponential_sigmas=True), 25, "use_exponential_sigmas=True"),
    "prediction": (
        lambda: diffusers.EulerAncestralDiscreteScheduler(**BETAS, prediction_type="sample"),
        5,
        "prediction_type='sample'",
    ),
    "few steps": (lambda: diffusers.PNDMScheduler(**BETAS), 2, "could not be broadcast"),
    "setting": (
        lambda: diffusers.DDIMInverseScheduler(
            **BETAS, clip_sample=False, timestep_spacing="linspace"
        ),
        5,
        "timestep_spacing='linspace'",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_settings_that_break_a_scheduler_are_named_at_the_start(name: str) -> None:
    make, steps, setting = ODD[name]
    pipeline = tiny_stable_diffusion(scheduler=make())
    words = rf"num_inference_steps is {steps}; allowed: an integer.* {type(make()).__name__} says"
    with pytest.raises(InvalidValueError, match=words) as caught:
        EditSession(pipeline, "a cat", num_inference_steps=steps)
    assert setting.replace("\\", "") in str(caught.value)


@pytest.mark.parametrize("name", ODD)
def test_diffusers_fails_there_too(name: str) -> None:
    make, steps, _ = ODD[name]
    pipeline = tiny_stable_diffusion(scheduler=make())
    with pytest.raises(FAILURES):
        pipeline("a cat", num_inference_steps=steps, output_type="latent")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_rehearsing_changes_no_image(name: str) -> None:
    scheduler = SCHEDULERS[name]()
    noise = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    sampler = SchedulerSampler(scheduler, 7)
    assert SchedulerSampler(scheduler, 7).calls == sampler.calls
    scheduler.set_timesteps(7)
    run = sampler.start(Origin(noise, [torch.Generator().manual_seed(2)]))
    assert run.latents.equal(noise * scheduler.init_noise_sigma)
    assert run.timestep == scheduler.timesteps[0]


@pytest.mark.parametrize(
    "make",
    [
        *SCHEDULERS.values(),
        diffusers.DEISMultistepScheduler,
        diffusers.DPMSolverSinglestepScheduler,
        diffusers.EDMEulerScheduler,
        diffusers.IPNDMScheduler,
        diffusers.LCMScheduler,
        diffusers.SASolverScheduler,
        diffusers.TCDScheduler,
    ],
)
@pytest.mark.parametrize("steps", [1001, 10_000, 10**9, 10**30])
def test_more_steps_than_trained_are_refused_before_anything_is_allocated(
    make: Any, steps: int
) -> None:
    with pytest.raises(InvalidValueError, match=rf"num_inference_steps is {steps}; .* up to the 1"):
        SchedulerSampler(make(), steps)


def test_a_timestep_beyond_the_training_is_refused() -> None:
    shifted = diffusers.DDIMScheduler(**{**BETAS, "steps_offset": 1}, clip_sample=False)
    assert SchedulerSampler(shifted, 500).calls == 500
    with pytest.raises(InvalidValueError, match="num_inference_steps is 1000"):
        SchedulerSampler(shifted, 1000)  # its first timestep would be 1000


# Noise from a tree, which torchsde makes. The tests do without it.


@pytest.fixture
def sde(monkeypatch: pytest.MonkeyPatch) -> Any:
    """diffusers' DPMSolverSDEScheduler, with a stand-in for torchsde."""
    return sde_scheduler_class(monkeypatch)(**BETAS, noise_sampler_seed=3)


def test_estimates_work_with_sde_noise(sde: Any) -> None:
    session = EditSession(tiny_stable_diffusion(scheduler=sde), "a cat", num_inference_steps=6)
    session.add("hat", warmup=2)
    session.render()
    session.reweight("hat", scale=6)
    assert session.render("preview").mode == "preview"
    assert not session.render(anchored(every=3)).exact
    found = session.render(output_type="latent").latents
    fresh = EditSession(session.pipeline, "a cat", num_inference_steps=6)
    fresh.add("hat", warmup=2, scale=6)
    assert torch.equal(found, fresh.render(output_type="latent").latents)


def test_an_eta_without_effect_is_said_once() -> None:
    with pytest.warns(NoEffectWarning, match="eta=0.5 has no effect: Euler") as found:
        session = EditSession(FakeModel(SCHEDULERS["Euler"]()), "a cat", eta=0.5)
    session.add("hat")
    session.render(output_type="latent")
    assert [one.category for one in found].count(NoEffectWarning) == 1
    EditSession(FakeModel(SCHEDULERS["DDIM"]()), "a cat", eta=0.5)
