"""The pixels of masks as they are in session files: 8 bits each, compressed by zlib."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import SessionFormatError
from ..files import open_tensors
from ..state import Pixels, mask_of
from .document import document_of, mask_name


def deflate_mask(pixels: Pixels) -> bytes:
    """Return a mask's pixels, compressed."""
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
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, math.prod(sizes))
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(sizes)
    except (zlib.error, ValueError) as error:
        raise SessionFormatError(f"the mask {digest} is damaged: {error}.") from error
    if mask_of(pixels).digest != digest:
        raise SessionFormatError(f"the mask {digest} is damaged: its pixels are others.")
    return pixels


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
