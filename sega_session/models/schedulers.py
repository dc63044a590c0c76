"""Fresh copies of a pipeline's scheduler: schedulers keep state, so every render needs its own."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..errors import InvalidValueError, UnsupportedPipelineError

ARGUMENTS = {"self", "model_output", "timestep", "sample", "eta", "generator"}
"""What a render can give to a scheduler's ``step``."""

DEFAULTED = "_use_default_values"
"""Where diffusers' configs note which settings were not given."""


def check_scheduler(scheduler: Any) -> None:
    """Raise UnsupportedPipelineError unless the scheduler can drive a U-Net's noise predictions."""
    name, config = type(scheduler).__name__, scheduler.config
    problem = ""
    if not hasattr(scheduler, "init_noise_sigma") or not hasattr(scheduler, "scale_model_input"):
        problem = "is for flow matching"
    elif str(config.get("variance_type")).startswith("learned"):
        problem = "expects a learned variance"
    elif config.get("noise_sampler_seed", 0) is None:
        problem = "draws other noise in every render (its noise_sampler_seed is None)"
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


def fresh_scheduler(scheduler: Any, num_inference_steps: int) -> Any:
    """A new scheduler with the same settings, its timesteps set.

    Raises:
        InvalidValueError: the scheduler cannot take that many steps.
        UnsupportedPipelineError: a library that it needs is missing.
    """
    # Pipelines correct settings that were left at their defaults (DDIM's clip_sample among them),
    # and from_config would take what is noted as a default back to it.
    config = {key: value for key, value in scheduler.config.items() if key != DEFAULTED}
    fresh = type(scheduler).from_config(config)
    longest = fresh.config.num_train_timesteps
    # Timesteps stay on the host: schedulers index host tables with them, and a timestep on the
    # device would be copied back at every step.
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
    """For each model call how much signal and noise its latents hold, as the model takes them.

    ``model input = signal · picture + noise · ε`` with signal² + noise² = 1, from the schedule
    that the model was trained with. (1, 0) at every call where the model does not predict ε, or
    where the scheduler knows no such schedule (EDM).
    """
    calls = scheduler.timesteps.tolist()
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is None or scheduler.config.get("prediction_type", "epsilon") != "epsilon":
        return ((1.0, 0.0),) * len(calls)
    # Some schedulers place their calls between the timesteps of the training.
    kept = np.interp(calls, np.arange(len(table)), table.double().cpu().numpy())
    return tuple((float(one) ** 0.5, float(1 - one) ** 0.5) for one in kept)
