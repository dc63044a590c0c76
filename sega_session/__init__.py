"""Stateful semantic guidance (SEGA) for diffusion models: see `EditSession`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import SegaSessionError
    from .migration import from_diffusers
    from .models.loading import load_avatars, load_pipeline
    from .models.presets import recommended
    from .render import Render
    from .session import EditSession
    from .state import Concept, EditState, Scene, anchored

__all__ = [
    "Concept",
    "EditSession",
    "EditState",
    "Render",
    "Scene",
    "SegaSessionError",
    "anchored",
    "from_diffusers",
    "load_avatars",
    "load_pipeline",
    "recommended",
]

_HOME = {
    "Concept": "state",
    "EditSession": "session",
    "EditState": "state",
    "Render": "render",
    "Scene": "state",
    "SegaSessionError": "errors",
    "anchored": "state",
    "from_diffusers": "migration",
    "load_avatars": "models.loading",
    "load_pipeline": "models.loading",
    "recommended": "models.presets",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: torch and diffusers take seconds, and `--help` needs neither.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
