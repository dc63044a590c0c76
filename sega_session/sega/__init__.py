"""SEGA itself: what applies at each model call, the names of latents, and the paper's equations.

`Trajectory` works out what an edit state does before any tensor exists; `Guider` turns predictions
into guidance. Other packages import from here only. Nothing here knows models, caches or files.
"""

from .equations import blended, heat_map
from .guider import UNCOND, Guider, Momentum, Predictions, semantic_guidance
from .recipe import (
    Recipe,
    StepRecipe,
    Term,
    condition_of,
    embedding_condition,
    prompt_condition,
    text_condition,
)
from .trajectory import LATENTS, Key, Trajectory, estimated_name

__all__ = [
    "LATENTS",
    "UNCOND",
    "Guider",
    "Key",
    "Momentum",
    "Predictions",
    "Recipe",
    "StepRecipe",
    "Term",
    "Trajectory",
    "blended",
    "condition_of",
    "embedding_condition",
    "estimated_name",
    "heat_map",
    "prompt_condition",
    "semantic_guidance",
    "text_condition",
]
