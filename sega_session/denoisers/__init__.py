"""The seam to diffusers: what the render loop asks of a model, and the model families."""

from .base import Conditioning, Decoded, Denoiser, ImageType, OutputType, own
from .families import denoiser_for

__all__ = ["Conditioning", "Decoded", "Denoiser", "ImageType", "OutputType", "denoiser_for", "own"]
