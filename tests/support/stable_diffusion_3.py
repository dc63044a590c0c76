"""A tiny pipeline of Stable Diffusion 3 with random weights."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from sega_session.models.quiet import StableDiffusion3Pipeline
from tests.support.pipelines import TOKENS, letter_tokenizer

CLIP_WIDTH = 8
"""The width of each CLIP encoder's output, pooled or not."""

WIDTH = 20
"""The width of T5's output, to which that of the two CLIP encoders is padded."""


def tiny_stable_diffusion_3(
    *,
    scheduler: Any = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    t5: bool = True,
) -> Any:
    """Return a Stable Diffusion 3 pipeline of some thousand weights; 16x16 pixels, latents 8x8.

    Args:
        scheduler: None: that of the published checkpoints.
        dtype: the precision of every network.
        seed: of the weights.
        t5: False leaves the third text encoder out.
    """
    torch.manual_seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * CLIP_WIDTH,
        pos_embed_max_size=12,
        # As in 3.5 medium.
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=2,
        sample_size=16,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    tokenizers = [letter_tokenizer(), letter_tokenizer()]
    tokenizer_3 = t5_tokenizer() if t5 else None
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=_clip_encoder(tokenizers[0]),
        tokenizer=tokenizers[0],
        text_encoder_2=_clip_encoder(tokenizers[1]),
        tokenizer_2=tokenizers[1],
        text_encoder_3=None if tokenizer_3 is None else _t5_encoder(tokenizer_3),
        tokenizer_3=tokenizer_3,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline if dtype == torch.float32 else pipeline.to(dtype=dtype)


def t5_tokenizer() -> T5TokenizerFast:
    """Return a T5 tokenizer whose vocabulary is the letters, so one letter is one token."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    # The first letter of a word has a mark.
    words = ["<pad>", "</s>", "<unk>", *letters, *(f"\u2581{x}" for x in letters)]
    return T5TokenizerFast(vocab=[(word, 0.0) for word in words], extra_ids=0, model_max_length=512)


def _clip_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CLIP_WIDTH,
        projection_dim=CLIP_WIDTH,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection(config).eval()


def _t5_encoder(tokenizer: T5TokenizerFast) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return T5EncoderModel(config).eval()
