"""Pixels of masks and photographs: image files opened, arrays turned into 8-bit numbers."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import InvalidValueError, SessionFileError
from ..files import open_regular

Pixels: TypeAlias = NDArray[np.uint8]
"""8-bit pixels: of masks, ``(1 or images, height, width)``, 0 outside and 255 inside; of
photographs, ``(images, height, width, 3)``, in sRGB."""

MAX_SIDE = 16_384
"""The largest height and width of an image or a mask, in pixels."""

IMAGE_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""What Pillow raises, and warns of, for images of very many pixels."""

IMAGE_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""The errors that Pillow raises for files that are damaged, or not what they say they are."""


def digest_of(pixels: Pixels) -> str:
    """Return a digest of the pixels' shape and values, 16 hexadecimal digits."""
    content = repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


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
            yield decode_image(what, file, None)
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
    except IMAGE_BOMBS as error:
        reason = str(error).removesuffix(".")
        raise InvalidValueError(
            what, value, f"a smaller image ({reason})", "Make it smaller with another program."
        ) from error
    except IMAGE_DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).removesuffix(".")
        raise InvalidValueError(
            what, value, f"an image file that can be decoded ({reason})", hint
        ) from error


def decode_image(what: str, file: BinaryIO, formats: list[str] | None) -> Image.Image:
    """Decode an image file of one of the formats; None: of any."""
    image = Image.open(file, formats=formats)
    check_side(what, *image.size)
    image.load()
    return image


def check_side(what: str, *sides: int) -> None:
    """Raise InvalidValueError unless all sides of an image have 1 to `MAX_SIDE` pixels."""
    if not 1 <= min(sides) <= max(sides) <= MAX_SIDE:
        raise InvalidValueError(f"size of the {what}", sides, f"1 to {MAX_SIDE} pixels a side")


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
