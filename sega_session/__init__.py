"""Stateful semantic guidance (SEGA) for diffusion models: see `EditSession`."""

from .edits import Concept, EditState, Scene
from .errors import SegaSessionError
from .models import load_avatars, load_pipeline
from .render import Render
from .session import EditSession

__all__ = [
    "Concept",
    "EditSession",
    "EditState",
    "Render",
    "Scene",
    "SegaSessionError",
    "load_avatars",
    "load_pipeline",
]
