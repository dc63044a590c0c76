"""The outer shape of a session file, checked before the safetensors library reads it.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON) and the
tensors' bytes::

    {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3],
     "data_offsets": [0, 24]}}

The library takes keys that are there twice, unknown fields, shapes of 200,000 dimensions and the
like. Here, what no session needs is an error, and no file costs more than 64 MB of memory or a
second, however it was made.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import frozen

from ..errors import SessionFormatError
from .atomic import BINARY, check_regular, file_errors
from .strict_json import StrictError, parse, shorten

LENGTH_BYTES = 8

MAX_HEADER_BYTES = 4 * 2**20
"""A session's document has a few MB at most, a tensor's entry some 100 bytes. Python holds the
header as bytes, as text and in the parsed values; a single emoji makes text four times larger."""

MAX_TENSORS = 10_000
"""A session has some thousand; their parsed entries take about 1 kB each."""

MAX_RANK = 8
MAX_DIMENSION = 2**31 - 1
MAX_TENSOR_BYTES = 2**63 - 1
MAX_NAME_LENGTH = 200

MAX_METADATA = 100
"""How many keys ``__metadata__`` may have; a session has a handful."""

MAX_TEXTS = 5 * MAX_TENSORS + 2 * MAX_METADATA + 1
"""A tensor's entry has its name, three keys and the dtype."""

MAX_MARKS = (10 + MAX_RANK) * MAX_TENSORS + 2 * MAX_METADATA + 3
"""Commas, colons and opening brackets: 18 in the entry of a tensor of rank 8."""

ITEM_BYTES = MappingProxyType(
    {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
)
"""The dtypes that a session may hold."""

FIELDS = {"dtype", "shape", "data_offsets"}

FOREIGN = re.compile(rb"[0-9]{20}|[^\s{}\[\]:,0-9][^\s{}\[\]:,]{0,20}")
"""What a header has nowhere outside its texts: signs, fractions, true, null, NaN, long numbers."""

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half a character, which JSON's escapes can spell but UTF-8 cannot."""


@frozen
class TensorInfo:
    """Where a tensor lies in its file.

    Attributes:
        dtype: a key of `ITEM_BYTES`.
        shape: up to 8 dimensions, each from 0 to 2³¹ - 1.
        begin: the first byte, counted from the beginning of the file.
        end: the byte after the last.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@frozen
class Header:
    """What a file says about itself.

    Attributes:
        metadata: the texts of ``__metadata__``.
        tensors: by name, in the order of their bytes.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorInfo]


def read_header(path: Path, allowed: re.Pattern[str]) -> Header:
    """Read and check a file's header; the tensors' bytes are not read.

    Args:
        path: the file.
        allowed: what a tensor's name must match from end to end.

    Raises:
        SessionFileError: no such file, or it cannot be read, or it is a folder, pipe or device.
        SessionFormatError: the file breaks the format or one of this module's limits.
    """
    try:
        with file_errors(path, "cannot be read"):
            raw, size = _read(path)
        _check_outline(raw)
        plain = _parsed(raw)
        metadata = _metadata(plain.pop("__metadata__", {}))
        tensors = _tensors(plain, LENGTH_BYTES + len(raw), size, allowed)
    except StrictError as problem:
        raise SessionFormatError(
            f"{str(path)!r} is no session, or a damaged one: {problem!s:.300}. "
            "Load another copy of it."
        ) from None
    return Header(MappingProxyType(metadata), MappingProxyType(tensors))


