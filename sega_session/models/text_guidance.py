"""Classifier-free guidance combined with the concepts' guidance; families may differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor


def classifier_free_guidance(
    uncond: Tensor | None, text: Tensor, guidance_scale: float, guidances: Sequence[Tensor]
) -> Tensor:
    """Add classifier-free guidance and the concepts' guidance to the base prediction.

    That is ``ε_uncond + s_g · (ε_text - ε_uncond) + Σ guidances`` (SEGA, Eqs. 2 and 3). With a
    ``guidance_scale`` of at most 1 the prompt's guidance is off, as in diffusers' pipelines, and
    the base is the text prediction. The arguments are those of `DiffusionModel.guided`.
    """
    if guidance_scale > 1 and uncond is not None:
        return uncond + reduce(torch.add, [guidance_scale * (text - uncond), *guidances])
    return text + reduce(torch.add, guidances)
