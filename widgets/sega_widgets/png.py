"""Images as the bytes of PNG and WebP files, which widgets show."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageColor, ImageEnhance
from torch import Tensor

THUMBNAIL = 80
"""Size of a thumbnail in pixels, twice the size on the page for dense screens."""


def encode(image: Image.Image) -> bytes:
    """Encode an image as PNG, fast rather than small."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def encode_thumbnail(image: Image.Image, size: int = THUMBNAIL) -> bytes:
    """Encode an image as WebP, scaled down to at most ``size`` pixels in width and height."""
    copy, file = image.copy(), BytesIO()
    copy.thumbnail((size, size))
    copy.save(file, "WEBP", quality=85)
    return file.getvalue()


def overlay_heat_map(image: Image.Image, heat: Tensor, colour: str) -> Image.Image:
    """Lay a heat map over a pale copy of an image.

    Args:
        image: an RGB image.
        heat: ``(height, width)`` of any size, in [0, 1], as `EditSession.heat_map` returns it for
            one image.
        colour: the colour of the highest values, as "#rrggbb".

    Returns:
        An RGB image of the same size.
    """
    mask = Image.fromarray(heat.float().cpu().numpy()).resize(image.size, Image.Resampling.BICUBIC)
    pale = ImageEnhance.Color(image).enhance(0.2)
    pale = Image.blend(pale, Image.new("RGB", image.size, "white"), 0.35)
    over = mask.point(lambda value: value * 230).convert("L")
    return Image.composite(Image.new("RGB", image.size, ImageColor.getrgb(colour)), pale, over)
