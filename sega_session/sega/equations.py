"""SEGA's equations, as pure functions on tensors.

The numbers are the paper's (Brack et al., "SEGA: Instructing Text-to-Image Models using Semantic
Guidance", NeurIPS 2023, arXiv 2301.12247); where the paper leaves a choice, the authors' code in
diffusers decides. Predictions and guidance have the latents' shape ``(batch, channels, height,
width)``, dtype and device; nothing here leaves the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def concept_guidance(
    origin: Tensor,
    concept: Tensor,
    scale: float,
    threshold: float,
    mask: Tensor | None = None,
) -> Tensor:
    """Return one concept's guidance: its scaled direction where it is strongest (Eqs. 4 to 6).

    Args:
        origin: the prediction that the concept is measured against: the unconditional one in the
            paper, the one conditioned on the concept's opposite if it has one.
        concept: the prediction conditioned on the concept.
        scale: s_e, signed: negative to steer away from the concept.
        threshold: λ, 0 <= λ < 1, the quantile of the magnitudes, per image and per channel,
            below which an entry is set to zero. Inside a mask it is the quantile of the entries
            there, so that a small region is steered as strongly as a large one.
        mask: ``(1 or batch, 1, height, width)``, 0 to 1; None: the whole image.

    Returns:
        mask · scale · ψ where its magnitude reaches the quantile, elsewhere 0, for
        ψ = concept - origin.
    """
    direction = (concept - origin) * scale
    magnitude = direction.abs()
    # torch.quantile takes no half precision; a quantile cast back to it stays comparable.
    counted = magnitude.flatten(start_dim=2).float()
    if mask is None:
        quantile = upper_quantile(counted, threshold)
    else:
        inside = mask.flatten(start_dim=2) > 0
        quantile = torch.nanquantile(counted.masked_fill(~inside, torch.nan), threshold, dim=2)
    keep = magnitude >= quantile.to(direction.dtype)[:, :, None, None]
    kept = torch.where(keep, direction, 0)
    return kept if mask is None else kept * mask


def upper_quantile(values: Tensor, level: float) -> Tensor:
    """Return the quantile of the last dimension, equal to `torch.quantile` in every bit.

    That sorts all values, which can take longer than a small model. Here only those from the
    quantile upwards are sorted: a tenth of them at 0.9.

    Args:
        values: float32.
        level: 0 <= level < 1; between two values the quantile is interpolated linearly.
    """
    last = values.shape[-1] - 1
    # In float32 and not in Python's float64, as torch computes it; on the host.
    rank = float(torch.tensor(level, dtype=values.dtype) * last)
    below = int(rank)
    top = values.topk(last + 1 - below, dim=-1).values
    above = top[..., -1 if rank == below else -2]
    found = torch.lerp(top[..., -1], above, rank - below)
    # NaN counts as the largest value, and makes the quantile NaN.
    return found.masked_fill(top[..., 0].isnan(), torch.nan)


def weighted_sum(guidances: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the sum over i of g_i · γ_i, several concepts' guidance as one (Eq. 9)."""
    stacked = torch.stack(tuple(guidances))
    # Built on the host and moved without waiting: no copy comes back from the device.
    factors = torch.tensor(weights, dtype=stacked.dtype).to(stacked.device, non_blocking=True)
    return torch.einsum("c,cbijk->bijk", factors, stacked)


def with_momentum(guidance: Tensor, momentum: Tensor, momentum_scale: float) -> Tensor:
    """Return the guidance plus s_m times the momentum so far (Eq. 7)."""
    return guidance + momentum_scale * momentum


def update_momentum(momentum: Tensor, guidance: Tensor, momentum_beta: float) -> Tensor:
    """Return the next call's momentum, from this call's guidance with momentum (Eq. 8)."""
    return momentum_beta * momentum + (1 - momentum_beta) * guidance


def blended(edited: Tensor, unedited: Tensor, region: Tensor) -> Tensor:
    """Return edited latents inside a region, and unedited ones outside of it.

    Args:
        edited, unedited: latents after the same model call.
        region: ``(1 or batch, 1, height, width)``, 1 inside, 0 outside, between at soft edges.
    """
    return torch.where(region > 0, region * edited + (1 - region) * unedited, unedited)


def heat_map(guidances: Sequence[Tensor]) -> Tensor:
    """Return a map of where the guidance of one or several concepts acts.

    Args:
        guidances: one per model call.

    Returns:
        ``(batch, height, width)``, float32: the root mean square over calls and channels, divided
        by each image's largest value where that is not 0.
    """
    squares = sum(guidance.float().square().mean(dim=1) for guidance in guidances)
    found = torch.as_tensor(squares).sqrt()
    largest = found.amax(dim=(1, 2), keepdim=True)
    return found / torch.where(largest > 0, largest, torch.ones_like(largest))
