"""Tiny pipelines with a U-Net that takes the guidance scale, as latent consistency models do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import LCMScheduler, UNet2DConditionModel

from .pipelines import BETAS


def distilled(build: Callable[..., Any], dtype: torch.dtype = torch.float32) -> Any:
    """Return a tiny pipeline with a distilled U-Net and the scheduler made for it."""
    pipeline = build(scheduler=LCMScheduler(**BETAS), dtype=dtype)
    torch.manual_seed(1)
    config = {k: v for k, v in pipeline.unet.config.items() if not k.startswith("_")}
    pipeline.unet = UNet2DConditionModel(**{**config, "time_cond_proj_dim": 8}).to(dtype)
    return pipeline
