"""The outer shape of session files: hostile headers one by one, in bulk, and at the limits."""

from __future__ import annotations

import json
import math
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file

from sega_session.errors import SessionFileError, SessionFormatError
from sega_session.files import safetensors_header as container
from sega_session.files.safetensors_header import (
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    Header,
    TensorInfo,
    read_header,
)

NAMES = re.compile(r"[a-z][a-z0-9_.]*")
ANY = re.compile(r"(?s).*")

TENSORS = {
    "latents": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "prediction.0": np.ones((3, 5), np.float16),
    "empty": np.zeros((0, 4), np.float64),
    "scalar": np.array(7, np.int64),
    "mask": np.array([True, False, True]),
    "bytes": np.arange(5, dtype=np.uint8),
}
METADATA = {"session": '{"prompt": "a \\"Hund\\" \\\\ ß 🐕", "scale": 7.5}', "format": "1"}

MEGABYTE = 10**6

on_posix = pytest.mark.skipif(os.name != "posix", reason="pipes, sockets and devices")


def packed(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode() if isinstance(header, str) else header
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def read(folder: Path, content: bytes, allowed: re.Pattern[str] = NAMES) -> Header:
    path = folder / "a.sega"
    path.write_bytes(content)
    return read_header(path, allowed)


def peak_megabytes(call: Callable[[], None]) -> float:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / MEGABYTE
    finally:
        tracemalloc.stop()


def test_neither_this_module_nor_its_oracle_needs_torch() -> None:
    code = "import sys; import sega_session.container, safetensors.numpy; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    save_file(TENSORS, path, METADATA)
    header = read_header(path, NAMES)
    assert header.metadata == METADATA
    assert header.tensors.keys() == TENSORS.keys()
    content = path.read_bytes()
    for name, tensor in TENSORS.items():
        info = header.tensors[name]
        assert info.shape == tensor.shape
        assert content[info.begin : info.end] == tensor.tobytes()
    assert header.tensors["latents"].dtype == "F32"
    assert {info.dtype for info in header.tensors.values()} < container.ITEM_BYTES.keys()


def test_offsets_are_counted_from_the_beginning_of_the_file(tmp_path: Path) -> None:
    header = read(
        tmp_path, packed({"b": entry(offsets=(4, 12)), "a": entry("I32", (), (0, 4))}, b"x" * 12)
    )
    begin = 8 + int.from_bytes((tmp_path / "a.sega").read_bytes()[:8], "little")
    assert list(header.tensors.items()) == [
        ("a", TensorInfo("I32", (), begin, begin + 4)),
        ("b", TensorInfo("F32", (2,), begin + 4, begin + 12)),
    ]
    assert header.metadata == {}


@pytest.mark.parametrize("dtype", container.ITEM_BYTES)
def test_each_dtype_has_its_size(tmp_path: Path, dtype: str) -> None:
    nbytes = 3 * container.ITEM_BYTES[dtype]
    good = packed({"a": entry(dtype, (3,), (0, nbytes))}, b"\0" * nbytes)
    assert read(tmp_path, good).tensors["a"].dtype == dtype
    if dtype != "BF16":  # numpy has none
        assert load_file(tmp_path / "a.sega")["a"].shape == (3,)
    bad = packed({"a": entry(dtype, (3,), (0, nbytes - 1))}, b"\0" * (nbytes - 1))
    with pytest.raises(SessionFormatError, match=rf"allowed: {nbytes} bytes, for \[3\] of {dtype}"):
        read(tmp_path, bad)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"__metadata__": {}},
        {"a": entry("U8", (1,) * 8, (0, 1))},
        {"a": entry("U8", (2**31 - 1, 0, 2**31 - 1), (0, 0)), "b": entry("U8", (1,), (0, 1))},
        {"a" * 200: entry("BOOL", (1,), (0, 1))},
    ],
)
def test_the_limits_themselves_are_allowed(tmp_path: Path, header: dict[str, Any]) -> None:
    content = packed(header, b"\0" * any(name != "__metadata__" for name in header))
    assert read(tmp_path, content).tensors.keys() == header.keys() - {"__metadata__"}
    shapes = {name: tensor.shape for name, tensor in load_file(tmp_path / "a.sega").items()}
    assert shapes == {name: info.shape for name, info in read(tmp_path, content).tensors.items()}


