"""Transformers that are trained with flow matching, and what their families have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import UnsupportedPipelineError
from .autoencoders import posterior_mode
from .base import Decoded, ModelSpec, OutputType
from .inputs import check_finite
from .quiet import calculate_shift

PATCH = 2
"""The height and width of the patches of latents that are one token."""


def check_transformer(transformer: Any, channels: int) -> None:
    """Check that a transformer needs only noisy latents and text.

    Args:
        transformer: the transformer.
        channels: those of its input and output.

    Raises:
        UnsupportedPipelineError: it has other channels, an IP-adapter, or a cache of its own.
    """
    found = transformer.config.in_channels, transformer.out_channels
    problem = ""
    if found != (channels, channels):
        problem = (
            f"takes {found[0]} channels and gives {found[1]}; allowed: {channels} and {channels}, "
            "as the VAE gives (no Fill, Control or other models of images). "
            "Load a text-to-image checkpoint"
        )
    elif getattr(transformer, "encoder_hid_proj", None) is not None:
        problem = "has an IP-adapter; allowed: none. Call pipeline.unload_ip_adapter()"
    elif getattr(transformer, "is_cache_enabled", False):
        problem = (
            "reuses what it computed at earlier calls, which makes predictions approximate; "
            "allowed: none of diffusers' caches. Call transformer.disable_cache()"
        )
    if problem:
        raise UnsupportedPipelineError(f"the transformer {problem}.")


def resolution_shift(scheduler: Any, tokens: int, max_shift: float = 1.15) -> float:
    """Return mu, by which schedulers with dynamic shifting suit their noise to the resolution.

    Args:
        scheduler: its settings say how mu depends on the number of tokens.
        tokens: those of the image, its patches of latents.
        max_shift: the family's own, where the scheduler has no such setting.
    """
    config = scheduler.config
    mu: float = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", max_shift),
    )
    return mu


def decode(pipeline: Any, latents: Tensor, output_type: OutputType) -> Decoded:
    """Decode latents with a pipeline's VAE; see `DiffusionModel.decode`."""
    images = latents
    if output_type != "latent":
        vae = pipeline.vae
        scaled = latents.to(vae.dtype) / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(scaled, return_dict=False)[0]
        check_finite("decoded images", pixels)
        images = pipeline.image_processor.postprocess(pixels, output_type)
    # Under model offloading, the pipeline's own call ends with this too.
    pipeline.maybe_free_model_hooks()
    return Decoded(images)


@torch.no_grad()
def encode_image(pipeline: Any, pixels: Tensor, spec: ModelSpec) -> Tensor:
    """Encode images with a pipeline's VAE; see `DiffusionModel.encode_image`."""
    config = pipeline.vae.config
    shifted = posterior_mode(pipeline.vae, pixels) - config.shift_factor
    latents: Tensor = shifted * config.scaling_factor
    # Under model offloading, the pipeline's own call ends with this too.
    pipeline.maybe_free_model_hooks()
    return latents.to(spec.device, spec.dtype)
