"""Samplers over diffusers' schedulers.

Schedulers keep state, so every run uses a new one, and the user's own is never changed.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidValueError, NoEffectWarning, UnsupportedPipelineError, warn_caller
from .base import Origin
from .components import canonical, settings

ARGUMENTS = {"self", "model_output", "timestep", "sample", "eta", "generator"}
"""The arguments of a scheduler's ``step`` that a run can pass."""

FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""The errors of schedulers at settings that they do not support; they check few of them."""

FLOW = "flow_prediction"
"""The ``prediction_type`` of schedulers that were not made for flow matching alone."""

ALLOWED = {
    "noise": "allowed: a scheduler of Stable Diffusion, such as DDIM, PNDM, Euler, DPM++ or UniPC. "
    "Set one with pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config).",
    "velocity": "allowed: a flow-matching scheduler, such as FlowMatchEuler, or DPM++ or UniPC "
    f"with use_flow_sigmas=True and prediction_type={FLOW!r}. Set one with pipeline.scheduler = "
    "FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config).",
}
"""Which schedulers fit a kind of prediction, and how to set one."""

OTHER_MODELS = {
    "CMStochasticIterativeScheduler": "is for consistency models, whose outputs are images and "
    "not noise",
    "HeliosScheduler": "is for Helios, which renders videos in stages of growing size",
    "HeliosDMDScheduler": "is for Helios, which renders videos in stages of growing size",
    "PiflowScheduler": "is for pi-Flow models, whose outputs are several velocities",
    "SCMScheduler": "is for TrigFlow models, whose outputs are neither noise nor velocities",
}
"""Schedulers of models with other outputs, by the names of their classes."""

DEFAULTED = "_use_default_values"
"""The key under which diffusers' configs list the settings that were not given."""

_REHEARSED: set[tuple[type, str, int]] = set()


Prediction: TypeAlias = Literal["noise", "velocity"]
"""What a model predicts: noise, with v as a variant, or the velocity of flow matching."""


def check_scheduler(scheduler: Any, prediction: Prediction = "noise") -> None:
    """Raise UnsupportedPipelineError unless the scheduler can drive a model's predictions."""
    name, config = type(scheduler).__name__, scheduler.config
    problem = ""
    if name in OTHER_MODELS:
        problem = OTHER_MODELS[name]
    elif "num_train_timesteps" not in config:
        problem = "does not count timesteps as models are trained to"
    elif not (hasattr(scheduler, "step") and hasattr(scheduler, "order")):
        problem = "has no step() or no order, which diffusers' pipelines ask for"
    elif prediction == "noise" and not hasattr(scheduler, "init_noise_sigma"):
        problem = "is for flow matching"
    elif prediction == "velocity" and not _has_flow_sigmas(scheduler):
        problem = "is not for flow matching"
    elif prediction == "velocity" and config.get("prediction_type", FLOW) != FLOW:
        problem = f"takes the prediction_type {config['prediction_type']!r} and not {FLOW!r}"
    elif getattr(scheduler, "_scale_factors", None):
        problem = "renders latents of growing size (it has scale_factors)"
    elif str(config.get("variance_type")).startswith("learned"):
        problem = "expects a learned variance"
    elif config.get("noise_sampler_seed", 0) is None:
        problem = "draws different noise in every render (its noise_sampler_seed is None)"
    else:
        parameters = inspect.signature(scheduler.step).parameters.values()
        needed = {
            p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        }
        if needed - ARGUMENTS:
            problem = f"needs {', '.join(sorted(needed - ARGUMENTS))} at every step"
    if problem:
        raise UnsupportedPipelineError(
            f"the pipeline's scheduler, {name}, {problem}; {ALLOWED[prediction]}"
        )


