"""Safetensors files that are written piece by piece."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load, save

from sega_session.errors import InvalidValueError
from sega_session.files import TensorInfo, TensorRows, write_tensors
from sega_session.files.safetensors_reader import ITEM_BYTES
from tests.files.fuzzing import METADATA, TENSORS, peak_megabytes, read_header

DTYPES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16"},
    **{"int64": "I64", "uint8": "U8", "bool": "BOOL"},
}


def rows_of(array: np.ndarray[Any, Any]) -> TensorRows:
    """Return an array to write, one row at a time."""
    rows = array if array.ndim else array[None]
    return TensorRows(DTYPES[str(array.dtype)], array.shape, (row.tobytes() for row in rows))


def written(tensors: dict[str, TensorRows], metadata: dict[str, str]) -> bytes:
    file = io.BytesIO()
    write_tensors(file, tensors, metadata)
    return file.getvalue()


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        write_tensors(file, {name: rows_of(array) for name, array in TENSORS.items()}, METADATA)
    with safe_open(path, "np") as found:
        assert found.metadata() == METADATA
        assert set(found.keys()) == TENSORS.keys()
        for name, array in TENSORS.items():
            again = found.get_tensor(name)
            assert (again.dtype, again.shape) == (array.dtype, array.shape)
            assert again.tobytes() == array.tobytes()
    header = read_header(path)
    assert header.metadata == METADATA
    assert header.tensors["prediction.0"] == TensorInfo("F16", (3, 5), 104)


def test_the_layout_is_that_of_the_library() -> None:
    """The padding and the order of the bytes are the library's, for one key of metadata."""
    metadata = {"key": "ß 🐕"}
    for count in range(len(TENSORS) + 1):
        some = dict(list(TENSORS.items())[:count])
        content = written({name: rows_of(array) for name, array in some.items()}, metadata)
        length = int.from_bytes(content[:8], "little")
        assert length % 8 == 0
        other = save(some, metadata)
        assert len(content) == len(other)
        assert content[8 + length :] == other[8 + length :]


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=5), st.sampled_from([*ITEM_BYTES]), max_size=5), st.data())
def test_every_tensor_begins_at_a_multiple_of_its_number(
    dtypes: dict[str, str], data: st.DataObject
) -> None:
    tensors = {}
    for name, dtype in dtypes.items():
        size = data.draw(st.integers(0, 5))
        tensors[name] = TensorRows(dtype, (size,), [b"\1" * (size * ITEM_BYTES[dtype])])
    content = written(tensors, {})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {}
    assert header.keys() == tensors.keys()
    for entry in header.values():
        assert (8 + length + entry["data_offsets"][0]) % ITEM_BYTES[entry["dtype"]] == 0


def test_chunks_may_be_of_any_size_and_kind() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    whole = array.tobytes()
    for chunks in (
        [whole],
        [whole[:1], b"", whole[1:50], whole[50:]],
        [bytearray(whole)],
        [array.data],
        [row.data for row in array],
    ):
        content = written({"a": TensorRows("F32", (2, 3, 4), chunks)}, {})
        np.testing.assert_array_equal(load(content)["a"], array)


def test_only_one_chunk_is_alive_at_a_time(tmp_path: Path) -> None:
    size = 10**6

    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(size)

    tensors = {name: TensorRows("U8", (20, size), chunks()) for name in ("a", "b")}
    with (tmp_path / "a.safetensors").open("wb") as file:
        peak = peak_megabytes(lambda: write_tensors(file, tensors, {}))
    assert 1 < peak < 1.5
    assert (tmp_path / "a.safetensors").stat().st_size > 40 * size


def test_chunks_are_made_when_it_is_their_turn() -> None:
    file = io.BytesIO()
    seen = []

    def chunks(name: str) -> Iterator[bytes]:
        for row in range(2):
            seen.append((name, row, file.tell()))
            yield b"1234"

    write_tensors(file, {n: TensorRows("F32", (2,), chunks(n)) for n in "ab"}, {})
    begin = len(file.getvalue()) - 16
    assert seen == [
        ("a", 0, begin),
        ("a", 1, begin + 4),
        ("b", 0, begin + 8),
        ("b", 1, begin + 12),
    ]


@pytest.mark.parametrize("chunks", [[], [b"x" * 23], [b"x" * 25], [b"x" * 24, b"x"]])
def test_a_wrong_number_of_bytes_is_an_error(chunks: list[bytes]) -> None:
    size = sum(map(len, chunks))
    message = rf"size of tensor 'a' is {size}; allowed: 24 bytes, for \(2, 3\) of F32"
    with pytest.raises(InvalidValueError, match=message):
        written({"a": TensorRows("F32", (2, 3), chunks)}, {})


def test_an_endless_tensor_is_stopped() -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b"x" * 10

    with pytest.raises(InvalidValueError, match="size of tensor 'a' is 30; allowed: 24 bytes"):
        written({"a": TensorRows("F32", (2, 3), chunks())}, {})


def test_an_unknown_dtype_is_an_error() -> None:
    with pytest.raises(InvalidValueError, match=r"dtype is 'float32'; allowed: one of F64, F32"):
        written({"a": TensorRows("float32", (1,), [b"1234"])}, {})
