"""Images encoded by VAEs of diffusers, as every family encodes them."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.utils.torch_utils import get_module_execution_device
from torch import Tensor

from .inputs import check_finite


def posterior_mode(vae: Any, pixels: Tensor) -> Tensor:
    """Return the most probable latents of images, as the VAE has them: not scaled.

    Args:
        vae: a VAE of diffusers, with a posterior or without (AutoencoderTiny).
        pixels: ``(images, 3, height, width)``, in [0, 1].

    Returns:
        ``(images, channels, height, width)`` of latents, in the VAE's precision and on the device
        that it runs on.

    Raises:
        NotFiniteError: the latents overflowed.
    """
    # In the images' own precision, as diffusers' image processors normalise.
    normalised = 2.0 * pixels - 1.0
    encoded = vae.encode(normalised.to(get_module_execution_device(vae), vae.dtype))
    posterior = getattr(encoded, "latent_dist", None)
    latents: Tensor = encoded.latents if posterior is None else posterior.mode()
    check_finite("encoded images", latents, "Give finite pixels in [0, 1]")
    # Networks write some layouts that decode to other last bits; a file keeps no layout.
    return latents.contiguous(memory_format=torch.contiguous_format)