class SchedulerSampler:
    """A `Sampler` over a diffusers scheduler.

    Args:
        scheduler: the scheduler whose settings are used. It is not changed.
        steps: its ``num_inference_steps``.
        eta: DDIM's noise, 0 to 1; passed only to schedulers that accept it.
        prediction: what the model predicts.
        schedule: further arguments of its ``set_timesteps``, such as "sigmas" and "mu".

    Raises:
        InvalidValueError: the scheduler does not support that many steps, or not its settings.
        UnsupportedPipelineError: the scheduler is for other models, or a library is missing.

    Warns:
        NoEffectWarning: eta is not 0, and the scheduler does not accept it.
    """

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        eta: float = 0.0,
        *,
        prediction: Prediction = "noise",
        schedule: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._eta = eta
        check_scheduler(scheduler, prediction)
        self._fresh = fresh_scheduler(scheduler, steps, schedule)
        self._shares = signal_and_noise(self._fresh)
        _rehearse(self._fresh, steps, schedule)
        self._levels = noise_levels(self._fresh)
        if eta and "eta" not in inspect.signature(scheduler.step).parameters:
            warn_caller(
                f"eta={eta:g} has no effect: {type(scheduler).__name__} does not use it. "
                "Set eta to 0, or use DDIMScheduler.",
                NoEffectWarning,
            )

    @property
    def calls(self) -> int:
        """The number of model calls; Heun and PNDM make more than they have steps."""
        return len(self._shares)

    def start(self, origin: Origin) -> SchedulerRun:
        """Begin a run from ``origin.noise``, scaled by the scheduler's ``init_noise_sigma``."""
        return _begin(self._fresh, origin, self._eta)

    def signal_and_noise(self, call: int) -> tuple[float, float]:
        """See `Sampler.signal_and_noise`."""
        return self._shares[call]

    def add_noise(self, image: Tensor, noise: Tensor, call: int) -> Tensor:
        """See `Sampler.add_noise`; schedulers that end at noise, or keep no table, are refused."""
        if not self._levels:
            raise UnsupportedPipelineError(
                f"the noise levels of the pipeline's scheduler, {type(self._fresh).__name__}, are "
                "unknown; allowed: a scheduler that goes from noise to images, with alphas_cumprod "
                "or sigmas. Set one with pipeline.scheduler = "
                "DDIMScheduler.from_config(pipeline.scheduler.config), or begin from a seed."
            )
        signal, share = self._levels[call]
        return signal * image + share * noise


class SchedulerRun:
    """A `SamplerRun` that drives one scheduler.

    Args:
        scheduler: new, its timesteps set, on the host. The run changes it.
        latents: the initial latents, scaled by the scheduler's ``init_noise_sigma``.
        arguments: further arguments for ``scheduler.step``.
    """

    def __init__(self, scheduler: Any, latents: Tensor, arguments: dict[str, Any]) -> None:
        self.latents = latents
        self._call = 0
        self._scheduler = scheduler
        self._arguments = arguments
        self._timesteps = scheduler.timesteps.to(latents.device)

    @property
    def timestep(self) -> Tensor:
        """See `SamplerRun.timestep`."""
        timestep: Tensor = self._timesteps[self._call]
        return timestep

    def model_input(self, latents: Tensor) -> Tensor:
        """See `SamplerRun.model_input`."""
        if not hasattr(self._scheduler, "scale_model_input"):
            return latents
        scaled: Tensor = self._scheduler.scale_model_input(latents, self._host_timestep)
        return scaled

    def step(self, prediction: Tensor) -> None:
        """See `SamplerRun.step`."""
        if not getattr(self._scheduler, "is_scale_input_called", True):
            # It warns otherwise; where predictions are known, nobody asks for the model's input.
            self.model_input(self.latents)
        self.latents = self._scheduler.step(
            prediction, self._host_timestep, self.latents, **self._arguments
        ).prev_sample
        self._call += 1

    def fork(self) -> Self:
        """See `SamplerRun.fork`."""
        other = copy.copy(self)
        # The tree of SDE noise cannot be copied. It need not be: its seed alone makes its values,
        # in whatever order they are drawn.
        noise = getattr(self._scheduler, "noise_sampler", None)
        other._scheduler = copy.deepcopy(  # noqa: SLF001 - of the same class
            self._scheduler, {id(noise): noise}
        )
        if "generator" in self._arguments:
            clones = [one.clone_state() for one in self._arguments["generator"]]
            other._arguments = {**self._arguments, "generator": clones}  # noqa: SLF001
        return other

    @property
    def _host_timestep(self) -> Tensor:
        # Schedulers index tables on the host with it, so it must not be on the device.
        timestep: Tensor = self._scheduler.timesteps[self._call]
        return timestep


