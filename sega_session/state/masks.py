"""Masks: the regions that concepts are confined to, read from what people draw them with."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError

from ..errors import InvalidValueError, SessionFileError
from ..files import open_regular

Pixels: TypeAlias = NDArray[np.uint8]
"""8-bit pixels: of masks, ``(1 or images, height, width)``, 0 outside and 255 inside; of
photographs, ``(images, height, width, 3)``, in sRGB."""

MaskSource: TypeAlias = Any
"""What `read_mask` takes: a picture, an array or tensor, a path, a box, or a polygon."""

MASK_PREFIX = "data:image/png;base64,"
"""The beginning of a mask that is text: a PNG file in base64."""

MAX_SIDE = 16_384
"""The largest height and width of an image or a mask, in pixels."""

FINER = 4
"""How much finer boxes and polygons are drawn than the image, for soft edges."""

GREY = ("1", "L")
"""The modes of pictures that are masks as they are; colours are converted to grey."""

COLOURS = ("RGB", "P", "I;16")

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""The errors that Pillow raises for files that are damaged, or not what they say they are."""

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


def digest_of(pixels: Pixels) -> str:
    """Return a digest of the pixels' shape and values, 16 hexadecimal digits."""
    content = repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


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
        return _decoded("mask", io.BytesIO(content), ["PNG"])
    except InvalidValueError:
        raise
    except (*DAMAGE, *BOMBS) as error:
        raise InvalidValueError(
            "mask", source, f"a PNG file in base64, after {MASK_PREFIX!r}", HINT
        ) from error


@contextmanager
def open_image(what: str, path: str | Path, hint: str) -> Iterator[Image.Image]:
    """Open an image file and decode it; the file is closed afterwards.

    Args:
        what: the name of the value in error messages.
        path: the file; ``~`` is the home directory.
        hint: what to do next if the file is no image, for error messages.

    Raises:
        InvalidValueError: the file cannot be read or decoded, or is too large.
    """
    try:
        with open_regular(Path(path).expanduser()) as file, image_errors(what, str(path), hint):
            yield _decoded(what, file, None)
    except (SessionFileError, RuntimeError) as error:
        # RuntimeError: there is no such home directory, or Pillow does not implement a feature.
        raise InvalidValueError(what, str(path), f"an image file ({error})", hint) from error


@contextmanager
def image_errors(what: str, value: object, hint: str) -> Iterator[None]:
    """Raise what Pillow raises while it decodes an image as InvalidValueError."""
    try:
        yield
    except InvalidValueError:
        raise
    except UnidentifiedImageError as error:
        raise InvalidValueError(what, value, "an image file of a known format", hint) from error
    except BOMBS as error:
        reason = str(error).removesuffix(".")
        raise InvalidValueError(
            what, value, f"a smaller image ({reason})", "Make it smaller with another program."
        ) from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).removesuffix(".")
        raise InvalidValueError(
            what, value, f"an image file that can be decoded ({reason})", hint
        ) from error


def _decoded(what: str, file: Any, formats: list[str] | None) -> Image.Image:
    image = Image.open(file, formats=formats)
    check_side(what, *image.size)
    image.load()
    return image


def check_side(what: str, *sides: int) -> None:
    """Raise InvalidValueError unless all sides of an image have 1 to `MAX_SIDE` pixels."""
    if not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
        raise InvalidValueError(f"size of the {what}", sides, f"1 to {MAX_SIDE} pixels a side")


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


def as_array(source: Any) -> NDArray[Any]:
    """Return an array, or a tensor on any device, as an array."""
    if not hasattr(source, "detach"):
        return np.asarray(source)
    tensor = source.detach().cpu()
    # NumPy has no bfloat16.
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)


def as_bytes(what: str, array: NDArray[Any]) -> Pixels:
    """Return the values of an array as 8-bit numbers.

    Args:
        what: the name of the array in error messages.
        array: flags, 8-bit numbers, or numbers from 0 to 1.

    Raises:
        InvalidValueError: it holds others.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidValueError(
            f"type of the {what}",
            array.dtype,
            "flags, 8-bit numbers, or numbers from 0 to 1",
            "Divide 16-bit numbers by 65535; convert numbers up to 255 to uint8.",
        )
    # Not a number fails this too.
    if not (array.min() >= 0 and array.max() <= 1):
        low, high = float(array.min()), float(array.max())
        raise InvalidValueError(
            what,
            f"{low:g} to {high:g}",
            "numbers from 0 to 1",
            "Divide 8-bit values by 255; numbers from -1 to 1 by 2, and add 0.5.",
        )
    # In the precision in which diffusers makes PIL images of an output.
    rounded: Pixels = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    return rounded


def high_bytes(image: Image.Image) -> Image.Image:
    """Return a grey image of 16 bits with 8 bits."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


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
