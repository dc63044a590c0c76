"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a conditional U-Net, a KL autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from ..errors import (
    InvalidValueError,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
    warn_caller,
)
from .base import Conditioning, Decoded, ImageType, ModelInput, OutputType, own
from .schedulers import check_scheduler, fresh_scheduler

PLAIN_UNET = (
    "time_cond_proj_dim",
    "num_class_embeds",
    "class_embed_type",
    "addition_embed_type",
    "encoder_hid_dim_type",
)
"""Settings of a U-Net that ask for more than latents, timestep and text; None here."""


class StableDiffusionDenoiser:
    """Uses a pipeline's models as they are; nothing on the pipeline is changed.

    Raises:
        UnsupportedPipelineError: a model is missing, or the U-Net needs inputs beyond latents,
            timestep and text, or the scheduler does not take what it predicts.
    """

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        for part in ("vae", "text_encoder", "tokenizer", "unet", "scheduler"):
            if getattr(pipeline, part) is None:
                raise UnsupportedPipelineError(
                    f"the pipeline's {part} is None; allowed: one it was trained with. "
                    "Load the whole checkpoint."
                )
        unet, channels = pipeline.unet.config, pipeline.vae.config.latent_channels
        if (unet.in_channels, unet.out_channels) != (channels, channels):
            raise UnsupportedPipelineError(
                f"the U-Net takes {unet.in_channels} channels and gives {unet.out_channels}, the "
                f"VAE has {channels}; allowed: equal numbers (no inpainting, depth or "
                "image-conditioned models). Load a text-to-image checkpoint."
            )
        for setting in PLAIN_UNET:
            if getattr(unet, setting, None) is not None:
                raise UnsupportedPipelineError(
                    f"the U-Net's {setting} is {getattr(unet, setting)!r}; allowed: None, as in "
                    "Stable Diffusion 1.x and 2.x. Load such a checkpoint, without adapters."
                )
        self._pipeline: Any = pipeline
        # Kept, because a scheduler that is put on the pipeline later draws another picture.
        self._scheduler: Any = pipeline.scheduler
        check_scheduler(self._scheduler)

    @property
    def pipeline(self) -> Any:
        """The pipeline, as it was given."""
        return self._pipeline

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

    def components(self) -> dict[str, Any]:
        """All that a picture depends on."""
        names = ("unet", "vae", "text_encoder", "tokenizer")
        models = {name: getattr(self._pipeline, name) for name in names}
        return {**models, "scheduler": self._scheduler}

    def progress_bar(self, total: int) -> Any:
        """The pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        return self._pipeline.progress_bar(total=total)

    def default_size(self) -> tuple[int, int] | None:
        """Height and width in pixels that the U-Net was trained for, if its config says so."""
        sample_size = self._pipeline.unet.config.sample_size
        if sample_size is None:
            return None
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
        return fresh_scheduler(self._scheduler, num_inference_steps)

    def encode(self, prompt: str, *, negative: bool = False) -> Conditioning:
        """Conditioning on a text, cut as the reference cuts it.

        A text over the limit is sliced there, without an end token; only the negative prompt is
        truncated with one (pipeline_semantic_stable_diffusion.py).

        Warns:
            PromptTruncatedWarning: with the text that was cut.
        """
        tokenizer = self._pipeline.tokenizer
        limit = self._token_limit
        # Textual inversions of several vectors are one word for a person and several for CLIP.
        text = self._pipeline.maybe_convert_prompt(prompt, tokenizer)
        tokens = tokenizer(
            text, padding="max_length", max_length=limit, return_tensors="pt", verbose=False
        ).input_ids
        cut = tokenizer.decode(tokens[0, limit - negative :], skip_special_tokens=True).strip()
        if cut:
            warn_caller(
                f"the text encoder reads {limit} tokens; this end of the prompt has no effect: "
                f"{cut!r}. Shorten the prompt.",
                PromptTruncatedWarning,
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
        text = (self._token_limit, self._pipeline.unet.config.cross_attention_dim)
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
        return Conditioning(own("prompt_embeds", rows, self.device, self.dtype))

    @property
    def _token_limit(self) -> int:
        # A tokenizer without a limit of its own reports a huge number.
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        limit: int = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        return limit

    def predict(self, inputs: Sequence[ModelInput]) -> tuple[Tensor, ...]:
        """One prediction for each input, all in one call of the U-Net."""
        rows = [len(one.latents) for one in inputs]
        noise: Tensor = self._pipeline.unet(
            torch.cat([one.latents for one in inputs]),
            torch.cat([one.timestep.expand(n) for one, n in zip(inputs, rows, strict=True)]),
            encoder_hidden_states=torch.cat(
                [
                    one.conditioning.prompt_embeds.expand(n, -1, -1)
                    for one, n in zip(inputs, rows, strict=True)
                ]
            ),
        ).sample
        return torch.split(noise, rows)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """Final latents -> images, passed through the pipeline's safety checker if it has one."""
        nsfw = None
        images: ImageType = latents
        if output_type != "latent":
            vae, processor = self._pipeline.vae, self._pipeline.image_processor
            scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
            pixels = vae.decode(scaled, return_dict=False)[0]
            pixels, nsfw = self._pipeline.run_safety_checker(pixels, self.device, self.dtype)
            # A flagged image comes back as zeros: black, as long as it is not rescaled from
            # [-1, 1].
            denormalize = [not flagged for flagged in nsfw or [False] * len(pixels)]
            images = processor.postprocess(pixels, output_type, denormalize)
        # Under model offloading, the pipeline's own call ends with this too.
        self._pipeline.maybe_free_model_hooks()
        return Decoded(images, nsfw)
