"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a conditional U-Net, a KL autoencoder.

Latent consistency models (LCMs) are U-Nets distilled from it, which take the guidance scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from diffusers.loaders import TextualInversionLoaderMixin
from torch import Tensor

from ..state import Scene
from .autoencoders import posterior_mode
from .base import (
    Conditioning,
    Decoded,
    DiffusionModel,
    Embeddings,
    ImageType,
    ModelSpec,
    OutputType,
    Request,
    Role,
)
from .inputs import check_finite, check_no_pooled, copy_embeddings
from .pipelines import (
    check_clip_skip,
    check_in_memory,
    check_parts,
    check_size,
    default_settings,
    warn_of_cut,
)
from .quiet import StableDiffusionPipeline
from .requests import collate
from .schedulers import SchedulerSampler, check_scheduler
from .unets import check_unet, default_size, guidance_embedding, is_distilled

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""The components that images depend on."""

NETWORKS = ("unet", "vae", "text_encoder")


class StableDiffusion(DiffusionModel):
    """A `DiffusionModel` over a pipeline of Stable Diffusion, which is never changed.

    Args:
        pipeline: a `StableDiffusionPipeline`, `SemanticStableDiffusionPipeline` or
            `LatentConsistencyModelPipeline`.

    Raises:
        UnsupportedPipelineError: a model is missing or has no weights, the U-Net needs inputs
            beyond latents, timestep and text, or the scheduler does not accept its predictions.
    """

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        check_parts(pipeline, PARTS)
        check_unet(pipeline.unet, pipeline.vae, added=None)
        check_scheduler(pipeline.scheduler)
        check_in_memory(pipeline, NETWORKS)
        self._pipeline: Any = pipeline

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading, the U-Net's precision and sample size."""
        device = self._pipeline._execution_device  # noqa: SLF001 - the device under offloading
        unet = self._pipeline.unet
        steps, guidance_scale = default_settings(self._pipeline)
        return ModelSpec(
            device,
            unet.dtype,
            default_size(unet.config.sample_size, self._pipeline.vae_scale_factor),
            steps,
            guidance_scale,
            distilled=is_distilled(unet),
        )

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`; sizes are multiples of the VAE's factor."""
        factor = self._pipeline.vae_scale_factor
        check_size(height, width, factor)
        return self._pipeline.unet.config.in_channels, height // factor, width // factor

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`; the size does not matter here."""
        return SchedulerSampler(self._pipeline.scheduler, steps, eta)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
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
        warn_of_cut(cut, limit)
        if negative:
            tokens = tokenizer(
                text, padding="max_length", max_length=limit, truncation=True, return_tensors="pt"
            ).input_ids
        spec = self.spec
        with torch.no_grad():
            embeds = self._encode(tokens[:, :limit].to(spec.device), None if negative else scene)
        return self._conditioning(embeds.to(spec.dtype), scene)

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; ``(tokens, width)``, with or without rows."""
        check_no_pooled(embeddings)
        embeds, images = embeddings.prompt_embeds, len(scene.seeds)
        width = self._pipeline.unet.config.cross_attention_dim
        copied = copy_embeddings(embeds, images, self._token_limit, width, self.spec)
        return self._conditioning(copied, scene)

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

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`."""
        vae, spec = self._pipeline.vae, self.spec
        latents: Tensor = posterior_mode(vae, pixels) * vae.config.scaling_factor
        # Under model offloading, the pipeline's own call ends with this too.
        self._pipeline.maybe_free_model_hooks()
        return latents.to(spec.device, spec.dtype)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`."""
        return {name: getattr(self._pipeline, name) for name in PARTS}

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return the pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        bar: AbstractContextManager[Any] = self._pipeline.progress_bar(total=total)
        return bar

    def _encode(self, tokens: Tensor, scene: Scene | None) -> Tensor:
        """Return the text encoder's output; of the last layer unless a scene skips some."""
        encoder = self._pipeline.text_encoder
        if scene is None or scene.clip_skip is None:
            output: Tensor = encoder(tokens)[0]
            return output
        check_clip_skip(scene.clip_skip, encoder.config.num_hidden_layers)
        states = encoder(tokens, output_hidden_states=True).hidden_states
        # Since transformers 5 the encoder is the text model itself.
        inner = getattr(encoder, "text_model", encoder)
        normed: Tensor = inner.final_layer_norm(states[-1 - scene.clip_skip])
        return normed

    def _conditioning(self, embeds: Tensor, scene: Scene) -> Conditioning:
        guidance = guidance_embedding(self._pipeline, scene, self.spec)
        return Conditioning({"encoder_hidden_states": embeds, **guidance})

    @property
    def _token_limit(self) -> int:
        # A tokenizer without a limit of its own reports a huge number.
        tokenizer, encoder = self._pipeline.tokenizer, self._pipeline.text_encoder
        limit: int = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        return limit
