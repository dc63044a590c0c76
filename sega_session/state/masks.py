"""Masks: the regions that concepts are confined to, read from what people draw them with."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..errors import InvalidValueError
from .pixels import (
    IMAGE_BOMBS,
    IMAGE_DAMAGE,
    Pixels,
    as_array,
    as_bytes,
    check_side,
    decode_image,
    digest_of,
    high_bytes,
    open_image,
)

MaskSource: TypeAlias = Any
"""What `read_mask` takes: a picture, an array or tensor, a path, a box, or a polygon."""

MASK_PREFIX = "data:image/png;base64,"
"""The beginning of a mask that is text: a PNG file in base64."""

FINER = 4
"""How much finer boxes and polygons are drawn than the image, for soft edges."""

GREY = ("1", "L")
"""The modes of pictures that are masks as they are; colours are converted to grey."""

COLOURS = ("RGB", "P", "I;16")

HINT = "Pass a picture in black and white, an array, a path, a box, or a polygon."


@frozen
class Mask:
    """The region that a concept is confined to, by name; a session holds its pixels.

    Attributes:
        digest: of the pixels, 16 hexadecimal digits.
        share: the part of the image that it covers, the mean of the pixels, 0 to 1.
    """

    digest: str
    share: float


def mask_of(pixels: Pixels) -> Mask:
    """Return the name of a mask's pixels."""
    return Mask(digest_of(pixels), round(float(pixels.mean()) / 255, 4))


def read_mask(source: MaskSource, height: int, width: int, images: int) -> Pixels:
    """Return a mask's pixels at the size of the image; soft values are kept.

    Args:
        source: one of these, of any size:

            - a PIL image in black and white, or several, one for each image of a batch;
            - an array or tensor, ``(height, width)`` or ``(1 or images, height, width)``, of flags,
              of 8-bit numbers, or of numbers from 0 to 1;
            - the path of an image file, or a PNG file as text that begins with `MASK_PREFIX`;
            - a box, ``(left, top, right, bottom)``, or a polygon, three or more ``(x, y)``, in
              fractions of the image from 0 to 1.
        height, width: of the image, in pixels.
        images: of the batch.

    Returns:
        ``(1 or images, height, width)``.

    Raises:
        InvalidValueError: it is none of these, or its values or its number do not fit.
    """
    if isinstance(source, str | Path):
        rows = [_open(source)]
    elif isinstance(source, Image.Image):
        rows = [source]
    elif hasattr(source, "shape"):
        rows = [Image.fromarray(row) for row in _from_array(source)]
    elif _are(source, Image.Image):
        rows = [*source]
    elif _are(source, int | float) and len(source) == 4:
        left, top, right, bottom = _fractions(source)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        rows = [_draw(corners, height, width)]
    elif _are(source, Sequence) and len(source) >= 3 and all(len(one) == 2 for one in source):
        rows = [_draw([_fractions(one) for one in source], height, width)]
    else:
        raise InvalidValueError(
            "mask", source, "a picture, an array, a path, a box or a polygon", HINT
        )
    if len(rows) not in (1, images):
        raise InvalidValueError(
            "the number of masks", len(rows), f"1, or one for each of the {images} images"
        )
    return np.stack([_resized(_as_grey(row), height, width) for row in rows])


def data_url(pixels: Pixels) -> str:
    """Return the pixels of one mask, ``(1, height, width)``, as text that `read_mask` takes."""
    file = io.BytesIO()
    Image.fromarray(pixels[0]).save(file, "PNG", optimize=True)
    return MASK_PREFIX + base64.b64encode(file.getvalue()).decode()


def _are(source: Any, kind: Any) -> bool:
    """Return whether something is a list of members of a kind, flags excepted."""
    return (
        isinstance(source, Sequence)
        and len(source) > 0
        and all(isinstance(one, kind) and not isinstance(one, bool | str) for one in source)
    )


def _open(source: str | Path) -> Image.Image:
    """Read an image file, or text that begins with `MASK_PREFIX`."""
    if not (isinstance(source, str) and source.startswith("data:")):
        with open_image("mask", source, HINT) as image:
            return image
    try:
        if not source.startswith(MASK_PREFIX):
            raise ValueError
        content = base64.b64decode(source.removeprefix(MASK_PREFIX), validate=True)
        return decode_image("mask", io.BytesIO(content), ["PNG"])
    except InvalidValueError:
        raise
    except (*IMAGE_DAMAGE, *IMAGE_BOMBS) as error:
        raise InvalidValueError(
            "mask", source, f"a PNG file in base64, after {MASK_PREFIX!r}", HINT
        ) from error


def _from_array(source: Any) -> Pixels:
    """Return an array or tensor as pixels, of its own size."""
    array = as_array(source)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or not array.size:
        raise InvalidValueError(
            "shape of the mask", tuple(source.shape), "(height, width), or (images, height, width)"
        )
    check_side("mask", *array.shape[1:])
    return as_bytes("mask", array)


def _fractions(values: Sequence[Any]) -> tuple[float, ...]:
    numbers = tuple(float(one) if isinstance(one, int | float) else math.nan for one in values)
    if not all(0 <= one <= 1 for one in numbers):
        raise InvalidValueError(
            "mask", values, "fractions of the image, 0 to 1", "Divide pixels by the image's size."
        )
    return numbers


def _draw(corners: Sequence[tuple[float, ...]], height: int, width: int) -> Image.Image:
    """Draw a polygon, finer than the image, so that its edges come out soft."""
    image = Image.new("L", (FINER * width, FINER * height))
    # Its last row and column belong to the polygon.
    points = [
        (x * FINER * width - (0.5 if x else 0), y * FINER * height - (0.5 if y else 0))
        for x, y in corners
    ]
    ImageDraw.Draw(image).polygon(points, fill=255)
    return image


def _as_grey(image: Image.Image) -> Image.Image:
    check_side("mask", *image.size)
    if image.mode in COLOURS and "transparency" not in image.info:
        if image.mode == "I;16":
            return high_bytes(image)
        return image.convert("L")
    if image.mode not in GREY:
        raise InvalidValueError(
            "mode of the mask",
            image.mode,
            f"{', '.join(GREY)} or {', '.join(COLOURS)}, without transparency",
            'Pass image.getchannel("A") for its transparency, or image.convert("L") for its '
            "brightness.",
        )
    return image.convert("L")


def _resized(image: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture's pixels at another size: areas are averaged."""
    smaller = image.width >= width and image.height >= height
    how = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    pixels: NDArray[np.uint8] = np.asarray(image.resize((width, height), how), dtype=np.uint8)
    return pixels
