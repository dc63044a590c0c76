"""Tensors that a session is given or draws: checked, copied to its device, named."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from .denoisers import Denoiser
from .errors import InvalidValueError

Shape = tuple[int, int, int, int]


def check_choice(what: str, value: object, choices: Sequence[str]) -> None:
    """Raise InvalidValueError unless ``value`` is one of the choices."""
    if value not in choices:
        raise InvalidValueError(what, value, f"one of {', '.join(map(repr, choices))}")


def draw_noise(shape: Shape, generators: list[Generator], denoiser: Denoiser) -> Tensor:
    """Standard-normal latents, each image's from its own generator on the host."""
    noise: Tensor = randn_tensor(shape, generators, denoiser.device, denoiser.dtype)
    return noise


def own_noise(latents: Tensor | None, shape: Shape, denoiser: Denoiser) -> Tensor | None:
    """A copy of latents that a user gave. Raises InvalidValueError."""
    if latents is None:
        return None
    if not isinstance(latents, Tensor) or tuple(latents.shape) != shape:
        raise InvalidValueError(
            "shape of latents",
            tuple(latents.shape) if isinstance(latents, Tensor) else latents,
            f"{shape}: seeds, channels, height and width over the VAE's factor",
            "Give as many seeds as latents, and the height and width they are for.",
        )
    if not bool(torch.isfinite(latents).all()):
        raise InvalidValueError("latents", "not finite", "finite numbers")
    return latents.detach().to(denoiser.device, denoiser.dtype, copy=True)


def own_guidance(
    sem_guidance: Sequence[Tensor] | Tensor | None, calls: int, shape: Shape, denoiser: Denoiser
) -> Tensor | None:
    """A copy of recorded guidance, ``(calls or more, *shape)``. Raises InvalidValueError."""
    if sem_guidance is None:
        return None
    kinds = {
        f"{type(guidance).__name__} {tuple(getattr(guidance, 'shape', ()))}"
        for guidance in sem_guidance
    }
    if len(sem_guidance) < calls or kinds != {f"Tensor {shape}"}:
        raise InvalidValueError(
            "sem_guidance",
            f"{len(sem_guidance)} {', '.join(sorted(kinds))}",
            f"a tensor {shape} for each of the {calls} model calls, or more",
            "Record it with the same steps, scheduler, size and number of images.",
        )
    return torch.stack(tuple(sem_guidance)).detach().to(denoiser.device, denoiser.dtype)


def digest(embeds: Tensor) -> str:
    """Names embeddings by their shape and values."""
    values = embeds.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(repr(values.shape).encode() + values.numpy().tobytes()).hexdigest()[:16]


def step_arguments(scheduler: Any, eta: float, generators: list[Generator]) -> dict[str, Any]:
    """What this scheduler's ``step`` takes beside prediction, timestep and latents."""
    offered = {"eta": eta, "generator": generators}
    accepted = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in offered.items() if name in accepted}
