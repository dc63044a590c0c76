"""The distance of images from the exact ones."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ..state import html_table


@frozen(repr=False)
class Measurement:
    """A render compared with the exact one, with one number per image.

    Attributes:
        psnr: peak signal-to-noise ratio in dB; infinite where the images are equal.
        ssim: structural similarity, at most 1 (Wang et al. 2004).
        missed: the distance from the exact image, relative to the change that the edit makes:
            ``|x - x_exact| / |x_exact - x_before|``. 0 is exact; the image before the edit has 1.
        evaluations: evaluations made for the comparison, see `Render.evaluations`.
    """

    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    missed: tuple[float, ...]
    evaluations: int

    def __repr__(self) -> str:
        numbers = {
            "PSNR": ", ".join(f"{one:.1f}" for one in self.psnr) + " dB",
            "SSIM": ", ".join(f"{one:.4f}" for one in self.ssim),
            "missed": ", ".join(f"{one:.3f}" for one in self.missed),
            "evaluations": str(self.evaluations),
        }
        return f"<Measurement {'; '.join(f'{name} {one}' for name, one in numbers.items())}>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks, with one row per image."""
        rows = [
            (str(image), f"{psnr:.1f} dB", f"{ssim:.4f}", f"{missed:.3f}")
            for image, (psnr, ssim, missed) in enumerate(
                zip(self.psnr, self.ssim, self.missed, strict=True)
            )
        ]
        caption = f"evaluations: {self.evaluations}"
        return html_table(("image", "PSNR", "SSIM", "missed"), rows, caption)


def measure(found: Tensor, exact: Tensor, before: Tensor, evaluations: int) -> Measurement:
    """Compare images in [0, 1], ``(images, 3, height, width)`` each."""
    # Imported here: torchmetrics takes a second, and most sessions never measure.
    from torchmetrics.functional.image import (  # noqa: PLC0415
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    found, exact, before = found.float(), exact.float(), before.float()
    off = (found - exact).flatten(start_dim=1).norm(dim=1)
    moved = (exact - before).flatten(start_dim=1).norm(dim=1)
    missed = (off / moved).where(off > 0, off)
    psnr = peak_signal_noise_ratio(found, exact, data_range=1.0, reduction="none", dim=(1, 2, 3))
    ssim = structural_similarity_index_measure(found, exact, data_range=1.0, reduction="none")
    # The function can return the structure terms too.
    similarity = ssim[0] if isinstance(ssim, tuple) else ssim
    return Measurement(
        psnr=_numbers(psnr),
        ssim=_numbers(similarity.reshape(-1)),
        missed=_numbers(missed),
        evaluations=evaluations,
    )


def _numbers(each: Tensor) -> tuple[float, ...]:
    return tuple(each.tolist())
