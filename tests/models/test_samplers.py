"""Samplers of every kind: images equal to those of diffusers, and exact re-renders after edits."""

from __future__ import annotations

import functools
import inspect
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from attrs import field, frozen
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.errors import ModelChangedError, NotFiniteError, UnsupportedPipelineError
from sega_session.models import Origin, SchedulerSampler, as_model, identify
from sega_session.models.schedulers import Prediction, check_scheduler
from sega_session.testing import FakeModel
from tests.support.noise_trees import sde_scheduler_class
from tests.support.pipelines import BETAS, tiny_stable_diffusion
from tests.support.stable_diffusion_3 import tiny_stable_diffusion_3

# diffusers' schedulers apply numpy's functions to tensors.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

PROMPT, SEED, STEPS = "a red cat", 3, 6

SDE = "DPMSolverSDEScheduler"

COMPATIBLE = sorted(one.name for one in diffusers.schedulers.KarrasDiffusionSchedulers)
"""The schedulers that diffusers offers for Stable Diffusion."""

NEEDED: dict[str, dict[str, Any]] = {
    SDE: {**BETAS, "noise_sampler_seed": 3},
    "DDIMScheduler": {"clip_sample": False, "set_alpha_to_one": False},
    "DDPMScheduler": {"clip_sample": False},
    "PNDMScheduler": {"skip_prk_steps": True},
}
"""Settings of Stable Diffusion's checkpoints besides its noise schedule."""

VARIANTS: dict[str, tuple[Any, ...]] = {
    "use_karras_sigmas": (True,),
    "use_exponential_sigmas": (True,),
    "use_beta_sigmas": (True,),
    "use_lu_lambdas": (True,),
    "use_flow_sigmas": (True,),
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "rescale_betas_zero_snr": (True,),
    "prediction_type": ("v_prediction",),
}
"""Values to test of settings that some schedulers have."""

FLOW: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
"""Settings that turn some schedulers into ones for flow matching."""


