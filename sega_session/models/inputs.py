"""Tensors that a user gives, and initial noise: checked, and on the model's device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from ..errors import (
    InvalidValueError,
    NoEffectWarning,
    NotFiniteError,
    UnsupportedPipelineError,
    warn_caller,
)
from ..state import Scene
from .base import Embeddings, LatentsShape, ModelSpec, Origin


def check_spec(now: ModelSpec, then: ModelSpec) -> None:
    """Raise UnsupportedPipelineError if the model was moved or cast since the session began."""
    if (now.device, now.dtype) != (then.device, then.dtype):
        raise UnsupportedPipelineError(
            f"the pipeline is on {now.device} in {now.dtype} now; allowed: {then.device} and "
            f"{then.dtype}, as when the session began. Move it back, or call refresh_model()."
        )


def start_from(
    spec: ModelSpec, seeds: Sequence[int], shape: LatentsShape, noise: Tensor | None
) -> Origin:
    """Return the start of a render.

    Args:
        spec: the model's device and precision.
        seeds: one per image.
        shape: of the latents.
        noise: initial noise that the user gave; None: it is drawn from the seeds, and stochastic
            samplers continue to draw from the same generators.
    """
    generators = _generators(seeds)
    if noise is None:
        noise = randn_tensor(shape, generators, spec.device, spec.dtype)
    return Origin(noise, generators)


def draw_noise(spec: ModelSpec, seeds: Sequence[int], shape: LatentsShape) -> Tensor:
    """Draw initial noise, each image's from its own seed."""
    return start_from(spec, seeds, shape, None).noise


def draw_further_noise(origin: Origin) -> Tensor:
    """Draw more noise in the shape of the initial one, each image's from its own generator."""
    noise = origin.noise
    drawn: Tensor = randn_tensor(noise.shape, list(origin.generators), noise.device, noise.dtype)
    return drawn


def copy_checked(what: str, tensor: Tensor, spec: ModelSpec) -> Tensor:
    """Return a copy of a user's tensor, on the model's device and in its precision.

    Raises:
        InvalidValueError: the tensor is not floating-point, or not all of it is finite.
    """
    if not tensor.is_floating_point():
        raise InvalidValueError(what, tensor.dtype, "floating-point numbers")
    if not bool(tensor.isfinite().all()):
        raise InvalidValueError(what, "not finite", "finite numbers")
    return tensor.detach().to(spec.device, spec.dtype, copy=True)


def copy_noise(latents: Tensor | None, shape: LatentsShape, spec: ModelSpec) -> Tensor | None:
    """Return a checked copy of initial latents that a user gave. Raises InvalidValueError."""
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
    return copy_checked("latents", latents, spec)


def copy_guidance(
    sem_guidance: Sequence[Tensor] | Tensor | None,
    calls: int,
    shape: LatentsShape,
    spec: ModelSpec,
) -> Tensor | None:
    """Return a checked copy of recorded guidance, ``(calls or more, *shape)``.

    Raises:
        InvalidValueError: there are fewer tensors than model calls, or one has another shape.
    """
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
    return copy_checked("sem_guidance", torch.stack(tuple(sem_guidance)), spec)


def copy_embeddings(
    embeds: Tensor, images: int, tokens: int, width: int, spec: ModelSpec
) -> Tensor:
    """Return a checked copy of embeddings, ``(1 or images, tokens, width)``.

    Args:
        embeds: ``(tokens, width)`` or ``(1 or images, tokens, width)``.

    Raises:
        InvalidValueError: the embeddings have another shape, or are not finite numbers.
    """
    text = (tokens, width)
    copied = _copy_shaped("prompt_embeds", embeds, [text, (1, *text), (images, *text)], spec)
    return copied[None] if copied.ndim == 2 else copied


def copy_pooled(pooled: Tensor | None, images: int, width: int, spec: ModelSpec) -> Tensor:
    """Return a checked copy of pooled embeddings, ``(1 or images, width)``.

    Raises:
        InvalidValueError: there are none, they have another shape, or are not finite numbers.
    """
    return _copy_shaped("pooled_prompt_embeds", pooled, [(1, width), (images, width)], spec)


