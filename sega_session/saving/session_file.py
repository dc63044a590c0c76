"""A session as one safetensors file. FORMAT.md describes its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from attrs import frozen
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import SessionFileError, SessionFormatError
from ..files import TensorRows, replace_file, write_tensors
from .document import DTYPES, METADATA_KEY, dump_document, read_document
from .snapshot import Snapshot

NAMES = {name: short for short, name in DTYPES.items()}
"""Safetensors' names of the precisions, by torch's."""


@frozen
class Saved:
    """A file that was written.

    Attributes:
        path: of the file.
        bytes: its size.
        renders: the number of recorded renders in it.
    """

    path: Path
    bytes: int
    renders: int

    def __str__(self) -> str:
        renders = f"{self.renders} recorded {'render' if self.renders == 1 else 'renders'}"
        return f"{self.path}: {self.bytes / 1e6:.2f} MB, {renders}"


def write_session(path: Path, snapshot: Snapshot) -> Saved:
    """Write a session's file. An older file stays until the new one is complete.

    Tensors are copied to the host and written one part at a time.

    Raises:
        SessionFileError: it cannot be written, or is larger than `read_session` allows.
    """
    tensors = {name: _rows(parts) for name, parts in snapshot.tensors.items()}
    metadata = {METADATA_KEY: dump_document(snapshot.document)}
    size = 0

    def write(file: BinaryIO) -> None:
        nonlocal size
        write_tensors(file, tensors, metadata)
        size = file.tell()

    def check(temp: Path) -> None:
        try:
            read_document(temp)
        except SessionFormatError as error:
            raise SessionFileError(f"it could not be read back: {error}") from error

    replace_file(path, write, check)
    return Saved(path, size, len(snapshot.document.recorded))


def read_session(path: Path, device: torch.device) -> Snapshot:
    """Read a session from its file, which is checked before any tensor is touched.

    Raises:
        SessionFormatError: it is not a session's file, or it is damaged.
        SessionFileError: it cannot be read.
    """
    document = read_document(path)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error}") from error
    except SafetensorError as error:
        raise SessionFormatError(f"{path} changed while it was read: {error}.") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise SessionFormatError(f"{path} is damaged: {name} has values that are not finite.")
    return Snapshot(document, {name: (tensor,) for name, tensor in tensors.items()})


def _rows(parts: tuple[Tensor, ...]) -> TensorRows:
    first = parts[0]
    shape = (sum(map(len, parts)), *first.shape[1:])
    name = str(first.dtype).removeprefix("torch.")
    return TensorRows(NAMES[name], shape, _chunks(parts))


def _chunks(parts: tuple[Tensor, ...]) -> Iterator[memoryview]:
    for part in parts:
        # Not kept in a name here: the copy on the host is freed before the next one is made.
        yield _host_bytes(part)


def _host_bytes(tensor: Tensor) -> memoryview:
    # Viewed as bytes, because numpy has no bfloat16.
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
