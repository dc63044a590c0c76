"""Read the header of a safetensors file that nobody has checked.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON) and the
tensors' bytes::

    {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3],
     "data_offsets": [0, 24]}}

The safetensors library checks the header's types, and that the tensors fill the file without gaps.
It accepts duplicate keys, of which the last counts, and headers of up to 100 MB. This module
refuses both before the library sees the file, and uses less than 64 MB of memory on any file.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen
from safetensors import SafetensorError, safe_open

from ..errors import SessionFormatError
from .atomic import BINARY, check_regular, file_errors
from .strict_json import StrictError, parse

LENGTH_BYTES = 8
"""The size of the number that a file begins with: the length of its header."""

MAX_HEADER_BYTES = 4 * 2**20
"""The longest header that is read. A session's document has a few MB at most."""

MAX_TEXTS = 60_000
"""The most texts in a header that is read; 10,000 tensors have 50,000."""

MAX_OUTLINE_BYTES = 3 * 2**18
"""The longest header that is read, without the insides of its texts. Each tensor takes up to 60
bytes of it, and parsing takes up to 40 bytes of memory for each."""

_TEXT = re.compile(rb'"[^"]*"')


@frozen
class TensorInfo:
    """The type of a tensor in a file.

    Attributes:
        dtype: the format's name of the type, for example "F32" or "BF16".
        shape: the sizes of the dimensions.
    """

    dtype: str
    shape: tuple[int, ...]


@frozen
class Header:
    """The contents of a file's header.

    Attributes:
        metadata: the texts of ``__metadata__``, by key.
        tensors: the tensors' types, by name.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]


def read_header(path: Path) -> Header:
    """Read and check a file's header; the tensors' bytes are not read.

    Raises:
        SessionFileError: the file does not exist, cannot be read, or is a folder, pipe or device.
        SessionFormatError: the file is not a safetensors file, has a duplicate key, or exceeds a
            limit of this module.
    """
    try:
        with file_errors(path, "cannot be read"):
            _check_keys(_read_header_bytes(path))
            with safe_open(path, framework="np") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                tensors = {
                    name: TensorInfo(one.get_dtype(), tuple(one.get_shape()))
                    for name, one in slices.items()
                }
                return Header(file.metadata() or {}, tensors)
    except (StrictError, SafetensorError) as error:
        # The library's messages hold names as they are in the file.
        reason = "".join(char if char.isprintable() else "?" for char in str(error)[:300])
        raise SessionFormatError(
            f"{str(path)!r} is no session, or a damaged one: {reason}. Load another copy of it."
        ) from None


def _read_header_bytes(path: Path) -> bytes:
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | BINARY | getattr(os, "O_NONBLOCK", 0))

    try:
        # Checked twice: opening a device may have effects, and the file may be replaced meanwhile.
        check_regular(os.stat(path).st_mode)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    with open(path, "rb", opener=opener) as handle:
        check_regular(os.fstat(handle.fileno()).st_mode)
        length = int.from_bytes(handle.read(LENGTH_BYTES), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise StrictError(f"its header has {length} bytes; allowed: 2 to {MAX_HEADER_BYTES}")
        return handle.read(length)


def _check_keys(header: bytes) -> None:
    """Raise StrictError for duplicate keys, and for headers that take much memory to parse."""
    # Valid JSON has backslashes only in texts. Without escapes, each quote begins or ends a text.
    bare = header.replace(rb"\\", b"").replace(rb"\"", b"")
    if (texts := bare.count(b'"') // 2) > MAX_TEXTS:
        raise StrictError(f"its header has {texts} texts; allowed: {MAX_TEXTS}")
    if (outline := len(_TEXT.sub(b"", bare))) > MAX_OUTLINE_BYTES:
        raise StrictError(
            f"its header has {outline} bytes outside of texts; allowed: {MAX_OUTLINE_BYTES}"
        )
    parse(header)
