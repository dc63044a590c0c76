"""Paste a photograph's own pixels back where no edit acts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from ..models import ImageType
from ..sega import Trajectory
from ..state import Mask, Pixels
from .masks import Masks

Shares: TypeAlias = NDArray[np.float32]
"""The share of the edited image in each pixel, ``(1 or images, height, width)``, 0 to 1."""

FEATHER = 4
"""The standard deviation, in pixels, by which the inner edge of a mask is softened."""


def acted_on(
    trajectory: Trajectory, region: Mask | None, masks: Masks, size: tuple[int, int]
) -> Pixels:
    """Return the pixels that edits may change, 255 inside, ``(1 or images, height, width)``.

    Args:
        trajectory: of the edit state.
        region: the state's own, which confines all edits.
        masks: those that the state names.
        size: height and width of the images, in pixels.
    """
    terms = {term for step in trajectory.recipe.steps for term in (*step.applied, *step.feeding)}
    everywhere = np.full((1, *size), 255, dtype=np.uint8)
    found: Iterable[Pixels] = [
        everywhere if term.mask is None else masks.pixels(term.mask) for term in terms
    ]
    inside = reduce(np.maximum, found, np.zeros_like(everywhere))
    return inside if region is None else np.minimum(inside, masks.pixels(region.digest))


def feathered(mask: Pixels) -> Shares:
    """Return shares that are 0 outside a mask, and rise softly inside its edge."""
    rows = [Image.fromarray(row).filter(ImageFilter.GaussianBlur(FEATHER)) for row in mask]
    blurred = np.stack([np.asarray(row) for row in rows])
    shares: Shares = mask.astype(np.float32) * blurred.astype(np.float32) / np.float32(255**2)
    return shares


def paste_outside(images: ImageType, photographs: Pixels, shares: Shares) -> ImageType:
    """Return images with the photographs' own pixels where the shares are 0.

    Args:
        images: PIL images, an array or a tensor, as renders return them.
        photographs: 8-bit, ``(images, height, width, 3)``.
        shares: those of the images.
    """
    if isinstance(images, Tensor):
        mixed = _mixed(images.permute(0, 2, 3, 1).float().cpu().numpy(), photographs, shares)
        pasted = torch.from_numpy(mixed).permute(0, 3, 1, 2)
        return pasted.to(images.device, images.dtype)
    if isinstance(images, np.ndarray):
        return _mixed(images, photographs, shares)
    arrays = np.stack([np.asarray(one.convert("RGB"), dtype=np.float32) for one in images]) / 255
    mixed = np.rint(255 * _mixed(arrays, photographs, shares)).astype(np.uint8)
    return [Image.fromarray(one) for one in mixed]


def _mixed(images: NDArray[Any], photographs: Pixels, shares: Shares) -> NDArray[np.float32]:
    own, share = photographs.astype(np.float32) / 255, shares[..., None]
    mixed: NDArray[np.float32] = np.where(share > 0, share * images + (1 - share) * own, own)
    return mixed
