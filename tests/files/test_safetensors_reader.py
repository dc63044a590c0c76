"""Headers of safetensors files: hostile ones one by one, and at random."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from sega_session.errors import SessionFileError, SessionFormatError
from sega_session.files import TensorFile, TensorInfo, open_tensors
from sega_session.files.safetensors_reader import MAX_HEADER_BYTES
from tests.files.fuzzing import (
    METADATA,
    TENSORS,
    check_against_json,
    entry,
    fuzz_headers,
    generated,
    packed,
    read_header,
)

on_posix = pytest.mark.skipif(os.name != "posix", reason="pipes, sockets and devices")


def read(folder: Path, content: bytes) -> TensorFile:
    path = folder / "a.sega"
    path.write_bytes(content)
    return read_header(path)


def test_the_package_does_not_import_torch() -> None:
    code = "import sys; import sega_session.files; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    save_file(TENSORS, path, METADATA)
    header = read_header(path)
    assert header.metadata == METADATA
    # In the order of their bytes, as the library writes them.
    assert header.tensors == {
        "scalar": TensorInfo("I64", (), 0),
        "empty": TensorInfo("F64", (0, 4), 8),
        "latents": TensorInfo("F32", (2, 3, 4), 8),
        "prediction.0": TensorInfo("F16", (3, 5), 104),
        "bytes": TensorInfo("U8", (5,), 134),
        "mask": TensorInfo("BOOL", (3,), 139),
    }
    begins = [info.begin for info in header.tensors.values()]
    assert begins == sorted(begins)
    with open_tensors(path) as file:
        for name, array in TENSORS.items():
            buffer = bytearray(array.nbytes)
            file.read_into(name, memoryview(buffer))
            assert buffer == array.tobytes()


def test_the_file_that_was_checked_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "a.sega", tmp_path / "b.sega"
    header = {"a": entry("U8", (10**6,), (0, 10**6))}
    path.write_bytes(packed(header, b"1" * 10**6))
    other.write_bytes(packed(header, b"2" * 10**6))
    buffer = bytearray(10**6)
    with open_tensors(path) as file:
        other.replace(path)
        file.read_into("a", memoryview(buffer))
        assert buffer == b"1" * 10**6
    with open_tensors(path) as file:
        os.truncate(path, path.stat().st_size - 1)
        with pytest.raises(SessionFormatError, match="became shorter while it was read"):
            file.read_into("a", memoryview(buffer))


def test_metadata_may_be_missing(tmp_path: Path) -> None:
    header = read(tmp_path, packed({"a": entry("BF16", (2, 2))}, b"x" * 8))
    assert (header.metadata, header.tensors) == ({}, {"a": TensorInfo("BF16", (2, 2), 0)})
    empty = read(tmp_path, packed({}))
    assert (empty.metadata, empty.tensors) == ({}, {})


HOSTILE: dict[str, tuple[bytes, str | None]] = {
    "nothing": (b"", "its header has 0 bytes; allowed: 2 to 4194304"),
    "half a length": (b"\2\0\0", "it ends after 0 of its header's 2 bytes"),
    "no header": (packed(b""), "its header has 0 bytes; allowed: 2 to 4194304"),
    "long header": (b"\xff" * 8 + b"{}", "has 18446744073709551615 bytes; allowed: 2 to 4194304"),
    "header at the limit + 1": (
        struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{}",
        "its header has 4194305 bytes; allowed",
    ),
    "header beyond the end": (struct.pack("<Q", 100) + b"{}", None),
    "header cut off": (struct.pack("<Q", 100) + b'{"a": ', "ends after 6 of its header's 100"),
    "a list": (packed("[]"), None),
    "a byte order mark": (packed(b"\xef\xbb\xbf{}"), None),
    "no JSON": (packed('{"a" 1}'), "the text is not JSON: Expecting ':' delimiter.*char 5"),
    "two documents": (packed("{}{}"), "the text is not JSON: Extra data.*char 2"),
    "an open text": (packed('{"a'), "the text is not JSON: Unterminated string.*char 1"),
    "a control character": (packed('{"a\n": 1}'), "Invalid control character.*char 3"),
    "a zero byte": (packed("{}\0"), "the text is not JSON: Extra data"),
    "NaN": (packed('{"a": NaN}'), "NaN is not a finite number"),
    "infinity": (packed('{"ä": -Infinity}'), "-Infinity is not a finite number"),
    "true": (packed('{"a\\"": true}'), None),
    "null": (packed('{"a": null}'), None),
    "a fraction": (packed({"a": entry(shape=(2.0,))}, b"x" * 8), None),
    "a negative dimension": (packed({"a": entry(shape=(-2,))}, b"x" * 8), None),
    "a long number": (packed('{"a": ' + "1" * 5000 + "}"), "an integer has 5000 digits; allowed"),
    "a number of 20 digits": (packed({"a": entry(shape=(10**20,))}), None),
    "no UTF-8": (packed(b'{"\xff": 1}'), "the text is not UTF-8: invalid start byte, byte 2"),
    "UTF-16": (packed('{"a": 1}'.encode("utf-16-le")), "the text is not JSON"),
    "a tensor twice": (packed('{"a": {}, "\\u0061": {}}'), "the key 'a' is there twice"),
    "a field twice": (
        packed('{"a": {"dtype": "F32", "dtype": "F32"}}'),
        "the key 'dtype' is there twice",
    ),
    "metadata twice": (
        packed('{"__metadata__": {}, "__metadata__": {}}'),
        "the key '__metadata__' is there twice",
    ),
    "a metadata key twice": (
        packed('{"__metadata__": {"k": "", "k": ""}}'),
        "the key 'k' is there twice",
    ),
    "deep lists": (packed('{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"), "nested too deep"),
    "deep lists in an unknown field": (
        packed(json.dumps({"a": entry(x=0)}).replace('"x": 0', '"x": ' + "[" * 500 + "]" * 500)),
        None,
    ),
    "very deep lists": (
        packed("{" + "[" * 2**20),
        "its header has 1048577 bytes outside of texts; allowed: 786432",
    ),
    "half a character": (packed({"__metadata__": {"k": "\ud83d"}}), None),
    "half a character in a name": (packed({"\ud83d": entry()}, b"x" * 8), None),
    "metadata a list": (packed({"__metadata__": ["a"]}), None),
    "metadata a number": (packed({"__metadata__": {"k": 1}}), None),
    "metadata nested": (packed({"__metadata__": {"k": {}}}), None),
    "a name that cannot be printed": (
        packed({"a\n\0\u2028": entry(offsets=(1, 9))}, b"x" * 9),
        r"\['a\\n\\x00\\u2028'\]\.data_offsets: \(1, 9\) is not \(0, 8\)",
    ),
    "no entry": (packed({"a": 1}), None),
    "a missing field": (packed({"a": {"dtype": "F32"}}), None),
    "an unknown dtype": (packed({"a": entry("F128")}, b"x" * 8), None),
    "a dtype that is a list": (packed({"a": entry(["F32"])}, b"x" * 8), None),
    "a shape that is text": (packed({"a": entry(shape="2")}, b"x" * 8), None),
    "text in a shape": (packed({"a": entry(shape=["2"])}, b"x" * 8), None),
    "rank 400,000": (
        packed({"a": entry("U8", shape=(1,) * 400_000, offsets=(0, 1))}, b"x"),
        r"its header has 12\d{5} bytes outside of texts; allowed",
    ),
    "an overflow": (packed({"a": entry(shape=(2**31 - 1,) * 3)}, b"x" * 8), None),
    "one offset": (packed({"a": entry(offsets=(0,))}, b"x" * 8), None),
    "three offsets": (packed({"a": entry(offsets=(0, 8, 8))}, b"x" * 8), None),
    "offsets backwards": (packed({"a": entry(offsets=(8, 0))}, b"x" * 8), None),
    "a short tensor": (packed({"a": entry(offsets=(0, 4))}, b"x" * 4), None),
    "beyond the end": (packed({"a": entry()}, b"x" * 7), None),
    "trailing bytes": (packed({"a": entry()}, b"x" * 9), None),
    "bytes of no tensor": (packed({}, b"x"), None),
    "a gap at the beginning": (packed({"a": entry(offsets=(1, 9))}, b"x" * 9), None),
    "a gap": (packed({"a": entry(), "b": entry(offsets=(9, 17))}, b"x" * 17), None),
    "an overlap": (packed({"a": entry(), "b": entry(offsets=(4, 12))}, b"x" * 12), None),
    "the same bytes twice": (packed({"a": entry(), "b": entry()}, b"x" * 8), None),
    "nothing inside of something": (
        packed({"a": entry(), "b": entry(shape=(0,), offsets=(4, 4))}, b"x" * 8),
        None,
    ),
}
"""Files that are refused, and the message; None: any."""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    content, message = HOSTILE[case]
    with pytest.raises(SessionFormatError, match=message) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert text.startswith(f"{str(tmp_path / 'a.sega')!r} is no session, or a damaged one: ")
    assert text.endswith("Load another copy of it.")
    assert len(text) < 600
    assert "\n" not in text
    assert text.isprintable()


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    def tensors(count: int) -> bytes:
        return packed({f"t{number}": entry(shape=(0,), offsets=(0, 0)) for number in range(count)})

    assert len(read(tmp_path, tensors(10_000)).tensors) == 10_000
    with pytest.raises(SessionFormatError, match="it has 10001 tensors; allowed: 10000"):
        read(tmp_path, tensors(10_001))
    with pytest.raises(SessionFormatError, match="has 62500 texts; allowed: 60000"):
        read(tmp_path, tensors(12_500))
    with pytest.raises(SessionFormatError, match=r"its header has \d{8} bytes; allowed: 2 to 4194"):
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
                read_header(path)
            assert str(caught.value).startswith(f"{str(path)!r} cannot be read: ")
            assert "\n" not in str(caught.value)


def test_good_files_are_accepted(tmp_path: Path) -> None:
    dice = random.Random(500)
    for _ in range(500):
        header = read(tmp_path, generated(dice))
        check_against_json(tmp_path / "a.sega", header)


def test_accepted_headers_hold_what_python_finds_in_them(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    figure(fuzz_headers(tmp_path, 1000, seed=1000))
