"""Write safetensors files piece by piece, so that no file is ever held in memory as a whole."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Protocol

from attrs import frozen

from ..errors import InvalidValueError
from .safetensors_reader import ITEM_BYTES, LENGTH_BYTES


class Writable(Protocol):
    """A file, or an object that also counts or digests the bytes that are written to it."""

    def write(self, data: bytes | bytearray | memoryview, /) -> object:
        """Write all of the bytes."""


@frozen(eq=False)
class TensorRows:
    """A tensor to write, whose bytes are produced one chunk at a time.

    Attributes:
        dtype: a key of `ITEM_BYTES`.
        shape: the sizes of the dimensions.
        chunks: the tensor's bytes in C order, little-endian, in pieces of any size. They are
            iterated over once, when it is this tensor's turn to be written.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: Iterable[bytes | bytearray | memoryview]

    @property
    def nbytes(self) -> int:
        """The size of the tensor in bytes. Raises InvalidValueError for an unknown dtype."""
        if self.dtype not in ITEM_BYTES:
            raise InvalidValueError("dtype", self.dtype, f"one of {', '.join(ITEM_BYTES)}")
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


def write_tensors(
    file: Writable, tensors: Mapping[str, TensorRows], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file. At most one chunk of a tensor is alive at a time.

    Args:
        file: an open file, at its beginning.
        tensors: the tensors, by name.
        metadata: the texts of ``__metadata__``, by key.

    Raises:
        InvalidValueError: a dtype is unknown, or a tensor's chunks have more or fewer bytes than
            its dtype and shape need. The file is incomplete then.
    """
    # Larger numbers first, so that each tensor begins at a multiple of its number's size.
    order = sorted(tensors, key=lambda name: (-ITEM_BYTES.get(tensors[name].dtype, 0), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    begin = 0
    for name in order:
        rows = tensors[name]
        end = begin + rows.nbytes
        offsets = [begin, end]
        header[name] = {"dtype": rows.dtype, "shape": list(rows.shape), "data_offsets": offsets}
        begin = end
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write(len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded)
    for name in order:
        _write_chunks(file, name, tensors[name])


def _write_chunks(file: Writable, name: str, rows: TensorRows) -> None:
    written = 0
    for chunk in rows.chunks:
        written += memoryview(chunk).nbytes
        if written > rows.nbytes:
            break
        file.write(chunk)
        del chunk  # before the next one is made
    if written != rows.nbytes:
        raise InvalidValueError(
            f"the size of tensor {name!r}",
            written,
            f"{rows.nbytes} bytes, for {rows.shape} of {rows.dtype}",
        )