def _copy_shaped(
    what: str, tensor: Tensor | None, allowed: Sequence[tuple[int, ...]], spec: ModelSpec
) -> Tensor:
    shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
    if not isinstance(tensor, Tensor) or shape not in allowed:
        raise InvalidValueError(
            f"shape of {what}",
            shape,
            " or ".join(map(str, dict.fromkeys(allowed))),
            "Take them from the pipeline's own encode_prompt().",
        )
    return copy_checked(what, tensor, spec)


def check_no_pooled(embeddings: Embeddings) -> None:
    """Raise InvalidValueError if pooled embeddings are given to a family that has none."""
    if embeddings.pooled_prompt_embeds is not None:
        raise InvalidValueError(
            "pooled_prompt_embeds", "a tensor", "None with this model", "Leave it out."
        )


def given_embeddings(
    embeds: Tensor | None, pooled: Tensor | None, spec: ModelSpec
) -> dict[str, Embeddings]:
    """Return embeddings that a user gave, by their digest; empty: none were given.

    Raises:
        InvalidValueError: something is no tensor, or the pooled embeddings are alone.
    """
    if embeds is None:
        if pooled is not None:
            raise InvalidValueError(
                "pooled_prompt_embeds", "a tensor", "None without prompt_embeds", "Pass both."
            )
        return {}
    embeddings = Embeddings(embeds, pooled)
    return {digest_of(embeddings, spec): embeddings}


def check_guidance(spec: ModelSpec, scene: Scene) -> None:
    """Check a scene's guidance against a model.

    Raises:
        InvalidValueError: the scene has a negative prompt, and the model no unconditional
            prediction.

    Warns:
        NoEffectWarning: there is no classifier-free guidance that could be rescaled, or the model
            takes no guidance scale.
    """
    if spec.distilled and (scene.negative_prompt or scene.negative_embedding):
        raise InvalidValueError(
            "negative_prompt",
            scene.negative_prompt,
            "'' with a guidance-distilled model, which has no unconditional prediction",
            "Add the words as a concept with inverted=True instead.",
        )
    if scene.guidance_scale and spec.unguided_scale == math.inf:
        warn_caller(
            f"guidance_scale={scene.guidance_scale:g} has no effect: the model takes none. "
            "Leave it out.",
            NoEffectWarning,
        )
    if scene.guidance_rescale and (spec.distilled or scene.guidance_scale <= spec.unguided_scale):
        why = (
            "the model is guidance-distilled"
            if spec.distilled
            else f"guidance_scale is at most {spec.unguided_scale:g}"
        )
        warn_caller(
            f"guidance_rescale={scene.guidance_rescale:g} has no effect: {why}. Set it to 0.",
            NoEffectWarning,
        )


def copy_tensors(embeddings: Embeddings, spec: ModelSpec) -> Embeddings:
    """Return copies of embeddings with a row for each image, or one for all."""
    embeds, pooled = embeddings.prompt_embeds, embeddings.pooled_prompt_embeds
    rows = embeds[None] if embeds.ndim == 2 else embeds
    return Embeddings(
        rows.detach().to(spec.device, spec.dtype, copy=True),
        None if pooled is None else pooled.detach().to(spec.device, spec.dtype, copy=True),
    )


def check_finite(
    what: str, tensor: Tensor, remedy: str = "Lower the concepts' scales or guidance_scale"
) -> None:
    """Raise NotFiniteError if a tensor has overflowed.

    Args:
        what: the tensor's name in the message, in the plural.
        tensor: the tensor.
        remedy: what to do, besides loading the pipeline in another precision.
    """
    if not bool(tensor.isfinite().all()):
        raise NotFiniteError(
            f"the {what} overflowed in {tensor.dtype}; allowed: finite numbers. {remedy}, or load "
            "the pipeline in another precision."
        )


def digest_of(embeddings: Embeddings, spec: ModelSpec) -> str:
    """Return a digest of the embeddings that `copy_tensors` returns, 16 hexadecimal digits."""
    copies = copy_tensors(embeddings, spec)
    digest = hashlib.sha256()
    for tensor in (copies.prompt_embeds, copies.pooled_prompt_embeds):
        if tensor is not None:
            values = tensor.detach().to("cpu", torch.float32).contiguous()
            digest.update(repr(values.shape).encode() + values.numpy().tobytes())
    return digest.hexdigest()[:16]


def _generators(seeds: Sequence[int]) -> list[Generator]:
    """Return a generator for each image, on the host: a seed means the same on every device."""
    return [Generator().manual_seed(seed) for seed in seeds]
