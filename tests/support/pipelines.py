"""Tiny pipelines with random weights, and diffusers' own SEGA pipeline as the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    SemanticStableDiffusionPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOKENS = 16
"""How many tokens the tiny text encoder reads."""

BETAS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
"""Stable Diffusion's noise schedule."""

SCHEDULERS: dict[str, Callable[[], Any]] = {
    "DDIM": lambda: DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
    "PNDM": lambda: diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True),
    "LMS": lambda: diffusers.LMSDiscreteScheduler(**BETAS),
    "Euler": lambda: diffusers.EulerDiscreteScheduler(**BETAS),
    "Euler ancestral": lambda: diffusers.EulerAncestralDiscreteScheduler(**BETAS),
    "DPM++ 2M": lambda: diffusers.DPMSolverMultistepScheduler(**BETAS),
    "UniPC": lambda: diffusers.UniPCMultistepScheduler(**BETAS),
    "Heun": lambda: diffusers.HeunDiscreteScheduler(**BETAS),
}


def letter_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary is the letters, so one letter is one token."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def tiny_stable_diffusion(
    *,
    scheduler: Any = None,
    prediction_type: str = "epsilon",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> StableDiffusionPipeline:
    """A Stable Diffusion pipeline of a few thousand weights; 16x16 pixels, latents 8x8."""
    torch.manual_seed(seed)
    tokenizer = letter_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=16,
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
    )
    scheduler = scheduler or SCHEDULERS["DDIM"]()
    if prediction_type != "epsilon":
        scheduler = type(scheduler).from_config(scheduler.config, prediction_type=prediction_type)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline if dtype == torch.float32 else pipeline.to(dtype=dtype)


class _HalfAsManyStepsHeun(diffusers.HeunDiscreteScheduler):  # type: ignore[misc]
    """Heun for the reference, whose buffers hold one entry a step where Heun makes 2N - 1 calls.

    Asked for 2N - 1 steps, it takes the N that lead to as many calls.
    """

    def set_timesteps(self, num_inference_steps: int, *args: Any, **kwargs: Any) -> None:
        super().set_timesteps((num_inference_steps + 1) // 2, *args, **kwargs)


def reference_steps(pipeline: StableDiffusionPipeline, num_inference_steps: int) -> int:
    """The number of steps to ask `reference_pipeline` for."""
    heun = isinstance(pipeline.scheduler, diffusers.HeunDiscreteScheduler)
    return 2 * num_inference_steps - 1 if heun else num_inference_steps


def reference_pipeline(pipeline: StableDiffusionPipeline) -> SemanticStableDiffusionPipeline:
    """The authors' SEGA in diffusers, on the same models, with a scheduler of its own."""
    scheduler = pipeline.scheduler
    components = {k: v for k, v in pipeline.components.items() if k != "image_encoder"}
    heun = isinstance(scheduler, diffusers.HeunDiscreteScheduler)
    scheduler_class = _HalfAsManyStepsHeun if heun else type(scheduler)
    components["scheduler"] = scheduler_class.from_config(scheduler.config)
    reference = SemanticStableDiffusionPipeline(**components, requires_safety_checker=False)
    reference.set_progress_bar_config(disable=True)
    return reference
