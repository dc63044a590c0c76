"""Samplers over diffusers' schedulers.

Schedulers keep state, so every run uses a new one, and the user's own is never changed.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Self

import numpy as np
from torch import Tensor

from ..errors import InvalidValueError, UnsupportedPipelineError
from .base import Origin

ARGUMENTS = {"self", "model_output", "timestep", "sample", "eta", "generator"}
"""The arguments of a scheduler's ``step`` that a run can pass."""

DEFAULTED = "_use_default_values"
"""The key under which diffusers' configs list the settings that were not given."""


def check_scheduler(scheduler: Any) -> None:
    """Raise UnsupportedPipelineError unless the scheduler can drive a U-Net's noise predictions."""
    name, config = type(scheduler).__name__, scheduler.config
    problem = ""
    if not hasattr(scheduler, "init_noise_sigma") or not hasattr(scheduler, "scale_model_input"):
        problem = "is for flow matching"
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
            f"the pipeline's scheduler, {name}, {problem}; allowed: a scheduler of Stable "
            "Diffusion, such as DDIM, PNDM, Euler, DPM++ or UniPC. Set one with "
            "pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)."
        )


class SchedulerSampler:
    """A `Sampler` over a diffusers scheduler.

    Args:
        scheduler: the scheduler whose settings are used. It is not changed.
        steps: its ``num_inference_steps``.
        eta: DDIM's noise, 0 to 1; passed only to schedulers that accept it.

    Raises:
        InvalidValueError: the scheduler does not support that many steps.
        UnsupportedPipelineError: a library that the scheduler needs is missing.
    """

    def __init__(self, scheduler: Any, steps: int, eta: float = 0.0) -> None:
        self._scheduler = scheduler
        self._steps = steps
        self._eta = eta
        self._shares = signal_and_noise(fresh_scheduler(scheduler, steps))

    @property
    def calls(self) -> int:
        """The number of model calls; Heun and PNDM make more than they have steps."""
        return len(self._shares)

    def start(self, origin: Origin) -> SchedulerRun:
        """Begin a run from ``origin.noise``, scaled by the scheduler's ``init_noise_sigma``."""
        scheduler = fresh_scheduler(self._scheduler, self._steps)
        offered = {"eta": self._eta, "generator": list(origin.generators)}
        accepted = inspect.signature(scheduler.step).parameters
        arguments = {name: value for name, value in offered.items() if name in accepted}
        return SchedulerRun(scheduler, origin.noise * scheduler.init_noise_sigma, arguments)

    def signal_and_noise(self, call: int) -> tuple[float, float]:
        """See `Sampler.signal_and_noise`."""
        return self._shares[call]


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
        scaled: Tensor = self._scheduler.scale_model_input(latents, self._host_timestep)
        return scaled

    def step(self, prediction: Tensor) -> None:
        """See `SamplerRun.step`."""
        self.latents = self._scheduler.step(
            prediction, self._host_timestep, self.latents, **self._arguments
        ).prev_sample
        self._call += 1

    def fork(self) -> Self:
        """See `SamplerRun.fork`."""
        other = copy.copy(self)
        other._scheduler = copy.deepcopy(self._scheduler)  # noqa: SLF001 - of the same class
        if "generator" in self._arguments:
            clones = [one.clone_state() for one in self._arguments["generator"]]
            other._arguments = {**self._arguments, "generator": clones}  # noqa: SLF001
        return other

    @property
    def _host_timestep(self) -> Tensor:
        # Schedulers index tables on the host with it, so it must not be on the device.
        timestep: Tensor = self._scheduler.timesteps[self._call]
        return timestep


def fresh_scheduler(scheduler: Any, num_inference_steps: int) -> Any:
    """Return a new scheduler with the same settings, its timesteps set, on the host.

    Raises:
        InvalidValueError: the scheduler does not support that many steps.
        UnsupportedPipelineError: a library that it needs is missing.
    """
    # Pipelines correct settings that were left at their defaults (DDIM's clip_sample among them);
    # from_config would reset what is listed as a default.
    config = {key: value for key, value in scheduler.config.items() if key != DEFAULTED}
    fresh = type(scheduler).from_config(config)
    longest = fresh.config.num_train_timesteps
    try:
        fresh.set_timesteps(num_inference_steps)
        fits = num_inference_steps <= longest and bool(fresh.timesteps.max() < longest)
        reason = f"the model was trained with {longest}"
    except ImportError as error:
        raise UnsupportedPipelineError(f"{type(scheduler).__name__}: {error}") from error
    except (ValueError, IndexError) as error:
        fits, reason = False, f"{type(scheduler).__name__} says: {error}"
    if not fits:
        raise InvalidValueError(
            "num_inference_steps",
            num_inference_steps,
            f"an integer, at least 1, that the scheduler can take ({reason})",
            "Try 50.",
        )
    return fresh


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
