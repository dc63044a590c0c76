"""Latents of an image before a call: at the level, and in the scaling, that a run has there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from sega_session.errors import SegaSessionError, UnsupportedPipelineError
from sega_session.models import Origin, Sampler, SchedulerSampler, as_model
from sega_session.models.schedulers import Prediction
from tests.support.families import FAMILIES, Family, size_of
from tests.support.pipelines import BETAS

from .test_family_samplers import VELOCITY as FAMILY_VELOCITY
from .test_family_samplers import pipeline_of
from .test_samplers import NOISE, VELOCITY, Case, model_of, noise_case

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

STEPS = 10
"""DDIM and PNDM step by a tenth of the training then, to where the next timestep is."""

SAMPLERS: list[tuple[Prediction, Case]] = [
    *(("noise", one) for one in NOISE if one.scheduler != "IPNDMScheduler"),
    ("noise", noise_case("DDIMScheduler", prediction_type="sample")),
    ("noise", noise_case("DPMSolverMultistepScheduler", prediction_type="sample")),
    ("noise", noise_case("EulerDiscreteScheduler", timestep_type="continuous")),
    *(("velocity", one) for one in VELOCITY),
    ("velocity", Case("FlowMapEulerDiscreteScheduler")),
    ("velocity", Case("LTXEulerAncestralRFScheduler")),
]


def each_sampler(samplers: list[tuple[Prediction, Case]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("prediction", "case"), samplers, ids=str)


GENERATOR = torch.Generator().manual_seed(1)

IMAGE = 1.8 * torch.rand(1, 4, 64, 64, generator=GENERATOR, dtype=torch.float64) - 0.9
"""Final latents that no scheduler clips."""

NOISE_ADDED = torch.randn(IMAGE.shape, generator=GENERATOR, dtype=torch.float64)


def sampler_of(prediction: Prediction, case: Case, scheduler: Any) -> SchedulerSampler:
    return model_of(prediction, scheduler).sampler(STEPS, 16, 16, case.eta)


def shares(sampler: Sampler, call: int) -> tuple[float, float]:
    """Return the shares of image and noise in the latents before a call."""
    one, zero = torch.ones(1).double(), torch.zeros(1).double()
    return float(sampler.add_noise(one, zero, call)), float(sampler.add_noise(zero, one, call))


# A predictor that knows the image leads a run to it. Before each call, the run's latents are then
# the image's, with the noise that the run began with. Samplers that add noise have more of it.


def perfect(scheduler: Any, latents: Tensor, signal: float, noise: float) -> Tensor:
    """Return what a model that knows the image predicts, from latents with these shares."""
    config = scheduler.config
    kind = config.get("prediction_type", "flow_prediction")
    epsilon, total = (latents - signal * IMAGE) / noise, math.hypot(signal, noise)
    if "sigma_data" in config:
        # EDM's preconditioning: image = skip * latents + out * prediction.
        deviation: float = config.sigma_data
        total = math.hypot(noise, deviation)
        skip, out = (deviation / total) ** 2, noise * deviation / total
        return (IMAGE - skip * latents) / (out if kind == "epsilon" else -out)
    predictions: dict[str, Tensor] = {
        "epsilon": epsilon,
        "sample": IMAGE,
        "v_prediction": (signal * epsilon - noise * IMAGE) / total,
        "flow_prediction": epsilon - IMAGE,
    }
    return predictions[kind]


def followed(sampler: SchedulerSampler, scheduler: Any, seed: int) -> Iterator[Tensor]:
    """Yield the latents before each call of a run with perfect predictions, and the final ones."""
    torch.manual_seed(seed)
    run = sampler.start(Origin(NOISE_ADDED, [torch.Generator().manual_seed(seed)]))
    if hasattr(scheduler, "mid_point_sigma"):
        # The tree that stands in for torchsde's has values of another deviation.
        run._scheduler.noise_sampler = lambda *_: torch.randn(IMAGE.shape)  # noqa: SLF001
    run.latents = sampler.add_noise(IMAGE, NOISE_ADDED, 0)
    for call in range(sampler.calls):
        latents = run.latents.double()
        yield latents
        # Some schedulers ask that this is called before each step.
        run.model_input(run.latents)
        run.step(perfect(scheduler, latents, *shares(sampler, call)))
    yield run.latents.double()


def check_run(sampler: SchedulerSampler, scheduler: Any) -> None:
    """Compare a run with perfect predictions with ``add_noise`` at each call."""
    *found, final = followed(sampler, scheduler, seed=2)
    *_, last, _ = followed(sampler, scheduler, seed=3)
    adds_noise = not torch.equal(found[-1], last)
    # Schedulers compute in float32; Euler's zero-SNR schedule begins at a sigma of 4096.
    rounding = 1e-6 * max(500, math.hypot(*shares(sampler, 0)))
    for call, latents in enumerate(found):
        signal, noise = shares(sampler, call)
        if adds_noise:
            assert float((latents - signal * IMAGE).std()) == pytest.approx(noise, rel=0.03)
        else:
            off = (latents - sampler.add_noise(IMAGE, NOISE_ADDED, call)).abs().max()
            assert off < rounding, call
    # Some keep the noise of the lowest timestep; with the sigmas of flow matching, that is much.
    name, flow = type(scheduler).__name__, scheduler.config.get("use_flow_sigmas")
    if not (flow and name in ("DEISMultistepScheduler", "SASolverScheduler")):
        assert float((final - IMAGE).std()) < 0.03


def steps_elsewhere(case: Case) -> bool:
    """Return whether a scheduler's own formulas are off for perfect predictions.

    DDIM and PNDM step by an equal share of the training, which is not where the next timestep of
    "linspace" is. PNDM takes means of predictions of several levels, where v is not the same.
    """
    spacing, kind = case.settings.get("timestep_spacing"), case.settings.get("prediction_type")
    return (spacing == "linspace" and case.scheduler in ("DDIMScheduler", "PNDMScheduler")) or (
        kind == "v_prediction" and case.scheduler == "PNDMScheduler"
    )


@each_sampler([one for one in SAMPLERS if not steps_elsewhere(one[1])])
def test_perfect_predictions_follow_the_image(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = case.make(monkeypatch)
    check_run(sampler_of(prediction, case, scheduler), scheduler)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler"])
def test_few_steps_are_followed(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = noise_case(name).make(monkeypatch)
    sampler = SchedulerSampler(scheduler, steps)
    assert sampler.calls == 2 * steps - 1
    check_run(sampler, scheduler)


@pytest.mark.parametrize("case", FAMILY_VELOCITY, ids=str)
@pytest.mark.parametrize("family", [one for one in FAMILIES if one.predicts == "velocity"], ids=str)
def test_the_schedules_of_flow_families_are_followed(
    family: Family, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, scheduler = pipeline_of(family), case.make(monkeypatch)
    monkeypatch.setattr(pipeline, "scheduler", scheduler)
    height, width = size_of(pipeline) or (32, 48)
    try:
        sampler = as_model(pipeline).sampler(STEPS, height, width, 0.0)
    except SegaSessionError:
        pytest.skip("the family does not take this scheduler")
    assert isinstance(sampler, SchedulerSampler)
    check_run(sampler, scheduler)


@each_sampler(SAMPLERS)
def test_the_first_level_is_where_a_run_starts(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = sampler_of(prediction, case, case.make(monkeypatch))
    signal, noise = shares(sampler, 0)
    begun = float(sampler.start(Origin(torch.ones(1), [torch.Generator()])).latents)
    # Schedulers count the image's own deviation as 0, as 1, or within.
    assert noise <= begun * (1 + 1e-6)
    assert begun <= (signal + noise) * (1 + 1e-6)


# diffusers' own, which counts timesteps, where it is right.


def own(scheduler: Any, call: int) -> Tensor:
    scheduler = copy.deepcopy(scheduler)
    timestep = scheduler.timesteps[call : call + 1]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(call)
    found: Tensor = (
        scheduler.add_noise(IMAGE, NOISE_ADDED, timestep)
        if hasattr(scheduler, "add_noise")
        else scheduler.scale_noise(IMAGE, timestep, NOISE_ADDED)
    )
    return found


def is_off(case: Case, call: int) -> bool:
    """Return whether diffusers' own does not know the level of a call."""
    if case.scheduler in ("DPMSolverSDEScheduler", "KDPM2DiscreteScheduler"):
        # Every second call is in the middle of a step.
        return call % 2 == 1
    # It takes the timesteps of flow matching for those of noise.
    return case.scheduler == "SASolverScheduler" and "use_flow_sigmas" in case.settings


