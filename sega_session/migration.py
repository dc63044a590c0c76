"""For users of diffusers' `SemanticStableDiffusionPipeline`: its arguments as a session."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from .errors import InvalidValueError
from .models import as_model
from .session import EditSession
from .state.fields import check_integer


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
    output_type: str = "pil",
    return_dict: bool = True,
    callback: object = None,
    callback_steps: int = 1,
    editing_prompt: str | Sequence[str] | None = None,
    editing_prompt_embeddings: Tensor | None = None,
    reverse_editing_direction: bool | Sequence[bool] = False,
    edit_guidance_scale: float | Sequence[float] = 5,
    edit_warmup_steps: float | Sequence[float] = 10,
    edit_cooldown_steps: float | Sequence[float | None] | None = None,
    edit_threshold: float | Sequence[float] = 0.9,
    edit_momentum_scale: float = 0.1,
    edit_mom_beta: float = 0.4,
    edit_weights: Sequence[float] | None = None,
    sem_guidance: Sequence[Tensor] | Tensor | None = None,
) -> EditSession:
    """Return the session whose first render equals ``SemanticStableDiffusionPipeline(...)``.

    Accepts the arguments of that pipeline's call, in its order and with its defaults. Those for
    the output belong to `EditSession.render`: other values than their defaults are refused with a
    message that says what to pass there. Concepts are named after their prompts; a prompt that is
    given twice gets a number.

    Intended differences: values that `Concept` and `EditSession` do not allow are refused, such as
    negative weights (there: silently 0), a cool-down before the warm-up, momentum outside its
    range, and a list shorter than the concepts (there: IndexError). A negative scale becomes an
    inverted concept, which is equivalent. Unused generators on the host, one per image, become the
    session's seeds. Other generators give the initial latents as they do there; only the noise that
    stochastic schedulers add later differs.

    Args:
        pipeline: a `diffusers.SemanticStableDiffusionPipeline` or `StableDiffusionPipeline`.
        prompt: one prompt (a session has one; open a session for each).

    Raises:
        InvalidValueError: several prompts, a list shorter than the concepts, or a value outside
            the ranges of `EditSession` and `Concept`; an argument that belongs to `render`.
    """
    _check_output(output_type, return_dict=return_dict, callback=callback)
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
        # An empty text turns the editing off there, as None does.
        texts = editing_prompt or []
        prompts = [texts] if isinstance(texts, str) else texts
        embeddings: list[Tensor | None] = [None] * len(prompts)
    else:
        embeddings = list(editing_prompt_embeddings)
        prompts = editing_prompt or [f"embedding {i + 1}" for i in range(len(embeddings))]
    count = len(embeddings)
    prompts = _each("editing_prompt", prompts, count)
    scales = _each("edit_guidance_scale", edit_guidance_scale, count)
    inverted = _each("reverse_editing_direction", reverse_editing_direction, count)
    thresholds = _each("edit_threshold", edit_threshold, count)
    warmups = [_call(one) for one in _each("edit_warmup_steps", edit_warmup_steps, count)]
    cooldowns = [_call(one) for one in _each("edit_cooldown_steps", edit_cooldown_steps, count)]
    weighted = edit_weights is not None and len(edit_weights) > 0
    weights = _each("edit_weights", edit_weights if weighted else 1.0, count)
    for i, (concept, embeds) in enumerate(zip(prompts, embeddings, strict=True)):
        # The reference multiplies by the scale, so a negative one reverses the direction.
        turned = isinstance(scales[i], Real) and scales[i] < 0
        session.add(
            concept,
            name=_free_name(concept, session),
            scale=-scales[i] if turned else scales[i],
            threshold=thresholds[i],
            warmup=warmups[i],
            cooldown=cooldowns[i],
            weight=weights[i],
            inverted=bool(inverted[i]) != turned,
            prompt_embeds=embeds,
        )
    return session


def _check_output(output_type: str, *, return_dict: bool, callback: object) -> None:
    """Refuse what a session cannot honour before it renders. Raises InvalidValueError."""
    if output_type != "pil":
        hint = f"Pass it to render(output_type={output_type!r})."
        raise InvalidValueError("output_type", output_type, '"pil"', hint)
    if return_dict is not True:
        hint = "render() returns a Render with images and nsfw_content_detected."
        raise InvalidValueError("return_dict", return_dict, "True", hint)
    if callback is not None:
        hint = (
            "Pass render(callback_on_step_end=f): it calls f(session, call, timestep, "
            '{"latents": latents}) after each model call.'
        )
        raise InvalidValueError("callback", callback, "None", hint)


def _call(step: Any) -> Any:
    """Return the first model call that is not before a step, which can be between two calls."""
    fraction = isinstance(step, float) and math.isfinite(step)
    return math.ceil(step) if fraction else step


def _free_name(prompt: str, session: EditSession) -> str:
    """Return the prompt, followed by a number if a concept has that name already."""
    taken = {concept.name for concept in session.concepts}
    names = (prompt, *(f"{prompt} {number}" for number in range(2, len(taken) + 2)))
    return next(name for name in names if name not in taken)


def _noise(
    pipeline: Any,
    height: int | None,
    width: int | None,
    images: int,
    generator: Generator | Sequence[Generator] | None,
    latents: Tensor | None,
) -> tuple[list[int], Tensor | None]:
    """Return the session's seeds, and the initial latents unless the seeds alone give them."""
    check_integer("num_images_per_prompt", images, at_least=1)
    generators = list(generator) if isinstance(generator, Sequence) else [generator or Generator()]
    if not all(isinstance(one, Generator) for one in generators):
        raise InvalidValueError(
            "generator", generator, "a torch.Generator, a list of them, or None"
        )
    if isinstance(generator, Sequence) and len(generators) != images:
        raise InvalidValueError(
            "generator", f"a list of {len(generators)}", f"one, or a list of {images}"
        )
    one_an_image = len(generators) == images
    seeds = (
        [one.initial_seed() for one in generators]
        if one_an_image
        else [(generators[0].initial_seed() + i) % 2**64 for i in range(images)]
    )
    seeds_suffice = generator and one_an_image and all(map(_is_unused_on_host, generators))
    if latents is None and not seeds_suffice:
        # A session checks the size and has the shape of the latents.
        shape = EditSession(pipeline, "", seed=seeds, height=height, width=width).latents_shape
        spec = as_model(pipeline).spec
        latents = randn_tensor(shape, generator, spec.device, spec.dtype)
    return seeds, latents


def _is_unused_on_host(generator: Generator) -> bool:
    unused = Generator(generator.device).manual_seed(generator.initial_seed())
    return generator.device.type == "cpu" and torch.equal(generator.get_state(), unused.get_state())


def _one(what: str, text: Any) -> Any:
    """Return the text, or the only one in a list."""
    if not isinstance(text, (list, tuple)):
        return text
    if len(text) != 1:
        raise InvalidValueError(
            what, text, "one text", "A session has one prompt: open a session for each."
        )
    return text[0]


def _each(what: str, value: Any, count: int) -> list[Any]:
    """Return one value per concept: the first ``count`` of a list, or the same for all."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) < count:
        raise InvalidValueError(what, value, f"one value, or one for each of {count} concepts")
    return list(value[:count])
