"""Checks of diffusers' pipelines that the families share, and the pipelines' default settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from ..errors import (
    InvalidValueError,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
    warn_caller,
)


def check_parts(pipeline: Any, parts: Iterable[str]) -> None:
    """Raise UnsupportedPipelineError if one of the parts is None."""
    for part in parts:
        if getattr(pipeline, part) is None:
            raise UnsupportedPipelineError(
                f"the pipeline's {part} is None; allowed: one it was trained with. "
                "Load the whole checkpoint."
            )


def check_in_memory(pipeline: Any, networks: Iterable[str]) -> None:
    """Raise UnsupportedPipelineError if a network has shapes only.

    Under sequential offloading weights are elsewhere between calls: accelerate's hooks fetch them.
    """
    for name in networks:
        network = getattr(pipeline, name)
        if network is None:
            continue
        offloaded = any(hasattr(module, "_hf_hook") for module in network.modules())
        if not offloaded and any(tensor.is_meta for tensor in network.parameters()):
            raise UnsupportedPipelineError(
                f"the {name} is on the meta device, without weights; allowed: weights in memory. "
                "Load the checkpoint with sega_session.load_pipeline(name_or_path)."
            )


def check_size(height: int, width: int, factor: int) -> None:
    """Raise InvalidValueError unless height and width are multiples of a factor, in pixels."""
    for what, pixels in (("height", height), ("width", width)):
        if pixels % factor:
            below = pixels - pixels % factor
            raise InvalidValueError(
                what,
                pixels,
                f"a multiple of {factor} pixels, the model's factor",
                f"The nearest are {below} and {below + factor}."
                if below
                else f"The smallest is {factor}.",
            )


def check_clip_skip(clip_skip: int | None, layers: int) -> None:
    """Raise InvalidValueError if ``clip_skip`` leaves no layer of a text encoder, or of several.

    Args:
        clip_skip: the layers to leave out; None: none.
        layers: how many may be left out; 0: the family has no CLIP to leave layers out of.
    """
    if clip_skip is not None and clip_skip > layers:
        raise InvalidValueError(
            "clip_skip",
            clip_skip,
            f"None, or 1 to {layers}" if layers else "None with this model",
            "Most checkpoints need None, some 1.",
        )


def default_settings(pipeline: Any) -> tuple[int, float]:
    """Return the steps and the guidance scale that a pipeline itself has as defaults."""
    parameters = inspect.signature(type(pipeline).__call__).parameters
    return parameters["num_inference_steps"].default, parameters["guidance_scale"].default


def warn_if_cut(prompt: str, encoders: Iterable[tuple[Any, int]]) -> None:
    """Warn with PromptTruncatedWarning of the end of a prompt that no text encoder reads.

    Args:
        prompt: the prompt.
        encoders: each text encoder's tokenizer, and how many tokens it reads.
    """
    limit, cut = 0, prompt
    for tokenizer, tokens in encoders:
        found = tokenizer(prompt, return_tensors="pt", verbose=False).input_ids[0]
        # The last token that is read marks the end.
        rest = tokenizer.decode(found[tokens - 1 :], skip_special_tokens=True).strip()
        if len(rest) < len(cut) or not limit:
            limit, cut = tokens, rest
    warn_of_cut(cut, limit)


def warn_of_cut(cut: str, limit: int) -> None:
    """Warn with PromptTruncatedWarning if the end of a prompt was cut.

    Args:
        cut: that end; empty: nothing was cut.
        limit: the tokens that are read.
    """
    if cut:
        warn_caller(
            f"the text encoder reads {limit} tokens; this end of the prompt has no effect: "
            f"{cut!r}. Shorten the prompt.",
            PromptTruncatedWarning,
        )
