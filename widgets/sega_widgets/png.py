"""Pictures as the bytes of PNG files, as widgets show them."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageColor, ImageEnhance
from torch import Tensor

from sega_session import EditState, Render

THUMBNAIL = 72
"""Pixels: twice what is shown, for dense screens."""


def encode(image: Image.Image) -> bytes:
    """A picture as PNG, quickly rather than small."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def small(image: Image.Image, size: int = THUMBNAIL) -> bytes:
    """A picture as PNG, at most so many pixels wide and high."""
    copy = image.copy()
    copy.thumbnail((size, size))
    return encode(copy)


def blank(width: int, height: int) -> bytes:
    """What is shown where nothing is drawn yet: nothing, in the picture's size."""
    return encode(Image.new("LA", (width, height)))


BLANK = blank(THUMBNAIL, THUMBNAIL)


def heated(image: Image.Image, heat: Tensor, colour: str) -> Image.Image:
    """A picture, pale, with a heat map over it.

    Args:
        heat: ``(height, width)`` of any size, from 0 to 1, as `EditSession.heat_map` has it.
        colour: where it is hottest, as "#rrggbb".
    """
    mask = Image.fromarray(heat.float().cpu().numpy()).resize(image.size, Image.Resampling.BICUBIC)
    pale = ImageEnhance.Color(image).enhance(0.2)
    pale = Image.blend(pale, Image.new("RGB", image.size, "white"), 0.35)
    over = mask.point(lambda value: value * 230).convert("L")
    return Image.composite(Image.new("RGB", image.size, ImageColor.getrgb(colour)), pale, over)


def title(render: Render) -> str:
    """How a picture was made, and where it is approximate, how far off it may be."""
    if render.exact:
        return "exact"
    if render.error_estimate is None:
        return f"{render.mode}: approximate, error not known"
    return f"{render.mode}: approximate, error about {max(render.error_estimate):.2g}"


def described(prompt: str, state: EditState) -> str:
    """A picture in words, for who cannot see it: "a cat; glasses 5; less of a crowd 8"."""
    concepts = [
        f"{'less of ' * one.inverted}{one.name} {one.scale:g}" for one in state if one.enabled
    ]
    return "; ".join([prompt, *concepts])