def fresh_scheduler(
    scheduler: Any,
    num_inference_steps: int,
    schedule: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Return a new scheduler with the same settings, its timesteps set, on the host.

    Raises:
        InvalidValueError: the scheduler does not support that many steps, or not its settings.
        UnsupportedPipelineError: a library that it needs is missing.
    """
    # Pipelines correct settings that were left at their defaults (DDIM's clip_sample among them);
    # from_config would reset what is listed as a default.
    config = {key: value for key, value in scheduler.config.items() if key != DEFAULTED}
    longest = config["num_train_timesteps"]
    # Before anything of that length is allocated.
    if num_inference_steps > longest:
        raise InvalidValueError(
            "num_inference_steps",
            num_inference_steps,
            f"an integer, at least 1, up to the {longest} that the model was trained with",
            "Try 50.",
        )
    try:
        fresh = type(scheduler).from_config(config)
        if hasattr(scheduler, "set_shift"):
            # It is no part of the config.
            fresh.set_shift(scheduler.shift)
        fresh.set_timesteps(num_inference_steps, **schedule)
    except ImportError as error:
        raise UnsupportedPipelineError(f"{type(scheduler).__name__}: {error}") from error
    except FAILURES as error:
        raise _failed(scheduler, num_inference_steps, error) from error
    # Flow matching begins at the longest timestep itself. Not a number fails this too.
    last = longest if _has_flow_sigmas(scheduler) else longest - 1
    if not bool((fresh.timesteps <= last).all()):
        reason = f"with them timesteps are not all at most {last}, as the model was trained"
        raise _failed(scheduler, num_inference_steps, reason)
    return fresh


def _has_flow_sigmas(scheduler: Any) -> bool:
    """Return whether a scheduler goes through the noise levels of flow matching."""
    return not hasattr(scheduler, "init_noise_sigma") or scheduler.config.get("use_flow_sigmas")


def _rehearse(scheduler: Any, num_inference_steps: int, schedule: Mapping[str, Any]) -> None:
    """Drive a fresh scheduler with latents of one pixel, to find early what its settings break.

    Raises:
        InvalidValueError: a step fails.
    """
    # Once for equal settings: some schedulers take a second for 50 steps.
    chosen = canonical([settings(scheduler), dict(schedule)])
    rehearsed = type(scheduler), chosen, num_inference_steps
    if rehearsed in _REHEARSED:
        return
    latents = torch.ones(1, 4, 1, 1)
    origin = Origin(latents, [torch.Generator()])
    try:
        run = _begin(scheduler, origin, eta=0.0)
        for _ in scheduler.timesteps:
            run.model_input(run.latents)
            run.step(latents)
    except FAILURES as error:
        raise _failed(scheduler, num_inference_steps, error) from error
    _REHEARSED.add(rehearsed)


def _begin(fresh: Any, origin: Origin, eta: float) -> SchedulerRun:
    """Begin a run on a copy of a fresh scheduler: making another can take tenths of a second."""
    scheduler = copy.deepcopy(fresh)
    offered = {"eta": eta, "generator": list(origin.generators)}
    accepted = inspect.signature(scheduler.step).parameters
    arguments = {name: value for name, value in offered.items() if name in accepted}
    # Those for flow matching alone do not scale it.
    latents = origin.noise * getattr(scheduler, "init_noise_sigma", 1)
    return SchedulerRun(scheduler, latents, arguments)


def _failed(scheduler: Any, num_inference_steps: int, reason: object) -> InvalidValueError:
    """Return the error for a scheduler that its own settings break."""
    name = type(scheduler).__name__
    parameters = inspect.signature(type(scheduler).__init__).parameters
    special = ", ".join(
        f"{key}={value!r}"
        for key, value in scheduler.config.items()
        if key in parameters and value != parameters[key].default
    )
    # Some failures have no message.
    words = str(reason).strip().rstrip(".") or type(reason).__name__
    return InvalidValueError(
        "num_inference_steps",
        num_inference_steps,
        f"an integer, at least 1, that the scheduler can take with its settings "
        f"({special or 'the defaults'}; {name} says: {words})",
        "Try 50, or set other settings: pipeline.scheduler = "
        f"{name}.from_config(pipeline.scheduler.config, ...).",
    )


def signal_and_noise(scheduler: Any) -> tuple[tuple[float, float], ...]:
    """Return each call's shares of image and noise, from the training schedule.

    See `Sampler.signal_and_noise`. They are (1, 0) where the model does not predict ε, or the
    scheduler has no such schedule (EDM).
    """
    calls = scheduler.timesteps.tolist()
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None or scheduler.config.get("prediction_type", "epsilon") != "epsilon":
        return ((1.0, 0.0),) * len(calls)
    # Some schedulers place their calls between the training timesteps.
    kept = np.interp(calls, np.arange(len(table)), table.double().cpu().numpy())
    return tuple((float(one) ** 0.5, float(1 - one) ** 0.5) for one in kept)


def noise_levels(scheduler: Any) -> tuple[tuple[float, float], ...]:
    """Return the shares of image and noise in the latents before each call; empty: unknown.

    See `Sampler.add_noise`. diffusers' own ``add_noise`` counts timesteps, not calls: it misses the
    calls in the middle of a step, and SASolver's takes timesteps of flow matching for those of
    noise. A level is the one that the model is told: DDIM and PNDM with "linspace" steps lead to
    latents of another.
    """
    timesteps = scheduler.timesteps
    # Inverse schedulers go from images to noise.
    if timesteps[0] < timesteps[-1]:
        return ()
    if getattr(scheduler, "sigmas", None) is not None:
        shares = _latents_shares(scheduler, _sigmas_of_calls(scheduler))
    elif hasattr(scheduler, "alphas_cumprod"):
        kept = scheduler.alphas_cumprod.double()[timesteps.long()]
        shares = kept.sqrt(), (1 - kept).sqrt()
    else:
        return ()
    signal, noise = torch.broadcast_tensors(*shares)
    return tuple(zip(signal.tolist(), noise.tolist(), strict=True))


def _sigmas_of_calls(scheduler: Any) -> Tensor:
    """Return the sigma of each call's latents, from the table of a fresh scheduler."""
    sigmas: Tensor = scheduler.sigmas.double()
    found = sigmas[: len(scheduler.timesteps)].clone()
    if hasattr(scheduler, "sigmas_interpol") or hasattr(scheduler, "mid_point_sigma"):
        # Every second call is in the middle of a step, on a logarithmic scale, and the table has
        # only the ends. An ancestral step ends lower, before noise is added.
        ends = getattr(scheduler, "sigmas_down", sigmas[1:])[: len(found) - 1 : 2]
        found[1::2] = (found[:-1:2] * ends).sqrt()
    return found


def _latents_shares(scheduler: Any, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of image and noise in a scheduler's latents at sigmas."""
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        signal, noise = scheduler._sigma_to_alpha_sigma_t(sigmas)  # noqa: SLF001 - its scaling
        return signal, noise
    signal = 1 - sigmas if _has_flow_sigmas(scheduler) else torch.ones_like(sigmas)
    return signal, sigmas
