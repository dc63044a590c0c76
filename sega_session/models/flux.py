"""FLUX.1: CLIP's pooled output and T5, a guidance-distilled transformer, a KL autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

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
from .flow import PATCH, check_transformer, decode, encode_image, resolution_shift
from .inputs import copy_embeddings, copy_pooled
from .pipelines import (
    check_clip_skip,
    check_in_memory,
    check_parts,
    check_size,
    default_settings,
    warn_if_cut,
)
from .quiet import FluxPipeline, without_notices
from .requests import collate
from .schedulers import SchedulerSampler, check_scheduler

NETWORKS = ("transformer", "vae", "text_encoder", "text_encoder_2")

PARTS = (*NETWORKS, "tokenizer", "tokenizer_2", "scheduler")
"""The components that images depend on."""

T5_TOKENS = 512
"""The tokens that T5 reads; shorter texts are padded to as many."""


class Flux(DiffusionModel):
    """A `DiffusionModel` over a pipeline of FLUX.1, which is never changed.

    The models are guidance-distilled: see `ModelSpec.distilled`. FLUX.1-dev takes the guidance
    scale as an input, FLUX.1-schnell takes none. The pipeline's ``true_cfg_scale`` is not
    supported, since it would need a negative prompt, and neither are ``prompt_2`` and IP-adapters.
    Latents are not packed; `evaluate` packs them.

    Args:
        pipeline: a `FluxPipeline`.

    Raises:
        UnsupportedPipelineError: a model is missing or has no weights, the transformer needs
            inputs beyond latents and text, or the scheduler is not for flow matching.
    """

    def __init__(self, pipeline: FluxPipeline) -> None:
        check_parts(pipeline, PARTS)
        check_transformer(pipeline.transformer, pipeline.vae.config.latent_channels * PATCH**2)
        check_scheduler(pipeline.scheduler, "velocity")
        check_in_memory(pipeline, NETWORKS)
        self._pipeline: Any = pipeline

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading, and the transformer's precision.

        The default guidance scale is the pipeline's, or 0 if the transformer takes none.
        """
        pipeline = self._pipeline
        side = pipeline.default_sample_size * pipeline.vae_scale_factor
        steps, guidance_scale = default_settings(pipeline)
        guided = pipeline.transformer.config.guidance_embeds
        return ModelSpec(
            pipeline._execution_device,  # noqa: SLF001 - the device under offloading
            pipeline.transformer.dtype,
            (side, side),
            steps,
            guidance_scale if guided else 0.0,
            distilled=True,
            unguided_scale=0.0 if guided else math.inf,
        )

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`; sizes are multiples of 16 pixels."""
        factor = self._pipeline.vae_scale_factor
        check_size(height, width, factor * PATCH)
        return self._pipeline.vae.config.latent_channels, height // factor, width // factor

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`; the size shifts the noise levels."""
        scheduler = self._pipeline.scheduler
        _, rows, columns = self.latents_shape(height, width)
        tokens = (rows // PATCH) * (columns // PATCH)
        schedule: dict[str, Any] = {"mu": resolution_shift(scheduler, tokens)}
        if not scheduler.config.get("use_flow_sigmas"):
            schedule["sigmas"] = np.linspace(1, 1 / steps, steps).tolist()
        return SchedulerSampler(scheduler, steps, eta, prediction="velocity", schedule=schedule)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_prompt`; T5 reads 512 tokens, CLIP the first 77.

        Warns:
            PromptTruncatedWarning: with the text that neither reads.
        """
        pipeline, spec = self._pipeline, self.spec
        warn_if_cut(
            prompt,
            [
                (pipeline.tokenizer, pipeline.tokenizer_max_length),
                (pipeline.tokenizer_2, T5_TOKENS),
            ],
        )
        with torch.no_grad(), without_notices():
            embeds, pooled, _ = pipeline.encode_prompt(
                prompt, device=spec.device, max_sequence_length=T5_TOKENS
            )
        return self._conditioning(embeds.to(spec.dtype), pooled.to(spec.dtype), scene)

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; ``(512, width)`` and ``(1, width)``, or rows."""
        config, spec, images = self._pipeline.transformer.config, self.spec, len(scene.seeds)
        embeds, pooled = embeddings.prompt_embeds, embeddings.pooled_prompt_embeds
        return self._conditioning(
            copy_embeddings(embeds, images, T5_TOKENS, config.joint_attention_dim, spec),
            copy_pooled(pooled, images, config.pooled_projection_dim, spec),
            scene,
        )

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        batch = collate(requests)
        latents, tokens = batch.latents, batch.tensors["encoder_hidden_states"].shape[1]
        rows, columns = (side // PATCH for side in latents.shape[-2:])
        places = torch.cartesian_prod(
            *(torch.arange(count, device=latents.device) for count in (1, rows, columns))
        )
        packed: Tensor = self._pipeline.transformer(
            hidden_states=pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2).contiguous(),
            # In this order: in bfloat16 the timestep is rounded before it is divided.
            timestep=batch.timesteps.to(latents.dtype) / 1000,
            img_ids=places.to(latents.dtype),
            txt_ids=latents.new_zeros(tokens, 3),
            **batch.tensors,
        ).sample
        patches = packed.transpose(1, 2).unflatten(2, (rows, columns))
        return torch.split(pixel_shuffle(patches, PATCH), batch.sizes)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`."""
        return decode(self._pipeline, latents, output_type)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`."""
        return encode_image(self._pipeline, pixels, self.spec)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`."""
        return {name: getattr(self._pipeline, name) for name in PARTS}

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return the pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""
        bar: AbstractContextManager[Any] = self._pipeline.progress_bar(total=total)
        return bar

    def _conditioning(self, embeds: Tensor, pooled: Tensor, scene: Scene) -> Conditioning:
        # CLIP's only use here is its pooled output.
        check_clip_skip(scene.clip_skip, 0)
        tensors = {"encoder_hidden_states": embeds, "pooled_projections": pooled}
        if self._pipeline.transformer.config.guidance_embeds:
            scale = torch.tensor([scene.guidance_scale], dtype=torch.float32)
            tensors["guidance"] = scale.to(embeds.device)
        return Conditioning(tensors)
