"""Requests as one batch of the model's arguments, and requests split in halves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from .base import Conditioning, Request


@frozen(eq=False)
class Batch:
    """Several requests as one batch.

    Attributes:
        latents: ``(rows, channels, height, width)``.
        timesteps: ``(rows,)``.
        tensors: the conditionings, by argument name, each with ``rows`` rows.
        sizes: the rows of each request, for ``torch.split``.
    """

    latents: Tensor
    timesteps: Tensor
    tensors: Mapping[str, Tensor]
    sizes: list[int]


def collate(requests: Sequence[Request]) -> Batch:
    """Return requests as one batch, conditionings of one row repeated for every image."""
    sizes = [len(one.latents) for one in requests]
    pairs = list(zip(requests, sizes, strict=True))
    return Batch(
        latents=torch.cat([one.latents for one in requests]),
        timesteps=torch.cat([one.timestep.expand(size) for one, size in pairs]),
        tensors={
            name: torch.cat([_rows(one.conditioning.tensors[name], size) for one, size in pairs])
            for name in requests[0].conditioning.tensors
        },
        sizes=sizes,
    )


def halves(request: Request) -> tuple[Request, Request]:
    """Split a request of 2 or more images into two, the first half of the images in one."""
    middle = len(request.latents) // 2
    first, second = (
        Request(request.latents[part], request.timestep, _part(request.conditioning, part))
        for part in (slice(middle), slice(middle, None))
    )
    return first, second


def _rows(tensor: Tensor, size: int) -> Tensor:
    return tensor.expand(size, *tensor.shape[1:])


def _part(conditioning: Conditioning, part: slice) -> Conditioning:
    return Conditioning(
        {
            name: tensor[part] if len(tensor) > 1 else tensor
            for name, tensor in conditioning.tensors.items()
        }
    )
