"""The families that suites run over: a tiny pipeline of each, and what its class renders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from attrs import frozen
from diffusers import ZImagePipeline
from torch import Tensor

from .distilled import distilled
from .flux import tiny_flux
from .pipelines import tiny_stable_diffusion
from .stable_diffusion_3 import tiny_stable_diffusion_3
from .stable_diffusion_xl import tiny_stable_diffusion_xl
from .z_image import SIZE, tiny_z_image

STEPS = 6


def images_as_they_are(pipeline: Any, images: Tensor, height: int, width: int) -> Tensor:
    """Return the pipeline's latents, which are spatial already."""
    return images


@frozen
class Family:
    """A family of the suite.

    Attributes:
        name: as README's table names it.
        build: returns a tiny pipeline; takes ``dtype`` and ``scheduler``.
        spatial: turns the pipeline's latents into ``(images, channels, height, width)``.
        in_float64: the pipeline itself runs in float64.
        clip_layers: how many layers ``clip_skip`` may leave out.
        pooled: the family has pooled embeddings.
        predicts: "noise" or "velocity".
    """

    name: str
    build: Callable[..., Any]
    spatial: Callable[[Any, Tensor, int, int], Tensor] = images_as_they_are
    in_float64: bool = True
    clip_layers: int = 0
    pooled: bool = True
    predicts: str = "velocity"

    def __str__(self) -> str:
        return self.name


def unpacked(pipeline: Any, images: Tensor, height: int, width: int) -> Tensor:
    """Return FLUX's latents, which are packed into tokens."""
    spatial: Tensor = pipeline._unpack_latents(  # noqa: SLF001 - the oracle
        images, height, width, pipeline.vae_scale_factor
    )
    return spatial


NOISE: dict[str, Any] = {"clip_layers": 1, "predicts": "noise"}

FAMILIES = (
    Family("Stable Diffusion 1, 2", tiny_stable_diffusion, pooled=False, **NOISE),
    Family("Stable Diffusion XL", tiny_stable_diffusion_xl, **NOISE),
    Family("LCM", partial(distilled, tiny_stable_diffusion), pooled=False, **NOISE),
    Family("Stable Diffusion 3, 3.5", tiny_stable_diffusion_3, clip_layers=2),
    Family("FLUX.1-dev", tiny_flux, unpacked),
    Family("FLUX.1-schnell", partial(tiny_flux, guidance_embeds=False), unpacked),
    # The pipeline itself renders latents in float32, whatever the transformer's precision.
    Family("Z-Image", tiny_z_image, pooled=False, in_float64=False),
)


def size_of(pipeline: Any) -> tuple[int, int] | None:
    """Return the height and width to ask for; None: the tiny pipeline's own default."""
    # Z-Image's is a constant of its pipeline.
    return (SIZE["height"], SIZE["width"]) if isinstance(pipeline, ZImagePipeline) else None


def own_images(
    pipeline: Any,
    prompt: str,
    seeds: Sequence[int],
    size: tuple[int, int],
    **arguments: Any,
) -> Any:
    """Return the images that diffusers' own pipeline renders for these seeds."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    settings = {"generator": generators, "height": size[0], "width": size[1], **arguments}
    return pipeline(
        prompt, num_images_per_prompt=len(seeds), num_inference_steps=STEPS, **settings
    ).images


def own_latents(
    family: Family,
    pipeline: Any,
    prompt: str,
    seeds: Sequence[int],
    size: tuple[int, int],
    **arguments: Any,
) -> Tensor:
    """Return the latents that diffusers' own pipeline renders for these seeds."""
    images = own_images(pipeline, prompt, seeds, size, output_type="latent", **arguments)
    return family.spatial(pipeline, images, *size)
