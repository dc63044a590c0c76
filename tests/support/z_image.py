"""Tiny Z-Image pipelines with random weights, built without downloads."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from tests.support.flux import tiny_vae

WIDTH = 32
"""The width of the text encoder's output."""

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template like Qwen's."""

TOKENS = 512
"""The tokens that the text encoder reads in ZImagePipeline."""

SIZE: dict[str, Any] = {"height": 32, "width": 48}
"""A size that is not square; the latents have 16 x 24 pixels."""


def byte_tokenizer() -> Qwen2Tokenizer:
    """Return a tokenizer like Qwen's whose tokens are bytes, with a chat template."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = [*special, *sorted(ByteLevel.alphabet())]
    tokenizer = Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        additional_special_tokens=special[1:],
        model_max_length=TOKENS * 256,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny_z_image(
    *,
    scheduler: Any = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    siglip_feat_dim: int | None = None,
) -> ZImagePipeline:
    """Return a Z-Image pipeline of a few thousand weights.

    Sizes are multiples of 4 pixels, because the VAE has a factor of 2.
    """
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=TOKENS,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        siglip_feat_dim=siglip_feat_dim,
        axes_dims=[4, 6, 6],
        axes_lens=[640, 32, 32],
    )
    pipeline = ZImagePipeline(
        scheduler=scheduler or FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=tiny_vae(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline if dtype == torch.float32 else pipeline.to(dtype=dtype)
