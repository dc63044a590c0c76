"""A session as one safetensors file. FORMAT.md describes its content."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, TypeAlias

import torch
from attrs import frozen
from torch import Tensor

from ..errors import InvalidValueError, SessionFileError, SessionFormatError
from ..files import (
    TensorFile,
    TensorRows,
    locked,
    open_regular,
    open_tensors,
    replace_file,
    write_tensors,
)
from ..state.fields import check_path
from .document import (
    DIGEST,
    DIGEST_BYTES,
    DOCUMENT,
    DTYPES,
    METADATA_KEY,
    Document,
    check_tensors,
    document_of,
    dump_document,
)
from .snapshot import Snapshot
from .versions import FORMAT_VERSION

Expect: TypeAlias = Callable[[str, Document], None]
"""A function that is told which file is about to be in its place: its digest and its document."""

SUFFIX = ".safetensors"
"""The end of a session file's name."""

NAMES = {"uint8": "U8", **{name: short for short, name in DTYPES.items()}}
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


def session_path(path: str | Path) -> Path:
    """Return a path to write a session to. Raises InvalidValueError unless it says so."""
    path = check_path("path", path)
    if path.suffix.lower() != SUFFIX:
        raise InvalidValueError(
            "path", str(path), f'a file name that ends in "{SUFFIX}"', "Render.save writes images."
        )
    return path


def write_session(path: Path, snapshot: Snapshot, expect: Expect = lambda *_: None) -> Saved:
    """Write a session's file. An older file stays until the new one is complete.

    Tensors are copied to the host and written one part at a time. The journal of the file that was
    there is removed; it does not belong to the new one.

    Args:
        path: the file.
        snapshot: its content.
        expect: called before the file is moved into place, with its digest and its document.

    Raises:
        SessionFileError: it cannot be written, or exceeds a limit of `read_session`.
    """
    with locked(path) as target:
        return replace_session(target, path, snapshot, expect)


def replace_session(target: Path, path: Path, snapshot: Snapshot, expect: Expect) -> Saved:
    """Write a session's file as `write_session` does, to a path that `locked` yielded."""
    document = snapshot.document
    packed = dump_document(document)
    tensors = {name: _rows(parts) for name, parts in snapshot.tensors.items()}
    types = {name: (rows.dtype, rows.shape) for name, rows in tensors.items()}
    try:
        check_tensors(document, types, "the file would be damaged")
    except SessionFormatError as error:
        raise SessionFileError(f"{str(path)!r} cannot be written: {error}") from error
    tensors[DOCUMENT] = TensorRows("U8", (len(packed),), [packed])
    written = _Written()
    tensors[DIGEST] = TensorRows("U8", (DIGEST_BYTES,), written.digests())

    def write(file: BinaryIO) -> None:
        written.file = file
        text = json.dumps({"format_version": FORMAT_VERSION})
        write_tensors(written, tensors, {METADATA_KEY: text})

    replace_file(target, write, lambda: expect(written.digest.hex(), document))
    # It continued the former file. Nothing depends on its removal: it names that file.
    with suppress(OSError):
        journal_path(target).unlink(missing_ok=True)
    return Saved(path, written.size, len(document.recorded))


def journal_path(path: Path) -> Path:
    """Return the path of a session file's journal."""
    return path.with_name(path.name + ".journal")


def read_session(path: Path, device: torch.device) -> Snapshot:
    """Read a session from its file, which is checked before any tensor is touched.

    Raises:
        SessionFormatError: it is not a session's file, it is damaged, or it was changed while it
            was read.
        SessionFileError: it cannot be read.
    """
    with open_tensors(path) as file:
        document, packed = document_of(file, path)
        digest, tensors = sha256(file.head), {}
        for name, info in file.tensors.items():
            if packed and name == DOCUMENT:
                digest.update(packed)
            if packed and name in (DOCUMENT, DIGEST):
                continue
            kind = "uint8" if info.dtype == "U8" else DTYPES[info.dtype]
            tensor = torch.empty(info.shape, dtype=getattr(torch, kind))
            buffer = _host_bytes(tensor)
            file.read_into(name, buffer)
            digest.update(buffer)
            if not bool(tensor.isfinite().all()):
                raise SessionFormatError(
                    f"{path} is damaged: {name} has values that are not finite."
                )
            tensors[name] = tensor.to(device)
        if packed:
            _check_digest(file, path, digest.digest())
    return Snapshot(document, {name: (tensor,) for name, tensor in tensors.items()})


def read_digest(path: Path) -> str | None:
    """Return the digest that a session's file ends in; None if there is no file.

    Raises:
        SessionFileError: the file cannot be read.
    """
    if not path.exists():
        return None
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - DIGEST_BYTES))
        return file.read(DIGEST_BYTES).hex()


class _Written:
    """A file that is being written, and what its digest is made from.

    Attributes:
        size: the number of bytes written.
        digest: that of the bytes before it.
    """

    file: BinaryIO
    digest: bytes

    def __init__(self) -> None:
        self._sha, self.size = sha256(), 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write bytes, and digest them."""
        self.file.write(data)
        self._sha.update(data)
        self.size += memoryview(data).nbytes

    def digests(self) -> Iterator[bytes]:
        """Yield the digest of what has been written when the digest's turn comes."""
        self.digest = self._sha.digest()
        yield self.digest


def _check_digest(file: TensorFile, path: Path, found: bytes) -> None:
    written = bytearray(DIGEST_BYTES)
    file.read_into(DIGEST, memoryview(written))
    if found != written:
        raise SessionFormatError(
            f"{path} is damaged, or was changed while it was read: its bytes are not those that "
            "its digest was made from. Load it again, or another copy."
        )


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
