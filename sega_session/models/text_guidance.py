"""Classifier-free guidance combined with the concepts' guidance; families may differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from ..state import Scene


def classifier_free_guidance(
    uncond: Tensor | None, text: Tensor, scene: Scene, guidances: Sequence[Tensor]
) -> Tensor:
    """Add classifier-free guidance and the concepts' guidance to the base prediction.

    That is ``ε_uncond + s_g · (ε_text - ε_uncond) + Σ guidances`` (SEGA, Eqs. 2 and 3), rescaled
    where the scene asks for it. With a ``guidance_scale`` of at most 1 the prompt's guidance is
    off, as in diffusers' pipelines, and the base is the text prediction. The arguments are those
    of `DiffusionModel.guided`.
    """
    if scene.guidance_scale <= 1 or uncond is None:
        return text + reduce(torch.add, guidances)
    guided = uncond + reduce(torch.add, [scene.guidance_scale * (text - uncond), *guidances])
    if scene.guidance_rescale:
        guided = rescaled(guided, text, scene.guidance_rescale)
    return guided


def rescaled(guided: Tensor, text: Tensor, share: float) -> Tensor:
    """Rescale a guided prediction to the standard deviation of the text prediction.

    Guidance raises that deviation, which overexposes images (Lin et al., "Common Diffusion Noise
    Schedules and Sample Steps are Flawed", arXiv 2305.08891, Eqs. 15 and 16).

    Args:
        guided: the guided prediction, ``(images, channels, height, width)``.
        text: the prediction conditioned on the prompt.
        share: φ, how much of the rescaled prediction is mixed in, 0 to 1.
    """
    deviations = [one.std(dim=tuple(range(1, one.ndim)), keepdim=True) for one in (text, guided)]
    return share * (guided * (deviations[0] / deviations[1])) + (1 - share) * guided
