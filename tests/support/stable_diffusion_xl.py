"""A tiny pipeline of Stable Diffusion XL with random weights."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.support.pipelines import SCHEDULERS, TOKENS, letter_tokenizer

LAYERS = 2
"""The layers of both text encoders."""

WIDTHS = (16, 24)
"""The widths of the text encoders."""

POOLED = 12
"""The width of the second text encoder's pooled output."""

SIZE_WIDTH = 8
"""The width of the embedding of each of the six numbers that tell the sizes."""


def tiny_stable_diffusion_xl(
    *,
    scheduler: Any = None,
    prediction_type: str = "epsilon",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> StableDiffusionXLPipeline:
    """Return an SDXL pipeline of a few thousand weights; 16x16 pixels, latents 8x8."""
    torch.manual_seed(seed)
    tokenizers = letter_tokenizer(), letter_tokenizer()
    configs = [
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=32,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            projection_dim=POOLED,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for tokenizer, width in zip(tokenizers, WIDTHS, strict=True)
    ]
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=sum(WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZE_WIDTH,
        projection_class_embeddings_input_dim=POOLED + 6 * SIZE_WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=16,
        scaling_factor=0.13025,
    )
    scheduler = scheduler or SCHEDULERS["DDIM"]()
    if prediction_type != "epsilon":
        scheduler = type(scheduler).from_config(scheduler.config, prediction_type=prediction_type)
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(configs[0]),
        text_encoder_2=CLIPTextModelWithProjection(configs[1]),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline if dtype == torch.float32 else pipeline.to(dtype=dtype)
