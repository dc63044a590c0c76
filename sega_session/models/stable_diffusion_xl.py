"""Stable Diffusion XL: two CLIP text encoders, a U-Net that also reads the size, a VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from attrs import frozen
from diffusers.utils.torch_utils import get_module_execution_device
from torch import Tensor

from ..errors import UnsupportedPipelineError
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
from .inputs import check_finite, copy_embeddings, copy_pooled
from .pipelines import (
    check_clip_skip,
    check_in_memory,
    check_parts,
    check_size,
    default_settings,
    warn_if_cut,
)
from .quiet import StableDiffusionXLPipeline, without_notices
from .requests import collate
from .schedulers import SchedulerSampler, check_scheduler
from .unets import check_unet, default_size, guidance_embedding, is_distilled
from .upcast import without_overflow

PARTS = (
    "unet",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "scheduler",
)
"""The components that images depend on."""

NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")

ADDED = ("text_embeds", "time_ids")
"""The inputs that the U-Net adds to the timestep: pooled text and sizes."""

FORCE_ZEROS = "force_zeros_for_empty_prompt"


@frozen
class EmptyPrompt:
    """The pipeline's treatment of an empty negative prompt, as a component."""

    config: Mapping[str, bool]


class StableDiffusionXL(DiffusionModel):
    """A `DiffusionModel` over a pipeline of Stable Diffusion XL, which is never changed.

    Both text encoders read the same text. The U-Net is told that the image has its own size and
    was not cropped, for every condition. An empty negative prompt is what the pipeline makes of
    none: zeros, where the checkpoint asks for them.

    Args:
        pipeline: a `StableDiffusionXLPipeline` of a base model.

    Raises:
        UnsupportedPipelineError: a model is missing (as in refiners) or has no weights, the U-Net
            needs other inputs, or the scheduler does not accept its predictions.
    """

    def __init__(self, pipeline: StableDiffusionXLPipeline) -> None:
        _check_base(pipeline)
        check_parts(pipeline, PARTS)
        check_unet(pipeline.unet, pipeline.vae, added="text_time")
        _check_added(pipeline)
        check_scheduler(pipeline.scheduler)
        check_in_memory(pipeline, NETWORKS)
        self._pipeline: Any = pipeline

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading, the U-Net's precision and sample size."""
        pipeline = self._pipeline
        steps, guidance_scale = default_settings(pipeline)
        return ModelSpec(
            pipeline._execution_device,  # noqa: SLF001 - the device under offloading
            pipeline.unet.dtype,
            default_size(pipeline.default_sample_size, pipeline.vae_scale_factor),
            steps,
            guidance_scale,
            distilled=is_distilled(pipeline.unet),
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
        """Return the conditioning on a text, as the pipeline encodes it.

        ``clip_skip`` does not apply to the negative prompt.

        Warns:
            PromptTruncatedWarning: with the end of the text that neither encoder reads.
        """
        pipeline, negative = self._pipeline, role == "negative"
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        # The pipeline reads the last layer but one, or an earlier one.
        check_clip_skip(scene.clip_skip, min(e.config.num_hidden_layers for e in encoders) - 1)
        # A textual inversion of several vectors is one word in the prompt, several for CLIP.
        text = pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)
        tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
        warn_if_cut(text, [(one, one.model_max_length) for one in tokenizers])
        # The pipeline logs what each encoder cuts.
        with torch.no_grad(), without_notices():
            embeds, negative_embeds, pooled, negative_pooled = pipeline.encode_prompt(
                prompt,
                do_classifier_free_guidance=negative,
                # None, and not the empty text, becomes zeros where the checkpoint asks for them.
                negative_prompt=prompt or None,
                clip_skip=scene.clip_skip,
            )
        if negative:
            embeds, pooled = negative_embeds, negative_pooled
        spec = self.spec
        return self._conditioning(
            embeds.to(spec.device, spec.dtype), pooled.to(spec.device, spec.dtype), scene
        )

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; pooled ones are required."""
        pipeline, images, spec = self._pipeline, len(scene.seeds), self.spec
        embeds = copy_embeddings(
            embeddings.prompt_embeds,
            images,
            pipeline.tokenizer.model_max_length,
            pipeline.unet.config.cross_attention_dim,
            spec,
        )
        width = pipeline.text_encoder_2.config.projection_dim
        pooled = copy_pooled(embeddings.pooled_prompt_embeds, images, width, spec)
        return self._conditioning(embeds, pooled, scene)

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        batch = collate(requests)
        added = {name: batch.tensors[name] for name in ADDED}
        others = {name: value for name, value in batch.tensors.items() if name not in ADDED}
        noise: Tensor = self._pipeline.unet(
            batch.latents, batch.timesteps, added_cond_kwargs=added, **others
        ).sample
        return torch.split(noise, batch.sizes)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`; a watermarker of the pipeline marks the images.

        A VAE that needs float32 decodes in it, see `without_overflow`.
        """
        images: ImageType = latents
        if output_type != "latent":
            pipeline = self._pipeline
            vae = without_overflow(pipeline.vae)
            moved = latents.to(get_module_execution_device(vae), vae.dtype)
            pixels = vae.decode(_unscaled(moved, vae.config), return_dict=False)[0]
            check_finite("decoded images", pixels)
            if pipeline.watermark is not None:
                pixels = pipeline.watermark.apply_watermark(pixels)
            images = pipeline.image_processor.postprocess(pixels, output_type)
        # Under model offloading, the pipeline's own call ends with this too.
        self._pipeline.maybe_free_model_hooks()
        return Decoded(images)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`; a VAE that needs float32 encodes in it."""
        vae, spec = without_overflow(self._pipeline.vae), self.spec
        latents = posterior_mode(vae, pixels).to(spec.device, spec.dtype)
        # Under model offloading, the pipeline's own call ends with this too.
        self._pipeline.maybe_free_model_hooks()
        return _scaled(latents, vae.config)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`; one is the treatment of empty negative prompts."""
        parts = {name: getattr(self._pipeline, name) for name in PARTS}
        zeros = bool(self._pipeline.config[FORCE_ZEROS])
        return {**parts, "empty_prompt": EmptyPrompt({FORCE_ZEROS: zeros})}

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return the pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        bar: AbstractContextManager[Any] = self._pipeline.progress_bar(total=total)
        return bar

    def _conditioning(self, embeds: Tensor, pooled: Tensor, scene: Scene) -> Conditioning:
        # The size of the original, the corner of its crop, and the size of the image.
        size = (scene.height, scene.width)
        ids = torch.tensor([[*size, 0, 0, *size]], dtype=embeds.dtype).to(embeds.device)
        guidance = guidance_embedding(self._pipeline, scene, self.spec)
        return Conditioning(
            {"encoder_hidden_states": embeds, "text_embeds": pooled, "time_ids": ids, **guidance}
        )


def _check_base(pipeline: Any) -> None:
    """Raise UnsupportedPipelineError if the pipeline is a refiner's, without a first encoder."""
    if pipeline.text_encoder is None or pipeline.tokenizer is None:
        raise UnsupportedPipelineError(
            "the pipeline has one text encoder, as refiners have; allowed: a base model of Stable "
            "Diffusion XL, with both. Load one, such as stabilityai/stable-diffusion-xl-base-1.0; "
            "a refiner can finish its rendered images."
        )


