"""Stable Diffusion 3 and 3.5: two CLIP text encoders and T5, a transformer of velocities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidValueError, UnsupportedPipelineError
from ..state import Scene
from .base import (
    Conditioning,
    Decoded,
    DiffusionModel,
    Embeddings,
    ModelSpec,
    OutputType,
    Request,
    Role,
)
from .flow import decode, encode_image, resolution_shift
from .inputs import copy_embeddings, copy_pooled
from .pipelines import (
    check_clip_skip,
    check_in_memory,
    check_parts,
    check_size,
    default_settings,
    warn_if_cut,
)
from .quiet import StableDiffusion3Pipeline, without_notices
from .requests import collate
from .schedulers import SchedulerSampler, check_scheduler

PARTS = (
    "transformer",
    "vae",
    "text_encoder",
    "tokenizer",
    "text_encoder_2",
    "tokenizer_2",
    "scheduler",
)
"""The components that images depend on."""

T5_PARTS = ("text_encoder_3", "tokenizer_3")
"""Those that may be left out, to save memory."""

NETWORKS = ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")

T5_TOKENS = 256
"""The tokens of T5's output, the pipeline's default; without T5 they are zeros."""


class StableDiffusion3(DiffusionModel):
    """A `DiffusionModel` over a pipeline of Stable Diffusion 3 or 3.5, which is never changed.

    All text encoders read the same text. Skip-layer guidance is not supported: it has no effect
    here. Neither are image prompts by IP adapters: a pipeline with one is refused.

    Args:
        pipeline: a `StableDiffusion3Pipeline`, with or without its third text encoder, T5.

    Raises:
        UnsupportedPipelineError: a model is missing or has no weights, the VAE has other latents
            than the transformer, there is an IP adapter, or the scheduler is not for flow matching.
    """

    def __init__(self, pipeline: StableDiffusion3Pipeline) -> None:
        check_parts(pipeline, PARTS)
        if pipeline.text_encoder_3 is not None:
            check_parts(pipeline, T5_PARTS)
        _check_transformer(pipeline.transformer, pipeline.vae)
        check_scheduler(pipeline.scheduler, "velocity")
        check_in_memory(pipeline, NETWORKS)
        self._pipeline: Any = pipeline

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading, the transformer's precision and sample size."""
        device = self._pipeline._execution_device  # noqa: SLF001 - the device under offloading
        transformer = self._pipeline.transformer
        side = transformer.config.sample_size * self._pipeline.vae_scale_factor
        steps, guidance_scale = default_settings(self._pipeline)
        return ModelSpec(device, transformer.dtype, (side, side), steps, guidance_scale)

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`.

        Sizes are multiples of the VAE's factor times the patches' size, up to those that the
        transformer has positions for.
        """
        config, factor = self._pipeline.transformer.config, self._pipeline.vae_scale_factor
        patch = factor * config.patch_size
        check_size(height, width, patch)
        longest = config.pos_embed_max_size * patch
        for what, pixels in (("height", height), ("width", width)):
            if pixels > longest:
                raise InvalidValueError(
                    what,
                    pixels,
                    f"at most {longest} pixels, the positions that the transformer knows",
                    "Render a smaller image.",
                )
        return config.in_channels, height // factor, width // factor

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`; some schedules are shifted for larger images."""
        scheduler = self._pipeline.scheduler
        schedule = {}
        if scheduler.config.get("use_dynamic_shifting"):
            _, rows, columns = self.latents_shape(height, width)
            patch = self._pipeline.transformer.config.patch_size
            tokens = (rows // patch) * (columns // patch)
            schedule["mu"] = resolution_shift(scheduler, tokens, max_shift=1.16)
        return SchedulerSampler(scheduler, steps, eta, prediction="velocity", schedule=schedule)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """Return the conditioning on a text, as the pipeline encodes it.

        ``clip_skip`` does not apply to the negative prompt, as in the pipeline.

        Warns:
            PromptTruncatedWarning: with the text that no encoder reads.
        """
        pipeline = self._pipeline
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        # The pipeline reads the last hidden layer but one, or an earlier one.
        check_clip_skip(scene.clip_skip, min(e.config.num_hidden_layers for e in encoders) - 1)
        warn_if_cut(prompt, self._tokenizers())
        # The pipeline logs what each encoder cuts, also where another one reads it.
        with torch.no_grad(), without_notices():
            embeds, _, pooled, _ = pipeline.encode_prompt(
                prompt,
                None,
                None,
                do_classifier_free_guidance=False,
                clip_skip=None if role == "negative" else scene.clip_skip,
                max_sequence_length=T5_TOKENS,
            )
        spec = self.spec
        return _conditioning(embeds.to(spec.dtype), pooled.to(spec.dtype))

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`.

        ``prompt_embeds`` have the tokens of CLIP and T5 together, ``pooled_prompt_embeds`` the
        widths of both CLIP encoders.
        """
        config, images, spec = self._pipeline.transformer.config, len(scene.seeds), self.spec
        tokens, width = self._pipeline.tokenizer_max_length + T5_TOKENS, config.joint_attention_dim
        return _conditioning(
            copy_embeddings(embeddings.prompt_embeds, images, tokens, width, spec),
            copy_pooled(
                embeddings.pooled_prompt_embeds, images, config.pooled_projection_dim, spec
            ),
        )

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`; predictions are velocities, noise minus image."""
        batch = collate(requests)
        velocity: Tensor = self._pipeline.transformer(
            batch.latents, timestep=batch.timesteps, **batch.tensors
        ).sample
        return torch.split(velocity, batch.sizes)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`."""
        return decode(self._pipeline, latents, output_type)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`."""
        return encode_image(self._pipeline, pixels, self.spec)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`."""
        parts = PARTS if self._pipeline.text_encoder_3 is None else PARTS + T5_PARTS
        return {name: getattr(self._pipeline, name) for name in parts}

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return the pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        bar: AbstractContextManager[Any] = self._pipeline.progress_bar(total=total)
        return bar

    def _tokenizers(self) -> list[tuple[Any, int]]:
        """Return each text encoder's tokenizer, and how many tokens the encoder reads."""
        pipeline = self._pipeline
        limit = pipeline.tokenizer_max_length
        found = [(pipeline.tokenizer, limit), (pipeline.tokenizer_2, limit)]
        if pipeline.text_encoder_3 is not None:
            found.append((pipeline.tokenizer_3, T5_TOKENS))
        return found


def _check_transformer(transformer: Any, vae: Any) -> None:
    """Raise UnsupportedPipelineError unless a transformer needs only latents, timestep and text."""
    config, channels = transformer.config, vae.config.latent_channels
    if (config.in_channels, transformer.out_channels) != (channels, channels):
        raise UnsupportedPipelineError(
            f"the transformer takes {config.in_channels} channels and gives "
            f"{transformer.out_channels}, the VAE has {channels}; allowed: equal numbers. "
            "Load a text-to-image checkpoint."
        )
    if getattr(transformer, "image_proj", None) is not None:
        raise UnsupportedPipelineError(
            "the transformer has an IP adapter, which needs an image prompt; allowed: none. "
            "Call pipeline.unload_ip_adapter()."
        )


def _conditioning(embeds: Tensor, pooled: Tensor) -> Conditioning:
    return Conditioning({"encoder_hidden_states": embeds, "pooled_projections": pooled})
