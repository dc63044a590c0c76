"""The engine renders edit states and evaluates no prediction twice.

`Renderer` is its door: it plans and renders a state in a mode, over a `TrajectoryStore` that keeps
latents and predictions within a byte budget. Each render mode is one file with a strategy that
plans and renders side by side: exact.py, anchored.py (previews too) and replay.py. Other packages
import from here only. Nothing here knows files, histories or how weights are identified.
"""

from .anchored import root_mean_square
from .conditionings import Conditionings
from .job import OnStep
from .masks import Masks
from .pasting import acted_on, feathered, paste_outside
from .photograph import Inversion, Photograph
from .quality import Measurement, measure
from .renderer import Rendered, Renderer
from .store import CacheInfo, Recorder, TrajectoryStore, default_cache_bytes

__all__ = [
    "CacheInfo",
    "Conditionings",
    "Inversion",
    "Masks",
    "Measurement",
    "OnStep",
    "Photograph",
    "Recorder",
    "Rendered",
    "Renderer",
    "TrajectoryStore",
    "acted_on",
    "default_cache_bytes",
    "feathered",
    "measure",
    "paste_outside",
    "root_mean_square",
]
