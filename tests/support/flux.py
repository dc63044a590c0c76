"""Tiny FLUX.1 pipelines with random weights, built without downloads."""

from __future__ import annotations

import string
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

from tests.support.pipelines import TOKENS, letter_tokenizer

T5_TOKENS = 512
"""The tokens that T5 reads in FluxPipeline."""

T5_WIDTH, POOLED_WIDTH = 32, 16
"""The widths of T5's output and of CLIP's pooled output."""

SIZE: dict[str, Any] = {"height": 32, "width": 48}
"""A size that is not square; the latents have 16 x 24 pixels, and 96 packed tokens."""


def flow_scheduler(*, dynamic: bool = True) -> FlowMatchEulerDiscreteScheduler:
    """Return FLUX's scheduler; FLUX.1-schnell has no dynamic shifting."""
    return FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=dynamic, shift=3.0 if dynamic else 1.0
    )


def tiny_vae(latent_channels: int = 4) -> AutoencoderKL:
    """Return a VAE with a factor of 2, and a shift factor as FLUX's has."""
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        norm_num_groups=2,
        sample_size=16,
        scaling_factor=0.36,
        shift_factor=0.12,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def t5_tokenizer() -> T5Tokenizer:
    """Return a T5 tokenizer whose vocabulary is the letters, so one letter is one token."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_lowercase, ",", "."]
    return T5Tokenizer(
        vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=T5_TOKENS
    )


def tiny_flux(
    *,
    scheduler: Any = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    guidance_embeds: bool = True,
    in_channels: int = 16,
    vae_channels: int = 4,
) -> FluxPipeline:
    """Return a FLUX.1 pipeline of a few thousand weights; without guidance_embeds, schnell's.

    Sizes are multiples of 4 pixels, because the VAE has a factor of 2; 32 x 32 by default.
    """
    torch.manual_seed(seed)
    clip, t5 = letter_tokenizer(), t5_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip),
            hidden_size=POOLED_WIDTH,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            bos_token_id=clip.bos_token_id,
            eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        )
    )
    text_encoder_2 = T5EncoderModel(
        T5Config(vocab_size=len(t5), d_model=T5_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    )
    transformer = FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )
    with torch.no_grad():
        # Of a random transformer's output the text would change less than 1%, and what changes
        # would be near to the rounding of float32.
        transformer.time_text_embed.text_embedder.linear_1.weight.mul_(30)
    pipeline = FluxPipeline(
        scheduler=scheduler or flow_scheduler(dynamic=guidance_embeds),
        vae=tiny_vae(vae_channels),
        text_encoder=text_encoder.eval(),
        tokenizer=clip,
        text_encoder_2=text_encoder_2.eval(),
        tokenizer_2=t5,
        transformer=transformer.eval(),
    )
    pipeline.default_sample_size = 16
    pipeline.set_progress_bar_config(disable=True)
    return pipeline if dtype == torch.float32 else pipeline.to(dtype=dtype)
