"""Pixels of masks and photographs as they are in session files: 8 bits each, compressed by zlib."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..errors import SessionFormatError
from ..files import open_tensors
from ..state import Pixels, mask_of, photograph_digest
from .document import PHOTOGRAPH, document_of, mask_name


def deflate_pixels(pixels: Pixels) -> bytes:
    """Return pixels, compressed."""
    return zlib.compress(pixels.tobytes())


def inflate_mask(packed: bytes, digest: str, sizes: Sequence[int]) -> Pixels:
    """Return a mask's pixels.

    Args:
        packed: the pixels, compressed.
        digest: that of the mask.
        sizes: its shape.

    Raises:
        SessionFormatError: the bytes are not those of this mask.
    """
    return _inflate(packed, sizes, f"mask {digest}", lambda one: mask_of(one).digest == digest)


def inflate_photograph(packed: bytes, digest: str, sizes: Sequence[int]) -> Pixels:
    """Return photographs' pixels. Args and Raises: as for `inflate_mask`."""
    return _inflate(packed, sizes, "photograph", lambda one: photograph_digest(one) == digest)


def read_masks(path: Path) -> dict[str, Pixels]:
    """Return the pixels of all masks in a session's file, by digest.

    Raises:
        SessionFormatError: the file is not a session file, or it is damaged.
        SessionFileError: the file cannot be read.
    """
    found = {}
    with open_tensors(path) as file:
        document, _ = document_of(file, path)
        for digest, (size, *sizes) in document.masks.items():
            packed = bytearray(size)
            file.read_into(mask_name(digest), memoryview(packed))
            found[digest] = inflate_mask(bytes(packed), digest, sizes)
    return found


def read_photograph(path: Path) -> Pixels | None:
    """Return the pixels of the photographs in a session's file; None: there are none.

    Raises: as `read_masks` does.
    """
    with open_tensors(path) as file:
        document, _ = document_of(file, path)
        if document.scene.photograph is None:
            return None
        size, *sizes = document.photograph
        packed = bytearray(size)
        file.read_into(PHOTOGRAPH, memoryview(packed))
        return inflate_photograph(bytes(packed), document.scene.photograph, sizes)


def _inflate(
    packed: bytes, sizes: Sequence[int], what: str, is_right: Callable[[Pixels], bool]
) -> Pixels:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, math.prod(sizes))
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(sizes)
    except (zlib.error, ValueError) as error:
        raise SessionFormatError(f"the {what} is damaged: {error}.") from error
    if not is_right(pixels):
        raise SessionFormatError(f"the {what} is damaged: its pixels are others.")
    return pixels
