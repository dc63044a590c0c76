"""For people who come from diffusers' `SemanticStableDiffusionPipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from .denoisers import denoiser_for
from .errors import InvalidValueError
from .session import EditSession


def from_diffusers(
    pipeline: Any,
    prompt: str | Sequence[str],
    height: int | None = None,
    width: int | None = None,
    num_inference_steps: int = 50,
    guidance_scale: float = 7.5,
    negative_prompt: str | Sequence[str] | None = None,
    num_images_per_prompt: int = 1,
    eta: float = 0.0,
    generator: Generator | Sequence[Generator] | None = None,
    latents: Tensor | None = None,
    *,
    editing_prompt: str | Sequence[str] | None = None,
    editing_prompt_embeddings: Tensor | None = None,
    reverse_editing_direction: bool | Sequence[bool] = False,
    edit_guidance_scale: float | Sequence[float] = 5,
    edit_warmup_steps: int | Sequence[int] = 10,
    edit_cooldown_steps: int | Sequence[int | None] | None = None,
    edit_threshold: float | Sequence[float] = 0.9,
    edit_momentum_scale: float = 0.1,
    edit_mom_beta: float = 0.4,
    edit_weights: Sequence[float] | None = None,
    sem_guidance: Sequence[Tensor] | Tensor | None = None,
) -> EditSession:
    """The session whose first render is what ``SemanticStableDiffusionPipeline(...)`` would draw.

    Takes the arguments of that pipeline's call, in its order and with its defaults, but for those
    on the output, which belong to `EditSession.render`. Concepts are named after their prompts;
    a prompt that is given twice gets a number.

    What differs, on purpose: a list shorter than the concepts is refused (there: IndexError), a
    negative weight too (there: silently 0), and a negative scale becomes an inverted concept,
    which is the same. Generators on the host that have not been used yet, one an image, become
    the session's seeds. From any other the initial latents are drawn as there, and only the noise
    that stochastic schedulers add later differs.

    Args:
        pipeline: a `diffusers.StableDiffusionPipeline`.
        prompt: one prompt (a session has one; open a session for each).

    Raises:
        InvalidValueError: several prompts, a list shorter than the concepts, or a value outside
            the ranges of `EditSession` and `Concept`.
    """
    seeds, latents = _noise(pipeline, height, width, num_images_per_prompt, generator, latents)
    session = EditSession(
        pipeline,
        _one("prompt", prompt),
        negative_prompt=_one("negative_prompt", negative_prompt or ""),
        seed=seeds,
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        height=height,
        width=width,
        eta=eta,
        latents=latents,
        sem_guidance=sem_guidance,
    )
    session.momentum(scale=edit_momentum_scale, beta=edit_mom_beta)

    if editing_prompt_embeddings is None:
        prompts = [editing_prompt] if isinstance(editing_prompt, str) else editing_prompt or []
        embeddings: list[Tensor | None] = [None] * len(prompts)
    else:
        embeddings = list(editing_prompt_embeddings)
        prompts = editing_prompt or [f"embedding {i + 1}" for i in range(len(embeddings))]
    count = len(embeddings)
    prompts = _each("editing_prompt", prompts, count)
    scales = _each("edit_guidance_scale", edit_guidance_scale, count)
    inverted = _each("reverse_editing_direction", reverse_editing_direction, count)
    thresholds = _each("edit_threshold", edit_threshold, count)
    warmups = _each("edit_warmup_steps", edit_warmup_steps, count)
    cooldowns = _each("edit_cooldown_steps", edit_cooldown_steps, count)
    weights = _each("edit_weights", edit_weights or 1.0, count)
    for i, (concept, embeds) in enumerate(zip(prompts, embeddings, strict=True)):
        repeated = prompts[:i].count(concept)
        session.add(
            concept,
            name=f"{concept} {repeated + 1}" if repeated else concept,
            scale=abs(scales[i]),
            threshold=thresholds[i],
            warmup=warmups[i],
            cooldown=cooldowns[i],
            weight=weights[i],
            inverted=bool(inverted[i]) != (scales[i] < 0),
            prompt_embeds=embeds,
        )
    return session


def _noise(
    pipeline: Any,
    height: int | None,
    width: int | None,
    images: int,
    generator: Generator | Sequence[Generator] | None,
    latents: Tensor | None,
) -> tuple[list[int], Tensor | None]:
    """The session's seeds, and the initial latents where seeds alone would not give them."""
    if isinstance(generator, Sequence):
        if len(generator) != images:
            raise InvalidValueError(
                "generator", f"a list of {len(generator)}", f"one, or a list of {images}"
            )
        seeds = [g.initial_seed() for g in generator]
        if latents is None and all(map(_is_unused_on_host, generator)):
            return seeds, None
    else:
        first = generator.initial_seed() if generator else 0
        seeds = [first + i for i in range(images)]
        if latents is None and images == 1 and generator and _is_unused_on_host(generator):
            return seeds, None
    if latents is None:
        denoiser = denoiser_for(pipeline)
        default_height, default_width = denoiser.default_size()
        shape = denoiser.latents_shape(height or default_height, width or default_width)
        latents = randn_tensor((images, *shape), generator, denoiser.device, denoiser.dtype)
    return seeds, latents


def _is_unused_on_host(generator: Generator) -> bool:
    unused = Generator(generator.device).manual_seed(generator.initial_seed())
    return generator.device.type == "cpu" and torch.equal(generator.get_state(), unused.get_state())


def _one(what: str, text: str | Sequence[str]) -> str:
    """The one text, or the only one in a list."""
    if isinstance(text, str):
        return text
    if len(text) != 1:
        raise InvalidValueError(
            what, text, "one text", "A session has one prompt: open a session for each."
        )
    return text[0]


def _each(what: str, value: Any, count: int) -> list[Any]:
    """One value for each concept: a list's first ``count``, or the same for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) < count:
        raise InvalidValueError(what, value, f"one value, or one for each of {count} concepts")
    return list(value[:count])
