"""The registry of model families: the `DiffusionModel` of each class of pipelines."""

from __future__ import annotations

from functools import singledispatch

from ..errors import UnsupportedPipelineError
from .base import DiffusionModel
from .quiet import StableDiffusionPipeline
from .stable_diffusion import StableDiffusion


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
            "If its models are Stable Diffusion's, pass StableDiffusionPipeline(**it.components)."
        )
    raise UnsupportedPipelineError(
        f"pipeline is a {type(source).__name__}; allowed: a StableDiffusionPipeline "
        f"(Stable Diffusion 1.x and 2.x). {hint}"
    )


as_model.register(StableDiffusionPipeline, StableDiffusion)
