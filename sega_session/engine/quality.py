"""How far pictures are from the exact ones."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)


@frozen
class Measurement:
    """A render beside the exact one; one number for each image.

    Attributes:
        psnr: peak signal-to-noise ratio in dB; infinite where the pictures are equal.
        ssim: structural similarity, at most 1 (Wang et al. 2004).
        missed: distance from the exact picture over the distance that the edit moved it:
            |x - x_exact| / |x_exact - x_before|. 0 is exact, 1 as far off as not editing.
        evaluations: what measuring took.
    """

    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    missed: tuple[float, ...]
    evaluations: int


def measure(found: Tensor, exact: Tensor, before: Tensor, evaluations: int) -> Measurement:
    """Compare images in [0, 1], ``(batch, 3, height, width)`` each."""
    found, exact, before = found.float(), exact.float(), before.float()
    off = (found - exact).flatten(start_dim=1).norm(dim=1)
    moved = (exact - before).flatten(start_dim=1).norm(dim=1)
    missed = (off / moved).where(off > 0, off)
    psnr = peak_signal_noise_ratio(found, exact, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim: Any = structural_similarity_index_measure(found, exact, data_range=1.0, reduction="none")
    return Measurement(
        psnr=_numbers(psnr),
        ssim=_numbers(ssim.reshape(-1)),
        missed=_numbers(missed),
        evaluations=evaluations,
    )


def _numbers(each: Tensor) -> tuple[float, ...]:
    return tuple(each.tolist())
