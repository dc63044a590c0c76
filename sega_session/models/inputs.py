"""Tensors that a session is given or draws: checked, copied to its device, named."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ..errors import InvalidValueError, NotFiniteError, UnsupportedPipelineError
from ..models import Denoiser, own
from ..state import Scene

Shape = tuple[int, int, int, int]


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raise InvalidValueError unless ``value`` is one of the choices."""
    if value not in choices:
        raise InvalidValueError(what, value, f"one of {', '.join(map(repr, choices))}")


def check_unmoved(denoiser: Denoiser, device: torch.device, dtype: torch.dtype) -> None:
    """Raise UnsupportedPipelineError unless the pipeline still is where a session began."""
    if (denoiser.device, denoiser.dtype) != (device, dtype):
        raise UnsupportedPipelineError(
            f"the pipeline is on {denoiser.device} in {denoiser.dtype} now; allowed: {device} and "
            f"{dtype}, as when the session began. Move it back, or begin a new session."
        )


def start(
    denoiser: Denoiser, scene: Scene, shape: Shape, noise: Tensor | None
) -> tuple[Any, Tensor, dict[str, Any]]:
    """What a render begins with: a scheduler, the scaled latents, and further step arguments.

    Args:
        noise: latents that the user gave; None: drawn from the seeds.
    """
    scheduler = denoiser.fresh_scheduler(scene.num_inference_steps)
    drawn_from = generators(scene)
    if noise is None:
        noise = draw_noise(denoiser, shape, drawn_from)
    # The generators go on where the noise ended: stochastic schedulers draw from them.
    offered = {"eta": scene.eta, "generator": drawn_from}
    accepted = inspect.signature(scheduler.step).parameters
    step_arguments = {name: value for name, value in offered.items() if name in accepted}
    return scheduler, noise * scheduler.init_noise_sigma, step_arguments


def generators(scene: Scene) -> list[torch.Generator]:
    """A generator for each image, on the host, so that a seed means the same on every device."""
    return [torch.Generator().manual_seed(seed) for seed in scene.seeds]


def draw_noise(denoiser: Denoiser, shape: Shape, drawn_from: list[torch.Generator]) -> Tensor:
    """Initial latents, each image's from its own generator, on the host."""
    noise: Tensor = randn_tensor(shape, drawn_from, denoiser.device, denoiser.dtype)
    return noise


def own_noise(latents: Tensor | None, shape: Shape, denoiser: Denoiser) -> Tensor | None:
    """A copy of latents that a user gave. Raises InvalidValueError."""
    if latents is None:
        return None
    given = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
    if given != shape:
        raise InvalidValueError(
            "shape of latents",
            given,
            f"a tensor {shape}: seeds, channels, height and width over the VAE's factor",
            "Give as many seeds as latents, and the height and width they are for.",
        )
    return own("latents", latents, denoiser.device, denoiser.dtype)


def own_guidance(
    sem_guidance: Sequence[Tensor] | Tensor | None, calls: int, shape: Shape, denoiser: Denoiser
) -> Tensor | None:
    """A copy of recorded guidance, ``(calls or more, *shape)``. Raises InvalidValueError."""
    if sem_guidance is None:
        return None
    given = (
        [f"{type(one).__name__} {tuple(getattr(one, 'shape', ()))}" for one in sem_guidance]
        if isinstance(sem_guidance, (Tensor, Sequence)) and len(sem_guidance)
        else [type(sem_guidance).__name__]
    )
    if len(given) < calls or set(given) != {f"Tensor {shape}"}:
        raise InvalidValueError(
            "sem_guidance",
            f"{len(given)} x {', '.join(sorted(set(given)))}",
            f"a tensor {shape} for each of the {calls} model calls, or more",
            "Record it with the same steps, scheduler, size and number of images.",
        )
    stacked = torch.stack(tuple(sem_guidance))
    return own("sem_guidance", stacked, denoiser.device, denoiser.dtype)


def check_finite(latents: Tensor) -> None:
    """Raise NotFiniteError where a render has overflowed."""
    if not bool(latents.isfinite().all()):
        raise NotFiniteError(
            f"the latents overflowed in {latents.dtype}; allowed: finite numbers. Lower the "
            "concepts' scales or guidance_scale, or load the pipeline in another precision."
        )


def digest(embeds: Tensor) -> str:
    """Names embeddings by their shape and values."""
    values = embeds.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(repr(values.shape).encode() + values.numpy().tobytes()).hexdigest()[:16]
