"""The seam to diffusers: what the render loop asks of a model, and the model families."""

from .base import Conditioning, Decoded, Denoiser, ImageType, ModelInput, OutputType, own
from .families import denoiser_for
from .loading import load_pipeline, load_quietly
from .presets import recommended
from .schedulers import signal_and_noise

__all__ = [
    "Conditioning",
    "Decoded",
    "Denoiser",
    "ImageType",
    "ModelInput",
    "OutputType",
    "denoiser_for",
    "load_pipeline",
    "load_quietly",
    "own",
    "recommended",
    "signal_and_noise",
]
