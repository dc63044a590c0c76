"""The registry of model families: the `DiffusionModel` of each class of pipelines."""

from __future__ import annotations

from functools import singledispatch

import diffusers

from ..errors import UnsupportedPipelineError
from .base import DiffusionModel
from .quiet import (
    LatentConsistencyModelPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from .stable_diffusion import StableDiffusion
from .stable_diffusion_xl import StableDiffusionXL


@singledispatch
def as_model(source: object) -> DiffusionModel:
    """Return the `DiffusionModel` of a pipeline; a `DiffusionModel` is returned as it is.

    Add a family of your own by its pipeline's class, which covers subclasses too:

    >>> as_model.register(MyPipeline, MyModel)

    Raises:
        UnsupportedPipelineError: no family is registered for the pipeline's class.
    """
    if isinstance(source, DiffusionModel):
        return source
    hint = "Load the checkpoint with sega_session.load_pipeline(name_or_path)."
    if hasattr(source, "components"):
        hint = (
            "If its models are Stable Diffusion's, pass a StableDiffusionPipeline of them: "
            "sd = StableDiffusionPipeline(**{**it.components, 'scheduler': None}), and then "
            "sd.scheduler = it.scheduler, since the constructor would change its settings."
        )
    raise UnsupportedPipelineError(
        f"pipeline is a {type(source).__name__}; allowed: a StableDiffusionPipeline or "
        f"SemanticStableDiffusionPipeline (Stable Diffusion 1.x and 2.x). {hint}"
    )


as_model.register(StableDiffusionPipeline, StableDiffusion)
as_model.register(LatentConsistencyModelPipeline, StableDiffusion)
as_model.register(StableDiffusionXLPipeline, StableDiffusionXL)
# It has the same models, and an image of its own: its scheduler's settings are not corrected.
# diffusers has deprecated it, so a later release may lack it.
if hasattr(diffusers, "SemanticStableDiffusionPipeline"):
    as_model.register(diffusers.SemanticStableDiffusionPipeline, StableDiffusion)
