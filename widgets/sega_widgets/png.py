"""Pictures as the bytes of PNG files, as widgets show them."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from sega_session import Render

THUMBNAIL = 72
"""Pixels: twice what is shown, for dense screens."""


def encode(image: Image.Image) -> bytes:
    """A picture as PNG, quickly rather than small."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def thumbnail(image: Image.Image) -> bytes:
    """A picture as PNG, small."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return encode(small)


def blank(width: int, height: int) -> bytes:
    """What is shown where nothing is drawn yet: nothing, in the picture's size."""
    return encode(Image.new("LA", (width, height)))


BLANK = blank(THUMBNAIL, THUMBNAIL)


def title(render: Render) -> str:
    """How a picture was made, and where it is approximate, how far off it may be."""
    if render.exact:
        return "exact"
    if render.error_estimate is None:
        return f"{render.mode}: approximate, error not known"
    return f"{render.mode}: approximate, error about {max(render.error_estimate):.2g}"