def _check_added(pipeline: Any) -> None:
    """Raise UnsupportedPipelineError unless the U-Net reads pooled text and six numbers."""
    config = pipeline.unet.config
    allowed = pipeline.text_encoder_2.config.projection_dim + 6 * config.addition_time_embed_dim
    if config.projection_class_embeddings_input_dim != allowed:
        raise UnsupportedPipelineError(
            "the U-Net's projection_class_embeddings_input_dim is "
            f"{config.projection_class_embeddings_input_dim}; allowed: {allowed}, for the second "
            "text encoder's output and three sizes (no refiners). Load the whole checkpoint of a "
            "base model."
        )


def _unscaled(latents: Tensor, config: Any) -> Tensor:
    """Return latents as the VAE has them, which the U-Net knows scaled to a deviation near 1."""
    mean, deviation = _statistics(latents, config)
    unscaled: Tensor = latents * deviation / config.scaling_factor + mean
    return unscaled


def _scaled(latents: Tensor, config: Any) -> Tensor:
    """Return a VAE's latents as the U-Net knows them; the inverse of `_unscaled`."""
    mean, deviation = _statistics(latents, config)
    scaled: Tensor = (latents - mean) * config.scaling_factor / deviation
    return scaled


def _statistics(latents: Tensor, config: Any) -> tuple[Tensor, Tensor]:
    """Return the mean and deviation of a VAE's latents by channel; 0 and 1 if it states none."""
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is None or deviation is None:
        mean, deviation = [0.0], [1.0]
    return (
        latents.new_tensor(mean).view(1, -1, 1, 1),
        latents.new_tensor(deviation).view(1, -1, 1, 1),
    )
