"""Read safetensors files that nobody has checked, each from one descriptor.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON) and the
tensors' bytes::

    {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3],
     "data_offsets": [0, 24]}}

The safetensors library accepts duplicate keys, of which the last counts, and headers of up to
100 MB, and it opens a path again for each of its readers. This module refuses such headers, uses
less than 64 MB of memory on any, and keeps the file that it checked open: a file that takes its
place meanwhile is not read.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from attrs import frozen

from ..errors import SessionFormatError, shorten
from .reading import open_regular
from .strict_json import StrictError, parse, structure

LENGTH_BYTES = 8
"""The size of the number that a file begins with: the length of its header."""

MAX_HEADER_BYTES = 4 * 2**20
"""The longest header that is read."""

MAX_TENSORS = 10_000
"""The most tensors that a file may have."""

MAX_TEXTS = 6 * MAX_TENSORS
"""The most texts in a header that is read; each tensor has five."""

MAX_OUTLINE_BYTES = 3 * 2**18
"""The longest header that is read, without the insides of its texts. Each tensor takes up to 60
bytes of it, and parsing takes up to 40 bytes of memory for each."""

MAX_RANK = 8
"""The most dimensions that a tensor may have."""

ITEM_BYTES: Mapping[str, int] = MappingProxyType(
    {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
)
"""The types that are read and written, by the format's name, and the bytes of one number."""

_METADATA = "__metadata__"
_TEXT = re.compile(rb'"[^"]*"')


@frozen
class TensorInfo:
    """The type of a tensor in a file, and its place.

    Attributes:
        dtype: a key of `ITEM_BYTES`, for example "F32" or "BF16".
        shape: the sizes of the dimensions.
        begin: the number of bytes between the header and the tensor.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """The size of the tensor in bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


@frozen
class _Entry:
    """A tensor's entry in a header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, ...]


class TensorFile:
    """An open safetensors file whose header was checked; made by `open_tensors`.

    Attributes:
        head: the file's bytes before those of its tensors.
        metadata: the texts of ``__metadata__``, by key.
        tensors: the tensors, by name, in the order of their bytes, which follow each other without
            gaps to the end of the file.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.head = _read_head(file)
        size = os.fstat(file.fileno()).st_size - len(self.head)
        self.metadata, self.tensors = _parse(self.head[LENGTH_BYTES:], size)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fill a buffer of bytes with a tensor's.

        Raises SessionFormatError if the file is shorter than it was.
        """
        self._file.seek(len(self.head) + self.tensors[name].begin)
        # A buffered file reads on until the buffer is full, or the file is at its end.
        if self._file.readinto(buffer) < buffer.nbytes:  # type: ignore[attr-defined]
            raise SessionFormatError(
                f"{str(self._path)!r} became shorter while it was read. Load it again."
            )


@contextmanager
def open_tensors(path: Path) -> Iterator[TensorFile]:
    """Open a file and check its header; the tensors' bytes are not read.

    Raises:
        SessionFileError: the file does not exist, cannot be read, or is a folder, pipe or device;
            or the body raises OSError.
        SessionFormatError: the file is not a safetensors file, has a duplicate key, or exceeds a
            limit of this module.
    """
    with open_regular(path) as file:
        try:
            opened = TensorFile(path, file)
        except StrictError as error:
            raise SessionFormatError(
                f"{str(path)!r} is no session, or a damaged one: {error}. Load another copy of it."
            ) from None
        yield opened


def _read_head(file: BinaryIO) -> bytes:
    """Return the header and the number before it."""
    prefix = file.read(LENGTH_BYTES)
    length = int.from_bytes(prefix, "little")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise StrictError(f"its header has {length} bytes; allowed: 2 to {MAX_HEADER_BYTES}")
    header = file.read(length)
    if len(header) < length:
        raise StrictError(f"it ends after {len(header)} of its header's {length} bytes")
    return prefix + header


def _parse(header: bytes, size: int) -> tuple[Mapping[str, str], Mapping[str, TensorInfo]]:
    """Return a header's metadata and tensors, which must fill ``size`` bytes."""
    outline = _outline(header)
    plain = parse(header)
    if type(plain) is not dict or header[:1] != b"{":
        raise StrictError(f"its header is {shorten(plain)}, not an object")
    if b"-" in outline:
        raise StrictError("its header has a negative number, or -0")
    metadata = structure(plain.pop(_METADATA, {}), Mapping[str, str], (_METADATA,))
    if len(plain) > MAX_TENSORS:
        raise StrictError(f"it has {len(plain)} tensors; allowed: {MAX_TENSORS}")
    entries = structure(plain, Mapping[str, _Entry])
    tensors, at = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        tensors[name] = info = _checked(name, entry, at)
        at += info.nbytes
    if at != size:
        raise StrictError(f"its tensors have {at} bytes, and {size} bytes follow its header")
    return metadata, tensors


def _checked(name: str, entry: _Entry, begin: int) -> TensorInfo:
    """Return the tensor of an entry, which must begin at a place."""
    if entry.dtype not in ITEM_BYTES:
        known = ", ".join(ITEM_BYTES)
        raise StrictError(f"{shorten(entry.dtype)} is not one of {known}", (name, "dtype"))
    # Readers multiply the sizes of empty tensors too, in 64 bits.
    product = math.prod(max(1, one) for one in entry.shape) * ITEM_BYTES[entry.dtype]
    if len(entry.shape) > MAX_RANK or min(entry.shape, default=0) < 0 or product >= 2**63:
        allowed = f"up to {MAX_RANK} sizes, each at least 0, of less than 2**63 bytes"
        raise StrictError(f"{shorten(entry.shape)} is not {allowed}", (name, "shape"))
    info = TensorInfo(entry.dtype, entry.shape, begin)
    expected = (begin, begin + info.nbytes)
    if entry.data_offsets != expected:
        problem = f"{shorten(entry.data_offsets)} is not {shorten(expected)}"
        raise StrictError(problem, (name, "data_offsets"))
    return info


def _outline(header: bytes) -> bytes:
    """Return a header without its texts. Raises StrictError if it takes much memory to parse."""
    # Valid JSON has backslashes only in texts. Without escapes, each quote begins or ends a text.
    bare = header.replace(rb"\\", b"").replace(rb"\"", b"")
    if (texts := bare.count(b'"') // 2) > MAX_TEXTS:
        raise StrictError(f"its header has {texts} texts; allowed: {MAX_TEXTS}")
    outline = _TEXT.sub(b"", bare)
    if len(outline) > MAX_OUTLINE_BYTES:
        raise StrictError(
            f"its header has {len(outline)} bytes outside of texts; allowed: {MAX_OUTLINE_BYTES}"
        )
    return outline