def _read(path: Path) -> tuple[bytes, int]:
    """The header as bytes, and the file's size."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | BINARY | getattr(os, "O_NONBLOCK", 0))

    try:
        # Asked twice: opening a device may do something, and what is there may change meanwhile.
        check_regular(os.stat(path).st_mode)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from None
    with open(path, "rb", opener=opener) as handle:
        status = os.fstat(handle.fileno())
        check_regular(status.st_mode)
        size = status.st_size
        if size < LENGTH_BYTES:
            raise StrictError(f"the file has {size} bytes; allowed: at least {LENGTH_BYTES}")
        length = int.from_bytes(handle.read(LENGTH_BYTES), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise StrictError(
                f"the header's length is {length} at byte 0; allowed: 2 to {MAX_HEADER_BYTES}"
            )
        if LENGTH_BYTES + length > size:
            raise StrictError(
                f"the header ends at byte {LENGTH_BYTES + length}; "
                f"allowed: up to the file's end at byte {size}"
            )
        raw = handle.read(length)
    if len(raw) < length:
        raise StrictError("the file became shorter while it was read")
    return raw, size


def _check_outline(raw: bytes) -> None:
    """Bound what the JSON parser builds, before it builds anything.

    An empty list takes three bytes of the header and seventy of memory, a key with a value seven
    and four hundred. Where the parser finds no JSON, all before that place was counted rightly.
    """
    if not raw.startswith(b"{"):
        raise StrictError(f"the header begins with {raw[:1]!r} at byte 8; allowed: b'{{'")
    # JSON has backslashes in texts only, so now each quote begins or ends a text.
    bare = raw.replace(rb"\\", b"__").replace(rb"\"", b"__")
    texts = -(-bare.count(b'"') // 2)
    if texts > MAX_TEXTS:
        raise StrictError(_too_many("texts", texts, MAX_TEXTS))
    parts = bare.split(b'"')
    parts[1::2] = [b" " * len(part) for part in parts[1::2]]
    outline = b" ".join(parts)
    found = FOREIGN.search(outline)
    if found:
        value = found[0].decode("ascii", "backslashreplace")
        raise StrictError(
            f"the header has {value!r} at byte {LENGTH_BYTES + found.start()}; "
            "allowed: text, lists, objects and whole numbers of up to 19 digits"
        )
    marks = sum(map(outline.count, (b",", b":", b"[", b"{")))
    if marks > MAX_MARKS:
        raise StrictError(_too_many("commas, colons and brackets", marks, MAX_MARKS))


def _too_many(what: str, count: int, limit: int) -> str:
    return f"the header has {count} {what}; allowed: {limit}, for {MAX_TENSORS} tensors"


def _parsed(raw: bytes) -> Any:
    try:
        return parse(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        at = LENGTH_BYTES + error.start
        raise StrictError(f"the header is no UTF-8 at byte {at}: {error.reason}") from None
    except StrictError as problem:
        raise StrictError(f"in the header, which begins at byte 8, {problem}") from None


def _metadata(plain: Any) -> dict[str, str]:
    if type(plain) is not dict:
        raise StrictError(f"__metadata__ is {shorten(plain)}; allowed: an object")
    if len(plain) > MAX_METADATA:
        raise StrictError(f"__metadata__ has {len(plain)} keys; allowed: {MAX_METADATA}")
    for key, value in plain.items():
        if type(value) is not str:
            raise StrictError(f"__metadata__ has {shorten(value)} at {shorten(key)}; allowed: text")
        if SURROGATE.search(key) or SURROGATE.search(value):
            raise StrictError(
                f"__metadata__ has half a character at {shorten(key)}; allowed: UTF-8"
            )
    return plain


def _tensors(
    plain: dict[str, Any], begin: int, size: int, allowed: re.Pattern[str]
) -> dict[str, TensorInfo]:
    """The tensors, which fill the file from ``begin`` to ``size`` without gaps."""
    if len(plain) > MAX_TENSORS:
        raise StrictError(f"the header has {len(plain)} tensors; allowed: {MAX_TENSORS}")
    found = [(name, _tensor(name, plain[name], begin, allowed)) for name in plain]
    found.sort(key=lambda pair: (pair[1].begin, pair[1].end))
    end = begin
    for name, info in found:
        if info.begin != end:
            raise StrictError(
                f"tensor {name!r} begins at byte {info.begin}; "
                f"allowed: byte {end}, where the one before it ends"
            )
        end = info.end
    if end != size:
        raise StrictError(f"the file has {size} bytes; allowed: {end}, where its last tensor ends")
    return dict(found)


def _tensor(name: str, entry: Any, begin: int, allowed: re.Pattern[str]) -> TensorInfo:
    if len(name) > MAX_NAME_LENGTH:
        raise StrictError(
            f"the name {shorten(name)} has {len(name)} characters; allowed: {MAX_NAME_LENGTH}"
        )
    if SURROGATE.search(name) or not allowed.fullmatch(name):
        raise StrictError(f"{name!r} is no tensor of a session")
    where = f"tensor {name!r}"
    if type(entry) is not dict or entry.keys() != FIELDS:
        fields = sorted(entry) if type(entry) is dict else entry
        raise StrictError(f"{where} has {shorten(fields)}; allowed: dtype, shape, data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(dtype) is not str or dtype not in ITEM_BYTES:
        raise StrictError(f"{where}: dtype is {shorten(dtype)}; allowed: {', '.join(ITEM_BYTES)}")
    if not _whole_numbers(shape, MAX_DIMENSION) or len(shape) > MAX_RANK:
        raise StrictError(
            f"{where}: shape is {shorten(shape)}; "
            f"allowed: up to {MAX_RANK} numbers from 0 to {MAX_DIMENSION}"
        )
    if not _whole_numbers(offsets, MAX_TENSOR_BYTES) or len(offsets) != 2:
        raise StrictError(f"{where}: data_offsets is {shorten(offsets)}; allowed: two numbers")
    # An empty tensor's other dimensions count too: readers multiply them in 64 bits.
    if math.prod(size or 1 for size in shape) * ITEM_BYTES[dtype] > MAX_TENSOR_BYTES:
        raise StrictError(f"{where}: shape is {shape}; allowed: up to {MAX_TENSOR_BYTES} bytes")
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    if offsets[1] - offsets[0] != needed:
        raise StrictError(
            f"{where}: data_offsets is {offsets}; allowed: {needed} bytes, for {shape} of {dtype}"
        )
    return TensorInfo(dtype, tuple(shape), begin + offsets[0], begin + offsets[1])


def _whole_numbers(values: Any, limit: int) -> bool:
    return type(values) is list and all(
        type(value) is int and 0 <= value <= limit for value in values
    )
