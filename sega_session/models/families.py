"""The registry of model families: the `DiffusionModel` of each class of pipelines."""

from __future__ import annotations

from functools import singledispatch

import diffusers

from ..errors import UnsupportedPipelineError
from .base import DiffusionModel
from .flux import Flux
from .quiet import (
    FluxPipeline,
    LatentConsistencyModelPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from .stable_diffusion import StableDiffusion
from .stable_diffusion_3 import StableDiffusion3
from .stable_diffusion_xl import StableDiffusionXL
from .z_image import ZImage


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
    known = ", ".join(sorted(kind.__name__ for kind in as_model.registry if kind is not object))
    hint = "Load a checkpoint with sega_session.load_pipeline(name_or_path)."
    if hasattr(source, "components"):
        hint = (
            "If its models are Stable Diffusion's, pass a StableDiffusionPipeline of them: "
            "sd = StableDiffusionPipeline(**{**it.components, 'scheduler': None}), and then "
            "sd.scheduler = it.scheduler, since the constructor would change its settings. For "
            "another family, write a sega_session.models.DiffusionModel and register it: "
            f"as_model.register({type(source).__name__}, YourModel)."
        )
    raise UnsupportedPipelineError(
        f"pipeline is a {type(source).__name__}; allowed: a DiffusionModel, or one of {known}. "
        f"{hint}"
    )


as_model.register(StableDiffusionPipeline, StableDiffusion)
as_model.register(LatentConsistencyModelPipeline, StableDiffusion)
as_model.register(StableDiffusionXLPipeline, StableDiffusionXL)
as_model.register(StableDiffusion3Pipeline, StableDiffusion3)
as_model.register(FluxPipeline, Flux)
# Earlier releases of diffusers lack the second, and later ones may lack the first, which is
# deprecated. It has Stable Diffusion's models, but its scheduler's settings are not corrected.
if hasattr(diffusers, "SemanticStableDiffusionPipeline"):
    as_model.register(diffusers.SemanticStableDiffusionPipeline, StableDiffusion)
if hasattr(diffusers, "ZImagePipeline"):
    as_model.register(diffusers.ZImagePipeline, ZImage)
