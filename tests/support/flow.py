"""SEGA on flow-matching models, written from the equations: a plain loop, without any cache."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

Predictions = Mapping[str, Tensor]


@frozen
class Direction:
    """One concept: from one text's prediction to another's, at a signed scale."""

    text: str
    against: str
    scale: float = 5.0
    threshold: float = 0.9
    warmup: int = 0
    weight: float = 1.0


def masked(direction: Tensor, threshold: float) -> Tensor:
    """Keep the entries that reach the quantile of their image and channel."""
    kept = torch.zeros_like(direction)
    for image in range(direction.shape[0]):
        for channel in range(direction.shape[1]):
            one = direction[image, channel]
            limit = torch.quantile(one.abs().float().flatten(), threshold)
            kept[image, channel] = torch.where(one.abs() >= limit.to(one.dtype), one, 0 * one)
    return kept


@torch.no_grad()
def denoise(
    scheduler: Any,
    latents: Tensor,
    predict: Callable[[Tensor, Tensor, str], Tensor],
    base: Callable[[Predictions], Tensor],
    texts: Sequence[str],
    directions: Sequence[Direction] = (),
    momentum: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Return the final latents.

    Args:
        scheduler: its timesteps are set.
        latents: the initial noise.
        predict: returns the velocity at latents, a timestep and a text.
        base: returns the prediction without concepts, from those of the texts.
        texts: those that ``base`` needs.
        directions: the concepts.
        momentum: s_m and β_m.
    """
    scheduler = copy.deepcopy(scheduler)
    scale, beta = momentum
    nu = torch.zeros_like(latents)
    needed = dict.fromkeys([*texts, *(t for d in directions for t in (d.text, d.against))])
    for call, timestep in enumerate(scheduler.timesteps):
        found = {text: predict(latents, timestep, text) for text in needed}
        parts = [
            masked(d.scale * (found[d.text] - found[d.against]), d.threshold) for d in directions
        ]
        warm = [call >= d.warmup for d in directions]
        total = sum((d.weight * part for d, part in zip(directions, parts, strict=True)), 0 * nu)
        total = total + scale * nu
        nu = beta * nu + (1 - beta) * total
        if not all(warm):
            shares = [d.weight * one for d, one in zip(directions, warm, strict=True)]
            total = sum(
                (w / sum(shares) * part for w, part in zip(shares, parts, strict=True) if w), 0 * nu
            )
        latents = scheduler.step(base(found) + total, timestep, latents).prev_sample
    return latents


def check_close(found: Tensor, expected: Tensor) -> None:
    """Compare latents: to 1e-10 in float64, else to 1e-5, relative to the largest value."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    tolerance = 1e-10 if found.dtype == torch.float64 else 1e-5
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a generator for each seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(seeds: Sequence[int], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Draw each image's initial noise as diffusers does."""
    return torch.cat(
        [torch.randn((1, *shape), generator=one, dtype=dtype) for one in generators(seeds)]
    )
