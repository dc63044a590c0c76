"""Z-Image: Qwen3 as the text encoder, a single-stream transformer, a KL autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import reduce
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
from .flow import PATCH, check_transformer, decode, encode_image, resolution_shift
from .inputs import check_no_pooled, copy_embeddings
from .pipelines import (
    check_clip_skip,
    check_in_memory,
    check_parts,
    check_size,
    default_settings,
    warn_of_cut,
)
from .quiet import without_notices
from .schedulers import SchedulerSampler, check_scheduler

NETWORKS = ("transformer", "vae", "text_encoder")

PARTS = (*NETWORKS, "tokenizer", "scheduler")
"""The components that images depend on."""

TOKENS = 512
"""The tokens of a text, in its chat template, that are read. Shorter texts are not padded."""

SIDE = 1024
"""The pipeline's default height and width in pixels."""


class ZImage(DiffusionModel):
    """A `DiffusionModel` over a pipeline of Z-Image or Z-Image-Turbo, which is never changed.

    Latents and predictions are float32, whatever the transformer's precision. The guidance is
    ``text + s · (text - uncond)`` for guidance scales s above 0, so that a scale here does what
    s + 1 does elsewhere; Turbo's is 0. The pipeline's ``cfg_normalization`` and
    ``cfg_truncation`` stay at their defaults, which change nothing.

    Args:
        pipeline: a `ZImagePipeline`.

    Raises:
        UnsupportedPipelineError: a model is missing or has no weights, the transformer needs
            inputs beyond latents and text, or the scheduler is not for flow matching.
    """

    def __init__(self, pipeline: Any) -> None:
        check_parts(pipeline, PARTS)
        check_transformer(pipeline.transformer, pipeline.vae.config.latent_channels)
        if pipeline.transformer.config.get("siglip_feat_dim") is not None:
            raise UnsupportedPipelineError(
                "the transformer takes features of images (siglip_feat_dim); allowed: none, as in "
                "Z-Image and Z-Image-Turbo. Load a text-to-image checkpoint."
            )
        check_scheduler(pipeline.scheduler, "velocity")
        check_in_memory(pipeline, NETWORKS)
        self._pipeline: Any = pipeline

    @property
    def spec(self) -> ModelSpec:
        """The execution device under offloading; latents are float32."""
        steps, guidance_scale = default_settings(self._pipeline)
        return ModelSpec(
            self._pipeline._execution_device,  # noqa: SLF001 - the device under offloading
            torch.float32,
            (SIDE, SIDE),
            steps,
            guidance_scale,
            unguided_scale=0.0,
        )

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`; sizes are multiples of 16 pixels."""
        factor = self._pipeline.vae_scale_factor
        check_size(height, width, factor * PATCH)
        return self._pipeline.vae.config.latent_channels, height // factor, width // factor

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`; the size shifts the noise levels if the scheduler asks."""
        scheduler = self._pipeline.scheduler
        _, rows, columns = self.latents_shape(height, width)
        tokens = (rows // PATCH) * (columns // PATCH)
        schedule = {
            "mu": resolution_shift(scheduler, tokens),
            "sigmas": torch.linspace(1, 1 / steps, steps).tolist(),
        }
        return SchedulerSampler(scheduler, steps, eta, prediction="velocity", schedule=schedule)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_prompt`; the text is put into the chat template.

        Warns:
            PromptTruncatedWarning: with the text that was cut.
        """
        _check_scene(scene)
        self._warn_if_cut(prompt)
        device = self.spec.device
        with torch.no_grad(), without_notices():
            (embeds,), _ = self._pipeline.encode_prompt(
                prompt,
                device=device,
                do_classifier_free_guidance=False,
                max_sequence_length=TOKENS,
            )
        return Conditioning({"cap_feats": embeds[None]})

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; ``(1 to 512, width)``, with or without rows."""
        _check_scene(scene)
        check_no_pooled(embeddings)
        embeds = embeddings.prompt_embeds
        tokens = embeds.shape[-2] if embeds.ndim > 1 else 1
        width = self._pipeline.transformer.config.cap_feat_dim
        copied = copy_embeddings(
            embeds, len(scene.seeds), min(max(tokens, 1), TOKENS), width, self.spec
        )
        return Conditioning({"cap_feats": copied})

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`; texts differ in length, so they are in lists."""
        transformer = self._pipeline.transformer
        sizes = [len(one.latents) for one in requests]
        latents = torch.cat([one.latents for one in requests]).to(transformer.dtype)
        timesteps = torch.cat(
            [one.timestep.expand(size) for one, size in zip(requests, sizes, strict=True)]
        )
        texts = [
            text
            for one, size in zip(requests, sizes, strict=True)
            for text in one.conditioning.tensors["cap_feats"].expand(size, -1, -1)
        ]
        # The transformer counts time from noise to image, takes a dimension of frames, and
        # predicts the direction to the image.
        found = transformer(list(latents[:, :, None]), (1000 - timesteps) / 1000, texts).sample
        velocity = -torch.stack(found)[:, :, 0].float()
        return torch.split(velocity, sizes)

    def guided(
        self,
        uncond: Tensor | None,
        text: Tensor,
        scene: Scene,
        guidances: Sequence[Tensor],
    ) -> Tensor:
        """Add the prompt's guidance, relative to the text prediction, and the concepts'."""
        if scene.guidance_scale > 0 and uncond is not None:
            text = text + scene.guidance_scale * (text - uncond)
        return text + reduce(torch.add, guidances)

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

    def _warn_if_cut(self, prompt: str) -> None:
        """Warn with PromptTruncatedWarning of the end of a prompt that is not read."""
        tokenizer = self._pipeline.tokenizer
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=True,
        )
        places = tokenizer(text, return_offsets_mapping=True, verbose=False).offset_mapping
        if len(places) > TOKENS:
            # Templates may strip the prompt, and go on after it.
            _, _, after = text.partition(prompt.strip())
            warn_of_cut(text[places[TOKENS][0] : len(text) - len(after)].strip(), TOKENS)


def _check_scene(scene: Scene) -> None:
    """Raise InvalidValueError if a scene has a setting that Z-Image has no counterpart for."""
    check_clip_skip(scene.clip_skip, 0)
    if scene.guidance_rescale:
        raise InvalidValueError(
            "guidance_rescale", scene.guidance_rescale, "0 with this model", "Leave it out."
        )