TWO = "x" * 8

HOSTILE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the file has 0 bytes; allowed: at least 8"),
    "half a length": (b"\2\0\0", "the file has 3 bytes; allowed: at least 8"),
    "no header": (packed(b""), "the header's length is 0 at byte 0; allowed: 2 to 4194304"),
    "long header": (b"\xff" * 8 + b"{}", "length is 18446744073709551615 at byte 0; allowed: 2 to"),
    "header at the limit + 1": (
        struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}",
        "length is 4194305 at byte 0",
    ),
    "header beyond the end": (
        struct.pack("<Q", 100) + b"{}",
        "the header ends at byte 108; allowed: up to the file's end at byte 10",
    ),
    "a list": (packed("[]"), r"the header begins with b'\[' at byte 8; allowed: b'{'"),
    "white space": (packed(" {}"), "the header begins with b' ' at byte 8"),
    "a byte order mark": (packed(b"\xef\xbb\xbf{}"), r"begins with b'\\xef' at byte 8"),
    "no JSON": (packed('{"a" 1}'), "the text is not JSON: Expecting ':' delimiter.*char 5"),
    "two documents": (packed("{}{}"), "Extra data.*char 2"),
    "an open text": (packed('{"a'), "Unterminated string.*char 1"),
    "a control character": (packed('{"a\n": 1}'), "Invalid control character.*char 3"),
    "a zero byte": (packed("{}\0"), r"the header has '\\x00' at byte 10"),
    "NaN": (packed('{"a": NaN}'), "the header has 'NaN' at byte 14; allowed: text, lists, objects"),
    "infinity": (packed('{"ä": -Infinity}'), "the header has '-Infinity' at byte 15"),
    "null": (packed('{"__metadata__": null}'), "the header has 'null' at byte 25"),
    "true": (packed('{"a\\"": true}'), "the header has 'true' at byte 16"),
    "a fraction": (packed({"a": entry(shape=(2.0,))}), r"the header has '\.0' at byte"),
    "a negative dimension": (packed({"a": entry(shape=(-2,))}), "the header has '-2' at byte 41"),
    "minus zero": (packed('{"a": -0}'), "the header has '-0' at byte 14"),
    "a long number": (packed('{"a": ' + "1" * 5000 + "}"), "has '1{20}' at byte 14; .* 19 digits"),
    "no UTF-8": (packed(b'{"\xff": 1}'), "the header is no UTF-8 at byte 10: invalid start byte"),
    "no UTF-8 outside texts": (packed(b'{"a": \xff}'), r"the header has '\\\\xff' at byte 14"),
    "UTF-16": (packed('{"a": 1}'.encode("utf-16-le")), r"the header has '\\x00' at byte 9"),
    "a tensor twice": (
        packed('{"a": {}, "\\u0061": {}}'),
        "the key 'a' is there twice",
    ),
    "a field twice": (
        packed('{"a": {"dtype": "F32", "dtype": "F32"}}'),
        "key 'dtype' is there twice",
    ),
    "metadata twice": (
        packed('{"__metadata__": {}, "__metadata__": {}}'),
        "'__metadata__' is there",
    ),
    "a metadata key twice": (
        packed('{"__metadata__": {"k": "", "k": ""}}'),
        "the key 'k' is there",
    ),
    "deep lists": (
        packed('{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"),
        "nested too deep|tensor 'a' has",
    ),
    "very deep lists": (
        packed("{" + "[" * 2**20),
        "1048577 commas, colons and brackets; allowed: 1802",
    ),
    "half a character": (
        packed({"__metadata__": {"k": "\ud83d"}}),
        "__metadata__ has half a character at 'k'; allowed: UTF-8",
    ),
    "half a character in a name": (packed({"\ud83d": entry()}), r"'\\ud83d' is no tensor"),
    "metadata a list": (
        packed({"__metadata__": ["a"]}),
        r"__metadata__ is \['a'\]; allowed: an obj",
    ),
    "metadata a number": (
        packed({"__metadata__": {"k": 1}}),
        "__metadata__ has 1 at 'k'; allowed: text",
    ),
    "metadata nested": (
        packed({"__metadata__": {"k": {}}}),
        "__metadata__ has {} at 'k'; allowed: text",
    ),
    "much metadata": (
        packed({"__metadata__": {str(n): "" for n in range(101)}}),
        "__metadata__ has 101 keys; allowed: 100",
    ),
    "a foreign name": (packed({"../a": entry()}, b"x" * 8), "'../a' is no tensor of a session"),
    "a name with a newline": (
        packed({"a\n": entry()}, b"x" * 8),
        r"'a\\n' is no tensor of a session",
    ),
    "no name": (packed({"": entry()}, b"x" * 8), "'' is no tensor of a session"),
    "a long name": (packed({"a" * 201: entry()}, b"x" * 8), "has 201 characters; allowed: 200"),
    "no entry": (packed({"a": 1}), "tensor 'a' has 1; allowed: dtype, shape, data_offsets"),
    "an entry that is a list": (packed({"a": [1]}), r"tensor 'a' has \[1\]; allowed: dtype"),
    "a missing field": (
        packed({"a": {"dtype": "F32"}}),
        r"tensor 'a' has \['dtype'\]; allowed: dtype",
    ),
    "an extra field": (
        packed({"a": entry(x=1)}),
        r"tensor 'a' has \['data_off.*'x'\]; allowed: dtype",
    ),
    "a foreign dtype": (
        packed({"a": entry("F8_E4M3")}),
        "'a': dtype is 'F8_E4M3'; allowed: F64, F32",
    ),
    "a dtype that is a list": (packed({"a": entry(["F32"])}), r"'a': dtype is \['F32'\]; allowed"),
    "a shape that is text": (
        packed({"a": entry(shape="2")}),
        "'a': shape is '2'; allowed: up to 8",
    ),
    "text in a shape": (
        packed({"a": entry(shape=["2"])}),
        r"'a': shape is \['2'\]; allowed: up to 8",
    ),
    "rank 9": (
        packed({"a": entry(shape=(1,) * 9)}),
        r"'a': shape is .*allowed: up to 8 numbers from",
    ),
    "rank 200,000": (
        packed({"a": entry(shape=(1,) * 200_000)}),
        "the header has 200010 commas, colons and brackets; allowed: 180203, for 10000 tensors",
    ),
    "a huge dimension": (
        packed({"a": entry(shape=(0, 2**62), offsets=(0, 0))}),
        r"'a': shape is \[0, 4611686018427387904\]; allowed: up to 8 numbers from 0 to 2147483647",
    ),
    "an overflow": (
        packed({"a": entry(shape=(2**31 - 1,) * 3)}),
        r"'a': shape is \[.*\]; allowed: up to 9223372036854775807 bytes",
    ),
    "an overflow of nothing": (
        packed({"a": entry(shape=(0,) + (2**31 - 1,) * 7, offsets=(0, 0))}),
        r"'a': shape is \[0, .*\]; allowed: up to 9223372036854775807 bytes",
    ),
    "one offset": (packed({"a": entry(offsets=(0,))}), r"'a': data_offsets is \[0\]; allowed: two"),
    "three offsets": (
        packed({"a": entry(offsets=(0, 8, 8))}),
        "'a': data_offsets is .* two numbers",
    ),
    "offsets backwards": (
        packed({"a": entry(offsets=(8, 0))}),
        r"'a': data_offsets is \[8, 0\]; allow",
    ),
    "a short tensor": (
        packed({"a": entry(offsets=(0, 4))}, b"x" * 4),
        r"'a': data_offsets is \[0, 4\]; allowed: 8 bytes, for \[2\] of F32",
    ),
    "beyond the end": (
        packed({"a": entry()}, b"x" * 7),
        "the file has 76 bytes; allowed: 77, where its last tensor ends",
    ),
    "trailing bytes": (
        packed({"a": entry()}, b"x" * 9),
        "the file has 78 bytes; allowed: 77, where its last tensor ends",
    ),
    "bytes of no tensor": (packed({}, b"x"), "the file has 11 bytes; allowed: 10"),
    "a gap at the beginning": (
        packed({"a": entry(offsets=(1, 9))}, b"x" * 9),
        "tensor 'a' begins at byte 70; allowed: byte 69, where the one before it ends",
    ),
    "a gap": (
        packed({"a": entry(), "b": entry(offsets=(9, 17))}, b"x" * 17),
        "tensor 'b' begins at byte 140; allowed: byte 139",
    ),
    "an overlap": (
        packed({"a": entry(), "b": entry(offsets=(4, 12))}, b"x" * 12),
        "tensor 'b' begins at byte 135; allowed: byte 139",
    ),
    "the same bytes twice": (
        packed({"a": entry(), "b": entry()}, b"x" * 8),
        "tensor 'b' begins at byte 130; allowed: byte 138",
    ),
    "nothing inside of something": (
        packed({"a": entry(), "b": entry(shape=(0,), offsets=(4, 4))}, b"x" * 8),
        "tensor 'b' begins at byte 134; allowed: byte 138",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, case: str) -> None:
    content, message = HOSTILE[case]
    with pytest.raises(SessionFormatError, match=message) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert text.startswith(f"{str(tmp_path / 'a.sega')!r} is no session, or a damaged one: ")
    assert text.endswith("Load another copy of it.")
    assert len(text) < 600
    assert "\n" not in text


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    def tensors(count: int) -> bytes:
        return packed({f"t{number}": entry(shape=(0,), offsets=(0, 0)) for number in range(count)})

    assert len(read(tmp_path, tensors(MAX_TENSORS)).tensors) == MAX_TENSORS
    with pytest.raises(SessionFormatError, match="the header has 10001 tensors; allowed: 10000"):
        read(tmp_path, tensors(MAX_TENSORS + 1))
    with pytest.raises(SessionFormatError, match="has 55000 texts; allowed: 50201, for 10000 tens"):
        read(tmp_path, tensors(11_000))
    with pytest.raises(SessionFormatError, match="at byte 0; allowed: 2 to 4194304"):
        read(tmp_path, tensors(300_000))


@on_posix
def test_what_cannot_be_opened_is_a_file_error(tmp_path: Path) -> None:
    folder, pipe, listening = tmp_path / "folder", tmp_path / "pipe", tmp_path / "socket"
    folder.mkdir()
    os.mkfifo(pipe)
    cases = {
        tmp_path / "none": "No such file or directory. Correct the path",
        folder: "Is a directory. Give the path of a file",
        pipe: "it is no regular file. Correct the path",
        Path("/dev/zero"): "it is no regular file",
        tmp_path / "a\0b": "embedded null",
        tmp_path / ("x" * 300): "name too long",
    }
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(tmp_path)
        one.bind("socket")
        os.chdir(here)
        for path, message in {**cases, listening: "it is no regular file"}.items():
            with pytest.raises(SessionFileError, match=message) as caught:
                read_header(path, NAMES)
            assert str(caught.value).startswith(f"{str(path)!r} cannot be read: ")
            assert "\n" not in str(caught.value)


@on_posix
def test_a_pipe_that_takes_the_files_place_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    original = os.stat
    monkeypatch.setattr(os, "stat", lambda path: original(tmp_path / "file"))
    with pytest.raises(SessionFileError, match="it is no regular file"):
        read_header(tmp_path / "pipe", NAMES)


def test_a_file_that_shrinks_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sega"
    path.write_bytes(packed({"a": entry()}, b"x" * 8))
    status = path.stat()
    path.write_bytes(path.read_bytes()[:20])
    monkeypatch.setattr(os, "fstat", lambda _: status)
    with pytest.raises(SessionFormatError, match="became shorter while it was read"):
        read_header(path, NAMES)


def filled(start: str, item: str, end: str, separator: str = ",", most: int = 10**9) -> bytes:
    """A header of equal items, as many as fit, at most so many."""
    room = MAX_HEADER_BYTES - len(start.encode()) - len(end.encode())
    count = min(most, (room + len(separator)) // len((item + separator).encode()))
    return packed(start + separator.join([item] * count) + end)


def keyed(value: str, most: int, dog: str) -> bytes:
    """Keys, no two the same, each with a value; the rest of the header is one text."""
    keys = ",".join(f'"{number:x}":{value}' for number in range(most))
    start = '{"' + dog
    return packed(
        start + "x" * (MAX_HEADER_BYTES - len((start + keys).encode()) - 6) + '":1,' + keys + "}"
    )


def at_the_limit() -> dict[str, Callable[[], bytes]]:
    marks, texts = container.MAX_MARKS, container.MAX_TEXTS
    full = ",".join(
        f'"t{number}":' + json.dumps(entry("U8", (1,) * 8, (number, number + 1)))
        for number in range(MAX_TENSORS)
    )
    metadata = '"__metadata__":{"k":"🐕' + "x" * (MAX_HEADER_BYTES - len(full) - 30) + '"}'
    return {
        "brackets": lambda: filled("{", "[", "", ""),
        "allowed brackets": lambda: filled('{"a":', "[", "", "", marks - 2),
        "lists": lambda: filled('{"a":[', "[]", "]}"),
        "allowed lists": lambda: filled('{"a":[', "[]", "]}", most=marks // 2 - 2),
        "objects": lambda: filled('{"a":[', "{}", "]}"),
        "allowed objects": lambda: filled('{"a":[', "{}", "]}", most=marks // 2 - 2),
        "objects of one": lambda: filled('{"a":[', '{"b":0}', "]}", most=texts - 4),
        "numbers": lambda: filled('{"a":[', "0", "]}"),
        "allowed numbers": lambda: filled('{"a":[', "1234567890123456789", "]}", most=marks - 4),
        "digits": lambda: filled('{"a":', "1", "}", ""),
        "texts": lambda: filled('{"a":[', '""', "]}"),
        "quotes": lambda: filled("{", '"', "}", ""),
        "allowed texts": lambda: filled('{"a":[', '"🐕"', "]}", most=texts - 2),
        "keys": lambda: keyed("0", texts - 5, ""),
        "keys beside a dog": lambda: keyed("0", texts - 5, "🐕"),
        "keys with lists": lambda: keyed("[]", texts - 5, "🐕"),
        "keys with texts": lambda: keyed('"🐕"', texts // 2 - 5, "🐕"),
        "equal keys": lambda: filled('{"a":{', '"b":0', "}}", most=texts - 4),
        "a long key twice": lambda: filled('{"🐕', '":0,"🐕' + "x" * 2_000_000, '":0}', "", 2),
        "backslashes": lambda: filled('{"', "\\\\", '":0}', ""),
        "escaped quotes": lambda: filled('{"', '\\"', '":0}', ""),
        "escapes": lambda: filled('{"', "\\u0000", '":0}', ""),
        "escapes beside a dog": lambda: filled('{"🐕', "\\t", '\\ud83d\\ude00":0}', ""),
        "dogs": lambda: filled('{"', "🐕", '":0}', ""),
        "a dog in a key": lambda: filled('{"', "x", '🐕":0}', ""),
        "a dog in the metadata": lambda: filled('{"__metadata__":{"k":"🐕', "x", '"}}', ""),
        "a dog in the dtype": lambda: filled(
            '{"a":{"shape":0,"data_offsets":0,"dtype":"🐕', "x", '"}}', ""
        ),
        "half a dog": lambda: filled('{"__metadata__":{"k":"🐕', "x", '\\ud83d"}}', ""),
        "white space": lambda: filled("{", " ", "}", ""),
        "commas": lambda: filled("{", ",", "}", ""),
        "no UTF-8": lambda: packed(b'{"' + b"x" * (MAX_HEADER_BYTES - 3) + b"\xff"),
        "foreign": lambda: filled("{", "-", "}", ""),
        "a full session": lambda: packed("{" + full + "," + metadata + "}", b"\0" * MAX_TENSORS),
    }


def test_no_header_costs_much_time_or_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    costs = {}
    accepted = []

    def attempt() -> None:
        try:
            read_header(path, NAMES)
        except SessionFormatError:
            return
        accepted.append(case)

    for case, make in at_the_limit().items():
        path.write_bytes(make())
        assert path.stat().st_size <= MAX_HEADER_BYTES + 8 + MAX_TENSORS
        began = time.perf_counter()
        attempt()
        seconds = time.perf_counter() - began
        costs[case] = (seconds, peak_megabytes(attempt))
    for case, (seconds, megabytes) in sorted(costs.items(), key=lambda one: -one[1][1]):
        print(f"{case:>25}: {1000 * seconds:4.0f} ms, {megabytes:4.1f} MB")
    assert {*accepted} == {"a full session", "a dog in the metadata", "white space"}
    assert max(seconds for seconds, _ in costs.values()) < 1
    assert max(megabytes for _, megabytes in costs.values()) < 64


class Pairs(list[Any]):
    """A JSON object as a list of pairs, so that keys can be there twice."""


class Raw(str):
    """A piece of JSON, or of no JSON, that is written as it is."""


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{written(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value, ensure_ascii=False)


NASTY = [
    *("NaN", "-Infinity", "-0", "-1", "0", "1", "2", "1.0", "1e3", "01", "true", "null", "''", ""),
    *("2147483647", "2147483648", "4611686018427387904", "18446744073709551616", "9" * 400),
    *('"F32"', '"BF16"', '"I64"', '"U16"', '"a"', '""', '"\\ud83d"', '"\\u0000"', '"\\x"', '"🐕"'),
    *("[]", "{}", "[0]", "[0,0]", "[0,4]", "[1,1,1,1,1,1,1,1,1]", "[0,2147483647,2147483647]"),
    *("[" * 30 + "]" * 30, "[" * 3000 + "]" * 3000, '{"a":' * 3000, "/**/", ",", "}", "{"),
]
NASTY_KEYS = [
    "a",
    "dtype",
    "shape",
    "data_offsets",
    "__metadata__",
    "",
    "../a",
    "a" * 201,
    "\ud83d",
]
TEXTS = [
    "",
    "k",
    "__metadata__",
    "ß",
    "🐕 雪",
    '"{[,:]}\\\\"',
    "\u2028\0\n\x7f",
    "\\u0041",
    "-1 NaN",
]
GRAMMAR = b'{}[]:,"\\0123456789-+.eENaN\x00\xff \n'


def generated(dice: random.Random) -> bytes:
    """A good file: up to five tensors, and metadata or none, in any order."""
    header, at = Pairs(), 0
    for number in range(dice.randrange(6)):
        dtype = dice.choice(list(container.ITEM_BYTES))
        shape = dice.choices([0, 1, 1, 1, 2, 3], k=dice.randrange(9))
        end = at + math.prod(shape) * container.ITEM_BYTES[dtype]
        fields = Pairs({"dtype": dtype, "shape": shape, "data_offsets": [at, end]}.items())
        dice.shuffle(fields)
        header.append((f"{number}{dice.choice(TEXTS)}", fields))
        at = end
    if dice.random() < 0.5:
        texts = dict(zip(dice.sample(TEXTS, 4), dice.choices(TEXTS, k=4), strict=True))
        header.append(("__metadata__", Pairs(texts.items())))
    dice.shuffle(header)
    return packed(written(header) + " " * dice.randrange(9), dice.randbytes(at))


def containers(value: Any) -> list[Any]:
    """A value's lists and objects, itself included."""
    inner = [one for _, one in value] if isinstance(value, Pairs) else value
    return [value, *(c for one in inner if isinstance(one, list) for c in containers(one))]


def regrown(dice: random.Random, header: bytes) -> bytes:
    """A header with one to three changes that mostly leave it JSON."""
    tree = json.loads(header, object_pairs_hook=Pairs)
    for _ in range(dice.randint(1, 3)):
        parent = dice.choice([one for one in containers(tree) if one] or [tree])
        if not parent:
            continue
        at, other = dice.randrange(len(parent)), dice.randrange(len(parent))
        match dice.randrange(6):
            case 0:
                del parent[at]
            case 1:
                parent.insert(other, parent[at])
            case 2:
                parent[at], parent[other] = parent[other], parent[at]
            case 3 if isinstance(parent, Pairs):
                parent[at] = (dice.choice(NASTY_KEYS), parent[at][1])
            case 4 if isinstance(parent, Pairs):
                parent[at] = (parent[at][0], parent[other][1])
            case _:
                new = Raw(dice.choice(NASTY))
                parent[at] = (parent[at][0], new) if isinstance(parent, Pairs) else new
    return written(tree).encode("utf-8", "surrogatepass")


def flipped(dice: random.Random, content: bytes, end: int) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(end)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def spliced(dice: random.Random, header: bytes) -> bytes:
    """A header with a few bytes exchanged, put in, taken out or doubled."""
    changed = bytearray(header)
    for _ in range(dice.randint(1, 3)):
        at, length = dice.randrange(len(changed) + 1), dice.randint(0, 6)
        new = [bytes(dice.choices(GRAMMAR, k=dice.randint(0, 3))), changed[at : at + length] * 2]
        changed[at : at + length] = dice.choice(new)
    return bytes(changed)


def mutated(dice: random.Random, content: bytes) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = content[8:end], content[end:]
    wrong_length = dice.choice(
        [end + dice.randint(-17, 1), dice.getrandbits(64), dice.getrandbits(24)]
    )
    return dice.choice(
        [
            lambda: flipped(dice, content, len(content)),
            lambda: flipped(dice, content, end),
            lambda: content[: dice.randrange(len(content))],
            lambda: content + dice.randbytes(dice.choice([1, 8, 1000])),
            lambda: struct.pack("<Q", max(wrong_length, 0)) + content[8:],
            *[lambda: packed(spliced(dice, header), data)] * 2,
            *[lambda: packed(regrown(dice, header), data)] * 3,
        ]
    )()


def check_with_safetensors(path: Path, header: Header) -> None:
    with safe_open(path, "np") as file:
        assert (file.metadata() or {}) == header.metadata
        assert set(file.keys()) == header.tensors.keys()
        for name, info in header.tensors.items():
            found = file.get_slice(name)
            assert (found.get_dtype(), tuple(found.get_shape())) == (info.dtype, info.shape)
            if info.dtype != "BF16":  # numpy has none
                assert file.get_tensor(name).shape == info.shape


def test_good_files_are_accepted(tmp_path: Path) -> None:
    dice = random.Random(500)
    for _ in range(500):
        header = read(tmp_path, generated(dice), ANY)
        check_with_safetensors(tmp_path / "a.sega", header)


@pytest.mark.parametrize("seed", [20_000])
def test_whatever_is_accepted_is_what_safetensors_reads(
    tmp_path: Path, seed: int, figure: Callable[[str], None]
) -> None:
    dice, path = random.Random(seed), tmp_path / "a.sega"
    real = save(TENSORS, METADATA)
    accepted, slowest = 0, 0.0

    def run() -> None:
        nonlocal accepted, slowest
        for _ in range(20_000):
            good = generated(dice) if dice.random() < 0.8 else real
            path.unlink(missing_ok=True)
            path.write_bytes(good if dice.random() < 0.2 else mutated(dice, good))
            began = time.perf_counter()
            try:
                header = read_header(path, ANY)
            except SessionFormatError as error:
                slowest = max(slowest, time.perf_counter() - began)
                if "\n" in str(error):
                    raise
                continue
            slowest = max(slowest, time.perf_counter() - began)
            accepted += 1
            check_with_safetensors(path, header)

    began = time.monotonic()
    megabytes = peak_megabytes(run)
    figure(
        f"20,000 files in {time.monotonic() - began:.1f} s, {20_000 - accepted} of them refused;"
    )
    figure(f"the slowest took {1000 * slowest:.1f} ms, the most memory was {megabytes:.1f} MB")
    assert 4000 < accepted < 16_000
    assert slowest < 1
    assert megabytes < 64