@each_sampler([one for one in SAMPLERS if not one[1].scheduler.startswith("LTX")])
def test_levels_are_those_of_diffusers_own(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = case.make(monkeypatch)
    sampler = sampler_of(prediction, case, scheduler)
    scheduler.set_timesteps(
        STEPS, **({"mu": 0.7} if scheduler.config.get("use_dynamic_shifting") else {})
    )
    for call in range(sampler.calls):
        found, expected = sampler.add_noise(IMAGE, NOISE_ADDED, call), own(scheduler, call)
        off = (found - expected).abs().max() / math.hypot(*shares(sampler, call))
        assert (off > 1e-3) if is_off(case, call) else (off < 1e-5), call


# Tensors, and what is refused.


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_precision_and_device_stay(dtype: torch.dtype) -> None:
    sampler = SchedulerSampler(diffusers.DDIMScheduler(**BETAS, clip_sample=False), STEPS)
    image, noise = IMAGE.to(dtype), NOISE_ADDED.to(dtype)
    found = sampler.add_noise(image, noise, 3)
    assert (found.dtype, found.shape) == (dtype, image.shape)
    assert torch.equal(image, IMAGE.to(dtype))
    torch.testing.assert_close(
        found, sampler.add_noise(IMAGE, NOISE_ADDED, 3).to(dtype), rtol=0, atol=0.05
    )
    # Nothing is read from tensors without values.
    assert sampler.add_noise(image.to("meta"), noise.to("meta"), 3).is_meta


@pytest.mark.parametrize(
    ("prediction", "case"),
    [
        ("noise", noise_case("IPNDMScheduler")),
        ("noise", noise_case("DDIMInverseScheduler", clip_sample=False)),
        ("noise", noise_case("DPMSolverMultistepInverseScheduler")),
        ("velocity", Case("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True})),
    ],
    ids=str,
)
def test_schedulers_of_unknown_levels_are_refused_by_name(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = sampler_of(prediction, case, case.make(monkeypatch))
    with pytest.raises(UnsupportedPipelineError, match=f"scheduler, {case.scheduler}, are unknown"):
        sampler.add_noise(IMAGE, NOISE_ADDED, 0)
