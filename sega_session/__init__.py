"""Stateful semantic guidance (SEGA) for diffusion models: see `EditSession`."""

from importlib.metadata import version

import lazy_loader

# Names load their modules on first use: torch and diffusers take seconds, and `--help` needs none.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = version("sega-session")
