"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a conditional U-Net, a KL autoencoder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from ..errors import InvalidValueError, PromptTruncatedWarning, UnsupportedPipelineError
from .base import Conditioning, Decoded, OutputType


class StableDiffusionDenoiser:
    """Uses a pipeline's models as they are; nothing on the pipeline is changed.

    Raises:
        UnsupportedPipelineError: the U-Net needs inputs beyond latents, timestep and text.
    """

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        unet = pipeline.unet.config
        if unet.in_channels != pipeline.vae.config.latent_channels:
            raise UnsupportedPipelineError(
                f"the U-Net takes {unet.in_channels} channels and the VAE has "
                f"{pipeline.vae.config.latent_channels}; allowed: equal numbers (no inpainting, "
                "depth or image-conditioned models). Load a text-to-image checkpoint."
            )
        if unet.time_cond_proj_dim is not None:
            raise UnsupportedPipelineError(
                "the U-Net is distilled with an embedded guidance scale (time_cond_proj_dim is "
                f"{unet.time_cond_proj_dim}); allowed: None. Load the checkpoint it was made from."
            )
        self._pipeline: Any = pipeline
        # Kept, because a scheduler that is put on the pipeline later draws another picture.
        self._scheduler: Any = pipeline.scheduler

    @property
    def device(self) -> torch.device:
        """Where latents and predictions live (the execution device, under offloading)."""
        device: torch.device = self._pipeline._execution_device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The U-Net's precision."""
        dtype: torch.dtype = self._pipeline.unet.dtype
        return dtype

    def progress_bar(self, total: int) -> Any:
        """The pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        return self._pipeline.progress_bar(total=total)

    def default_size(self) -> tuple[int, int]:
        """Height and width in pixels that the U-Net was trained for."""
        sample_size = self._pipeline.unet.config.sample_size
        height, width = (
            (sample_size, sample_size) if isinstance(sample_size, int) else tuple(sample_size)
        )
        factor = self._pipeline.vae_scale_factor
        return height * factor, width * factor

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents. Raises InvalidValueError."""
        factor = self._pipeline.vae_scale_factor
        for what, pixels in (("height", height), ("width", width)):
            if pixels % factor:
                below = pixels - pixels % factor
                raise InvalidValueError(
                    what,
                    pixels,
                    f"a multiple of {factor} pixels, the VAE's factor",
                    f"The nearest are {below} and {below + factor}."
                    if below
                    else f"The smallest is {factor}.",
                )
        return self._pipeline.unet.config.in_channels, height // factor, width // factor

    def fresh_scheduler(self, num_inference_steps: int) -> Any:
        """A new scheduler with the pipeline's settings. Raises InvalidValueError."""
        scheduler = type(self._scheduler).from_config(self._scheduler.config)
        longest = scheduler.config.num_train_timesteps
        if num_inference_steps > longest:
            raise InvalidValueError(
                "num_inference_steps",
                num_inference_steps,
                f"an integer, at least 1, at most {longest} (the scheduler's training steps)",
            )
        # Timesteps stay on the host: schedulers index host tables with them, and a timestep on the
        # device would be copied back at every step.
        scheduler.set_timesteps(num_inference_steps)
        return scheduler

    def encode(self, prompt: str, *, negative: bool = False) -> Conditioning:
        """Conditioning on a text, cut as the reference cuts it.

        A text over the limit is sliced there, without an end token; only the negative prompt is
        truncated with one (pipeline_semantic_stable_diffusion.py).

        Warns:
            PromptTruncatedWarning: with the text that was cut.
        """
        tokenizer = self._pipeline.tokenizer
        limit = tokenizer.model_max_length
        # Textual inversions of several vectors are one word for a person and several for CLIP.
        text = self._pipeline.maybe_convert_prompt(prompt, tokenizer)
        tokens = tokenizer(
            text, padding="max_length", max_length=limit, return_tensors="pt", verbose=False
        ).input_ids
        cut = tokenizer.decode(tokens[0, limit - negative :], skip_special_tokens=True).strip()
        if cut:
            warnings.warn(
                f"the text encoder reads {limit} tokens; this end of the prompt has no effect: "
                f"{cut!r}. Shorten the prompt.",
                PromptTruncatedWarning,
                stacklevel=2,
            )
        if negative:
            tokens = tokenizer(
                text, padding="max_length", max_length=limit, truncation=True, return_tensors="pt"
            ).input_ids
        with torch.no_grad():
            embeds = self._pipeline.text_encoder(tokens[:, :limit].to(self.device))[0]
        return Conditioning(embeds.to(self.dtype))

    def condition(self, embeds: Tensor, batch: int) -> Conditioning:
        """Conditioning on ``embeds``, ``(tokens, width)`` or ``(1 or batch, tokens, width)``."""
        text = (
            self._pipeline.tokenizer.model_max_length,
            self._pipeline.unet.config.cross_attention_dim,
        )
        allowed = dict.fromkeys([text, (1, *text), (batch, *text)])
        shape = tuple(embeds.shape) if isinstance(embeds, Tensor) else type(embeds).__name__
        if shape not in allowed:
            raise InvalidValueError(
                "shape of prompt_embeds",
                shape,
                " or ".join(map(str, allowed)),
                "Take them from the pipeline's own encode_prompt().",
            )
        rows = embeds[None] if embeds.ndim == 2 else embeds
        return Conditioning(rows.to(device=self.device, dtype=self.dtype))

    def predict(
        self, latents: Tensor, timestep: Tensor, conditionings: Sequence[Conditioning]
    ) -> tuple[Tensor, ...]:
        """One prediction for each conditioning, all in one call of the U-Net."""
        batch = latents.shape[0]
        embeds = torch.cat([c.prompt_embeds.expand(batch, -1, -1) for c in conditionings])
        rows = torch.cat([latents] * len(conditionings))
        noise: Tensor = self._pipeline.unet(rows, timestep, encoder_hidden_states=embeds).sample
        return noise.chunk(len(conditionings))

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """Final latents -> images, passed through the pipeline's safety checker if it has one."""
        if output_type == "latent":
            return Decoded(latents, None)
        vae, processor = self._pipeline.vae, self._pipeline.image_processor
        pixels = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
        pixels, nsfw = self._pipeline.run_safety_checker(pixels, self.device, self.dtype)
        # A flagged image comes back as zeros: black, as long as it is not rescaled from [-1, 1].
        denormalize = [not flagged for flagged in nsfw or [False] * len(pixels)]
        images = processor.postprocess(pixels, output_type, denormalize)
        return Decoded(images, nsfw)
