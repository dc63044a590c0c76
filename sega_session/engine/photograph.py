"""Photographs that renders begin from, and their inversions."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ..state import Pixels


@frozen(eq=False)
class Inversion:
    """The way from photographs to noise, which leads an unedited render back to the bit.

    Attributes:
        names: of the latents of the unedited render, as in `Trajectory.names`.
        latents: those before each model call, and last those of the photographs, ``(calls + 1,
            images, channels, height, width)``.
        residuals: for each call, the latents after it minus those that the sampler steps to,
            ``(calls, images, channels, height, width)``.
    """

    names: tuple[str, ...]
    latents: Tensor
    residuals: Tensor

    def corrected(self, latents: Tensor, call: int, name: str) -> Tensor:
        """Return the latents after a call of a render that begins from the photographs.

        Args:
            latents: those that the sampler steps to.
            call: the index of the call.
            name: of the latents after it.
        """
        # The sum below can differ from these in the last bit.
        if name == self.names[call + 1]:
            return self.latents[call + 1]
        return latents + self.residuals[call]


@frozen(eq=False)
class Photograph:
    """The photographs of a session, one for each image.

    Attributes:
        pixels: 8-bit sRGB, ``(images, height, width, 3)``.
        inversion: None: not yet inverted.
    """

    pixels: Pixels
    inversion: Inversion | None = None
