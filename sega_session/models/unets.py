"""U-Nets that predict noise from latents, timestep and text, of Stable Diffusion and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import UnsupportedPipelineError
from ..state import Scene
from .base import ModelSpec

PLAIN = (
    "num_class_embeds",
    "class_embed_type",
    "encoder_hid_dim_type",
)
"""Settings of a U-Net that needs more inputs than a text-to-image pipeline gives; allowed: None."""


def check_unet(unet: Any, vae: Any, added: str | None) -> None:
    """Check that a U-Net needs only what a family gives it.

    Args:
        unet: the U-Net.
        vae: the VAE beside it.
        added: the family's ``addition_embed_type``.

    Raises:
        UnsupportedPipelineError: the U-Net needs another number of channels, or further inputs.
    """
    config, channels = unet.config, vae.config.latent_channels
    if (config.in_channels, config.out_channels) != (channels, channels):
        raise UnsupportedPipelineError(
            f"the U-Net takes {config.in_channels} channels and gives {config.out_channels}, the "
            f"VAE has {channels}; allowed: equal numbers (no inpainting, depth or "
            "image-conditioned models). Load a text-to-image checkpoint."
        )
    allowed = {**dict.fromkeys(PLAIN), "addition_embed_type": added}
    for setting, value in allowed.items():
        found = getattr(config, setting, None)
        if found != value:
            raise UnsupportedPipelineError(
                f"the U-Net's {setting} is {found!r}; allowed: {value!r}, as in the family's own "
                "checkpoints. Load such a checkpoint, without adapters for images."
            )


def is_distilled(unet: Any) -> bool:
    """Return whether a U-Net takes the guidance scale as an input, as LCMs do."""
    return unet.config.time_cond_proj_dim is not None


def guidance_embedding(pipeline: Any, scene: Scene, spec: ModelSpec) -> dict[str, Tensor]:
    """Return a distilled U-Net's argument for the guidance scale; empty for any other."""
    if not spec.distilled:
        return {}
    embedding = pipeline.get_guidance_scale_embedding(
        torch.tensor([scene.guidance_scale - 1]),
        embedding_dim=pipeline.unet.config.time_cond_proj_dim,
    )
    return {"timestep_cond": embedding.to(spec.device, spec.dtype)}


def default_size(sample_size: int | Sequence[int] | None, factor: int) -> tuple[int, int] | None:
    """Return the height and width in pixels that a U-Net was trained for; None: unknown.

    Args:
        sample_size: its ``sample_size``, one number for a square.
        factor: the VAE's factor.
    """
    if sample_size is None:
        return None
    height, width = (sample_size,) * 2 if isinstance(sample_size, int) else sample_size
    return height * factor, width * factor
