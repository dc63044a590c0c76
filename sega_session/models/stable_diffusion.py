"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a conditional U-Net, a KL autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from diffusers.loaders import TextualInversionLoaderMixin
from torch import Tensor

from ..errors import (
    InvalidValueError,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
    warn_caller,
)
from .base import (
    Conditioning,
    Decoded,
    DiffusionModel,
    ImageType,
    ModelSpec,
    OutputType,
    Request,
    Role,
)
from .inputs import check_finite, copy_embeddings
from .quiet import StableDiffusionPipeline
from .requests import collate
from .schedulers import SchedulerSampler, check_scheduler

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""The components that images depend on."""

PLAIN_UNET = (
    "time_cond_proj_dim",
    "num_class_embeds",
    "class_embed_type",
    "addition_embed_type",
    "encoder_hid_dim_type",
)
"""Settings of a U-Net that needs more inputs than latents, timestep and text; allowed: None."""


class StableDiffusion(DiffusionModel):
    """A `DiffusionModel` over a pipeline of Stable Diffusion, which is never changed.

    Args:
        pipeline: a `StableDiffusionPipeline` or `SemanticStableDiffusionPipeline`.

    Raises:
        UnsupportedPipelineError: a model is missing or has no weights, the U-Net needs inputs
            beyond latents, timestep and text, or the scheduler does not accept its predictions.
    """

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        for part in PARTS:
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
        check_scheduler(pipeline.scheduler)
        _check_in_memory(pipeline)

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading, the U-Net's precision and sample size."""
        device = self._pipeline._execution_device  # noqa: SLF001 - the device under offloading
        return ModelSpec(device, self._pipeline.unet.dtype, self._default_size())

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`; sizes are multiples of the VAE's factor."""
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

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`; the size does not matter here."""
        return SchedulerSampler(self._pipeline.scheduler, steps, eta)

    def encode_prompt(self, prompt: str, role: Role) -> Conditioning:
        """Return the conditioning on a text, cut as the reference cuts it.

        The reference (pipeline_semantic_stable_diffusion.py) slices a text over the limit, without
        an end token; it truncates only the negative prompt with one.

        Warns:
            PromptTruncatedWarning: with the text that was cut.
        """
        tokenizer = self._pipeline.tokenizer
        limit, negative = self._token_limit, role == "negative"
        text = prompt
        if isinstance(self._pipeline, TextualInversionLoaderMixin):
            # A textual inversion of several vectors is one word in the prompt, several for CLIP.
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
        spec = self.spec
        with torch.no_grad():
            embeds = self._pipeline.text_encoder(tokens[:, :limit].to(spec.device))[0]
        return _conditioning(embeds.to(spec.dtype))

    def encode_embeddings(self, embeds: Tensor, images: int) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; ``(tokens, width)``, with or without rows."""
        width = self._pipeline.unet.config.cross_attention_dim
        return _conditioning(copy_embeddings(embeds, images, self._token_limit, width, self.spec))

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        batch = collate(requests)
        noise: Tensor = self._pipeline.unet(batch.latents, batch.timesteps, **batch.tensors).sample
        return torch.split(noise, batch.sizes)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`; a safety checker of the pipeline blackens what it flags."""
        nsfw = None
        images: ImageType = latents
        if output_type != "latent":
            vae, processor = self._pipeline.vae, self._pipeline.image_processor
            scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
            pixels = vae.decode(scaled, return_dict=False)[0]
            check_finite("decoded images", pixels)
            spec = self.spec
            pixels, nsfw = self._pipeline.run_safety_checker(pixels, spec.device, spec.dtype)
            # A flagged image comes back as zeros, which are black unless rescaled from [-1, 1].
            denormalize = [not flagged for flagged in nsfw or [False] * len(pixels)]
            images = processor.postprocess(pixels, output_type, denormalize)
        # Under model offloading, the pipeline's own call ends with this too.
        self._pipeline.maybe_free_model_hooks()
        return Decoded(images, nsfw)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`."""
        return {name: getattr(self._pipeline, name) for name in PARTS}

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return the pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        bar: AbstractContextManager[Any] = self._pipeline.progress_bar(total=total)
        return bar

    def _default_size(self) -> tuple[int, int] | None:
        sample_size = self._pipeline.unet.config.sample_size
        if sample_size is None:
            return None
        height, width = (
            (sample_size, sample_size) if isinstance(sample_size, int) else tuple(sample_size)
        )
        factor = self._pipeline.vae_scale_factor
        return height * factor, width * factor

    @property
    def _token_limit(self) -> int:
        # A tokenizer without a limit of its own reports a huge number.
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        limit: int = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        return limit


def _check_in_memory(pipeline: Any) -> None:
    """Raise UnsupportedPipelineError if a model has shapes only.

    Under sequential offloading weights are elsewhere between calls: accelerate's hooks fetch them.
    """
    for name in ("unet", "vae", "text_encoder"):
        network = getattr(pipeline, name)
        offloaded = any(hasattr(module, "_hf_hook") for module in network.modules())
        if not offloaded and any(tensor.is_meta for tensor in network.parameters()):
            raise UnsupportedPipelineError(
                f"the {name} is on the meta device, without weights; allowed: weights in memory. "
                "Load the checkpoint with sega_session.load_pipeline(name_or_path)."
            )


def _conditioning(embeds: Tensor) -> Conditioning:
    return Conditioning({"encoder_hidden_states": embeds})
