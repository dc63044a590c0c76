"""Which denoiser serves which diffusers pipeline."""

from __future__ import annotations

from typing import Any

from diffusers import StableDiffusionPipeline

from ..errors import UnsupportedPipelineError
from .base import Denoiser
from .stable_diffusion import StableDiffusionDenoiser


def denoiser_for(pipeline: Any) -> Denoiser:
    """The denoiser for ``pipeline``.

    Raises:
        UnsupportedPipelineError: no family here fits the pipeline.
    """
    if isinstance(pipeline, StableDiffusionPipeline):
        return StableDiffusionDenoiser(pipeline)
    hint = "Load the checkpoint with sega_session.load_pipeline(name_or_path)."
    if hasattr(pipeline, "components"):
        hint = (
            "If its models are Stable Diffusion's, pass StableDiffusionPipeline(**it.components)."
        )
    raise UnsupportedPipelineError(
        f"pipeline is a {type(pipeline).__name__}; allowed: a StableDiffusionPipeline "
        f"(Stable Diffusion 1.x and 2.x). {hint}"
    )