@frozen
class Case:
    """A scheduler's class, its settings, and DDIM's noise."""

    scheduler: str
    settings: dict[str, Any] = field(factory=dict)
    eta: float = 0.0

    def __str__(self) -> str:
        words = [f"{key}={value}" for key, value in self.settings.items() if key not in BETAS]
        return " ".join([self.scheduler.removesuffix("Scheduler"), *words, f"eta={self.eta:g}"])

    def make(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return the scheduler."""
        known = {} if self.scheduler != SDE else {SDE: sde_scheduler_class(monkeypatch)}
        found = known.get(self.scheduler) or getattr(diffusers, self.scheduler)
        return found(**self.settings)


def parameters(scheduler: str) -> dict[str, Any]:
    """Return the default of each setting that a scheduler has."""
    found = inspect.signature(getattr(diffusers, scheduler).__init__).parameters.values()
    return {one.name: one.default for one in found}


def noise_case(scheduler: str, eta: float = 0.0, **settings: Any) -> Case:
    """Return a case with the noise schedule of Stable Diffusion."""
    accepted = {key: value for key, value in BETAS.items() if key in parameters(scheduler)}
    return Case(scheduler, {**accepted, **NEEDED.get(scheduler, {}), **settings}, eta)


def variants(case: Case) -> Iterator[Case]:
    """Yield a case, and one for each value of each further setting that its scheduler has."""
    yield case
    for name, default in parameters(case.scheduler).items():
        for value in VARIANTS.get(name, ()):
            if name not in case.settings and value != default:
                yield Case(case.scheduler, {**case.settings, name: value})


NOISE = [
    *(one for name in COMPATIBLE for one in variants(noise_case(name))),
    noise_case("DDIMScheduler", eta=0.6),
    noise_case(
        "DDIMScheduler",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
    ),
    noise_case("DDIMScheduler", thresholding=True),
    noise_case("DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++"),
    noise_case(
        "DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", use_karras_sigmas=True
    ),
    noise_case("DPMSolverMultistepScheduler", solver_order=3, final_sigmas_type="sigma_min"),
    noise_case("DPMSolverMultistepScheduler", euler_at_final=True),
    noise_case(SDE, use_karras_sigmas=True),
    noise_case("EDMDPMSolverMultistepScheduler"),
    noise_case("EulerDiscreteScheduler", interpolation_type="log_linear"),
    noise_case("IPNDMScheduler"),
    noise_case("LCMScheduler"),
    noise_case("LCMScheduler", rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    noise_case("PNDMScheduler", skip_prk_steps=False),
    noise_case("SASolverScheduler"),
    noise_case("TCDScheduler"),
    noise_case("TCDScheduler", eta=0.3),
    noise_case("UniPCMultistepScheduler", solver_order=3, disable_corrector=[0]),
]
"""Samplers of models that predict noise."""

VELOCITY = [
    Case("FlowMatchEulerDiscreteScheduler"),
    *variants(Case("FlowMatchEulerDiscreteScheduler", {"shift": 3.0})),
    *variants(Case("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True})),
    Case("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "stochastic_sampling": True}),
    Case(
        "FlowMatchEulerDiscreteScheduler",
        {"use_dynamic_shifting": True, "time_shift_type": "linear", "shift_terminal": 0.1},
    ),
    Case("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
    *variants(Case("FlowMatchLCMScheduler", {"shift": 3.0})),
    Case("FlowMatchLCMScheduler", {"use_dynamic_shifting": True}),
    Case("DEISMultistepScheduler", {**FLOW, "flow_shift": 3.0}),
    Case("DEISMultistepScheduler", {**FLOW, "use_dynamic_shifting": True}),
    Case("DPMSolverMultistepScheduler", {**FLOW, "flow_shift": 3.0}),
    Case("DPMSolverMultistepScheduler", {**FLOW, "use_dynamic_shifting": True}),
    Case("DPMSolverMultistepScheduler", {**FLOW, "algorithm_type": "sde-dpmsolver++"}),
    Case("DPMSolverSinglestepScheduler", {**FLOW, "flow_shift": 3.0}),
    Case("DPMSolverSinglestepScheduler", {**FLOW, "use_dynamic_shifting": True}),
    Case("SASolverScheduler", {**FLOW, "flow_shift": 3.0}),
    Case("UniPCMultistepScheduler", {**FLOW, "flow_shift": 3.0}),
    Case("UniPCMultistepScheduler", {**FLOW, "use_dynamic_shifting": True}),
]
"""Samplers of models that predict the velocity of flow matching."""


@functools.cache
def pipeline_of(prediction: Prediction) -> Any:
    return tiny_stable_diffusion() if prediction == "noise" else tiny_stable_diffusion_3(t5=False)


each_case = pytest.mark.parametrize(
    ("prediction", "case"),
    [*(("noise", one) for one in NOISE), *(("velocity", one) for one in VELOCITY)],
    ids=str,
)


def begin(model: Any, case: Case) -> EditSession:
    return EditSession(
        model,
        PROMPT,
        seed=SEED,
        num_inference_steps=STEPS,
        eta=case.eta,
        batch_plan="canonical",
    )


def latents(session: EditSession) -> Tensor:
    return session.render(output_type="latent").latents


@each_case
def test_images_are_those_of_the_pipeline(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(prediction)
    pipeline.scheduler = case.make(monkeypatch)
    found = latents(
        EditSession(pipeline, PROMPT, seed=SEED, num_inference_steps=STEPS, eta=case.eta)
    )
    # Without a generator, noise comes from this seed: SD3's passes its samplers no generator.
    torch.manual_seed(SEED)
    eta = {"eta": case.eta} if case.eta else {}
    expected = pipeline(PROMPT, num_inference_steps=STEPS, output_type="latent", **eta).images
    assert expected.isfinite().all()
    assert torch.equal(found, expected)


# Where a pipeline's latents are not finite, a render raises.


@pytest.mark.parametrize(
    "case",
    [
        noise_case("LCMScheduler", rescale_betas_zero_snr=True),
        noise_case("UniPCMultistepScheduler", solver_order=3, solver_type="bh1"),
    ],
    ids=str,
)
def test_a_sampler_that_divides_by_zero_is_reported(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of("noise")
    pipeline.scheduler = case.make(monkeypatch)
    found = pipeline(PROMPT, num_inference_steps=STEPS, output_type="latent").images
    assert not found.isfinite().all()
    with pytest.raises(NotFiniteError, match="latents overflowed"):
        begin(pipeline, case).render(output_type="latent")


# Edits. Samplers keep state, which no re-render, estimate or file may disturb.


class FlowModel(FakeModel):
    """A `FakeModel` of velocities."""

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        scheduler = self.components()["scheduler"]
        schedule = {"mu": 0.7} if scheduler.config.get("use_dynamic_shifting") else {}
        return SchedulerSampler(scheduler, steps, eta, prediction="velocity", schedule=schedule)


def model_of(prediction: Prediction, scheduler: Any) -> FakeModel:
    return FakeModel(scheduler) if prediction == "noise" else FlowModel(scheduler)


@each_case
def test_a_fork_makes_the_same_steps(
    prediction: Prediction, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(prediction, case.make(monkeypatch))
    sampler = model.sampler(STEPS, 16, 16, case.eta)
    noise = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(1))

    def start() -> Any:
        return sampler.start(Origin(noise, [torch.Generator().manual_seed(2)]))

    def drive(run: Any, calls: int) -> Any:
        for _ in range(calls):
            run.step(run.model_input(run.latents) / 2)
        return run

    expected = drive(start(), sampler.calls).latents
    for forked_at in (0, 1, 4):
        run, rest = drive(start(), forked_at), sampler.calls - forked_at
        assert torch.equal(drive(run.fork(), rest).latents, expected)
        assert torch.equal(drive(run, rest).latents, expected)


EDITS: tuple[Callable[[EditSession, random.Random], None], ...] = (
    lambda session, drawn: session.reweight("hat", scale=drawn.uniform(1, 4)),
    lambda session, drawn: session.invert("beard"),
    lambda session, drawn: session.update("hat", threshold=drawn.uniform(0.6, 0.9)),
    lambda session, drawn: session.update("beard", warmup=drawn.choice((2, 3))),
    lambda session, drawn: session.add("smile", warmup=drawn.choice((0, 2)), opposite="frown"),
    lambda session, drawn: session.remove("scarf"),
    lambda session, drawn: session.momentum(scale=drawn.uniform(0.2, 0.8)),
)


def check_edits(model: Any, case: Case, path: Path) -> None:
    """Render three edits, in a session that is saved and loaded before the last of them."""
    drawn = random.Random(str(case))
    session = begin(model, case)
    for name in ("hat", "beard", "scarf"):
        session.add(name, warmup=1, threshold=0.5)
    images = [latents(session)]
    for number, edit in enumerate(drawn.sample(EDITS, 3)):
        if number == 2:
            session.save(path)
            session = EditSession.load(path, model)
            again = session.render(output_type="latent")
            assert again.evaluations == 0
            assert torch.equal(again.latents, images[-1])
        edit(session, drawn)
        # Estimates walk ahead on a copy of the sampler.
        session.render(anchored(every=2), output_type="latent")
        images.append(latents(session))
        assert not torch.equal(images[-1], images[-2])
    cold = begin(model, case).render(state=session.state, output_type="latent")
    assert torch.equal(images[-1], cold.latents)


@each_case
def test_exact_renders_of_edits_are_those_of_a_cold_session(
    prediction: Prediction, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(prediction, case.make(monkeypatch))
    check_edits(model, case, tmp_path / "edits.safetensors")


# A few of them with networks, whose bits depend on what else is in a batch.


@pytest.mark.parametrize(
    ("prediction", "case"),
    [
        ("noise", noise_case("EulerAncestralDiscreteScheduler")),
        ("noise", noise_case("HeunDiscreteScheduler")),
        ("noise", noise_case("UniPCMultistepScheduler")),
        ("velocity", Case("FlowMatchEulerDiscreteScheduler", {"shift": 3.0})),
        ("velocity", Case("FlowMatchHeunDiscreteScheduler", {"shift": 3.0})),
        ("velocity", Case("FlowMatchLCMScheduler", {"shift": 3.0})),
    ],
    ids=str,
)
def test_edits_of_networks_predictions(
    prediction: Prediction, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(prediction)
    pipeline.scheduler = case.make(monkeypatch)
    check_edits(pipeline, case, tmp_path / "edits.safetensors")


# Schedulers that are refused.

REFUSED: dict[Prediction, dict[str, str]] = {
    "noise": {
        "CMStochasticIterativeScheduler": "is for consistency models",
        "SCMScheduler": "is for TrigFlow models",
        "FlowMatchEulerDiscreteScheduler": "is for flow matching",
        "FlowMatchHeunDiscreteScheduler": "is for flow matching",
        "FlowMatchLCMScheduler": "is for flow matching",
        "BlockRefinementScheduler": "does not count timesteps",
        "DDPMWuerstchenScheduler": "does not count timesteps",
        "KarrasVeScheduler": "does not count timesteps",
        "ScoreSdeVeScheduler": "has no step() or no order",
        "UnCLIPScheduler": "has no step() or no order",
        "CogVideoXDPMScheduler": "needs old_pred_original_sample, timestep_back at every step",
        "RePaintScheduler": "needs mask, original_image at every step",
    },
    "velocity": {
        **dict.fromkeys(
            (name for name in COMPATIBLE if name not in (SDE, "DPMSolverSinglestepScheduler")),
            "is not for flow matching",
        ),
        "LCMScheduler": "is not for flow matching",
        "TCDScheduler": "is not for flow matching",
        "HeliosScheduler": "is for Helios",
        "HeliosDMDScheduler": "is for Helios",
        "PiflowScheduler": "is for pi-Flow models",
        "MiniMaxH3Scheduler": "does not count timesteps",
    },
}
"""Schedulers of other models, and why they are refused."""


@pytest.mark.parametrize(
    ("prediction", "name"), [(kind, name) for kind, names in REFUSED.items() for name in names]
)
def test_a_scheduler_of_other_models_is_refused_by_name(prediction: Prediction, name: str) -> None:
    pipeline = pipeline_of(prediction)
    pipeline.scheduler = getattr(diffusers, name)()
    reason = re.escape(REFUSED[prediction][name])
    with pytest.raises(UnsupportedPipelineError, match=f"scheduler, {name}, {reason}.*; allowed"):
        EditSession(pipeline, PROMPT)


@pytest.mark.parametrize(
    ("prediction", "case", "reason"),
    [
        ("noise", noise_case("DDPMScheduler", variance_type="learned"), "a learned variance"),
        (
            "noise",
            noise_case(SDE, noise_sampler_seed=None),
            "draws different noise in every render",
        ),
        (
            "velocity",
            Case("UniPCMultistepScheduler", {"use_flow_sigmas": True}),
            "takes the prediction_type 'epsilon' and not 'flow_prediction'",
        ),
        (
            "velocity",
            Case("FlowMatchLCMScheduler", {"scale_factors": [0.5, 1.0]}),
            "renders latents of growing size",
        ),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(
    prediction: Prediction, case: Case, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsupportedPipelineError, match=f"{case.scheduler}, .*{reason}"):
        check_scheduler(case.make(monkeypatch), prediction)


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler"])
def test_a_shift_that_was_set_counts(name: str) -> None:
    pipeline = pipeline_of("velocity")
    pipeline.scheduler = scheduler = getattr(diffusers, name)(shift=3.0)
    session = EditSession(pipeline, PROMPT, seed=SEED, num_inference_steps=STEPS)
    first, identity = latents(session), identify(as_model(pipeline))
    scheduler.set_shift(7.0)
    with pytest.raises(ModelChangedError, match=r"scheduler: shift 3.0 -> 7.0"):
        session.render()
    assert identify(as_model(pipeline)) != identity
    session.refresh_model()
    shifted = latents(session)
    torch.manual_seed(SEED)
    expected = pipeline(PROMPT, num_inference_steps=STEPS, output_type="latent").images
    assert torch.equal(shifted, expected)
    assert not torch.equal(shifted, first)
