"""diffusers' pipelines, imported and loaded without notices and bars that are not ours.

The user's settings of both libraries are what they were afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import diffusers
import transformers
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars

__all__ = [
    "DiffusionPipeline",
    "LatentConsistencyModelPipeline",
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "without_bars",
    "without_notices",
]

_VERBOSITY = RLock()
"""Held while the libraries' verbosity is not the user's, so that each thread reads the user's."""


@contextmanager
def without_notices() -> Iterator[None]:
    """Let transformers and diffusers log errors only, for one thread at a time."""
    libraries = (transformers.logging, diffusers.logging)
    with _VERBOSITY:
        before = [logging.get_verbosity() for logging in libraries]
        for logging in libraries:
            logging.set_verbosity_error()
        try:
            yield
        finally:
            for logging, verbosity in zip(libraries, before, strict=True):
                logging.set_verbosity(verbosity)


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bars of files that are read; a download, which can take minutes, still has one."""
    shown = [
        library.logging
        for library in (transformers, diffusers)
        if library.logging.is_progress_bar_enabled()
    ]
    downloads_shown = not are_progress_bars_disabled()
    for logging in shown:
        logging.disable_progress_bar()
    if downloads_shown:
        # transformers turns these off with its own.
        enable_progress_bars()
    try:
        yield
    finally:
        for logging in shown:
            logging.enable_progress_bar()


with without_notices():
    # Importing a pipeline makes transformers recommend torchvision, which nothing here needs.
    from diffusers import (
        DiffusionPipeline,
        LatentConsistencyModelPipeline,
        StableDiffusionPipeline,
        StableDiffusionXLPipeline,
    )
