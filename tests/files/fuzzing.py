"""Build safetensors files that are good, hostile, or damaged at random."""

from __future__ import annotations

import json
import math
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from sega_session.errors import SessionFormatError
from sega_session.files import TensorFile, open_tensors
from sega_session.files.safetensors_reader import ITEM_BYTES

FIELDS = ("dtype", "shape", "data_offsets")

TENSORS: dict[str, np.ndarray[Any, Any]] = {
    "latents": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "prediction.0": np.ones((3, 5), np.float16),
    "empty": np.zeros((0, 4), np.float64),
    "scalar": np.array(7, np.int64),
    "mask": np.array([True, False, True]),
    "bytes": np.arange(5, dtype=np.uint8),
}
METADATA = {"session": '{"prompt": "a \\"Hund\\" \\\\ ß 🐕", "scale": 7.5}', "format": "1"}


def packed(header: bytes | str | dict[str, Any], data: bytes = b"") -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode() if isinstance(header, str) else header
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def read_header(path: Path) -> TensorFile:
    """Return a file whose header was checked; it is closed."""
    with open_tensors(path) as file:
        return file


def peak_megabytes(call: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 10**6
    finally:
        tracemalloc.stop()


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
    """Return a good file: up to five tensors, and metadata or none, in any order."""
    header, at = Pairs(), 0
    for number in range(dice.randrange(6)):
        dtype = dice.choice(list(ITEM_BYTES))
        shape = dice.choices([0, 1, 1, 1, 2, 3], k=dice.randrange(9))
        end = at + math.prod(shape) * ITEM_BYTES[dtype]
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
    """Return the lists and objects in a value, itself included."""
    inner = [one for _, one in value] if isinstance(value, Pairs) else value
    return [value, *(c for one in inner if isinstance(one, list) for c in containers(one))]


def regrown(dice: random.Random, header: bytes) -> bytes:
    """Return a header with one to three changes, most of which keep it valid JSON."""
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
    """Return a header with a few bytes replaced, inserted, removed or doubled."""
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
    changes: list[Callable[[], bytes]] = [
        lambda: flipped(dice, content, len(content)),
        lambda: flipped(dice, content, end),
        lambda: content[: dice.randrange(len(content))],
        lambda: content + dice.randbytes(dice.choice([1, 8, 1000])),
        lambda: struct.pack("<Q", max(wrong_length, 0)) + content[8:],
        *[lambda: packed(spliced(dice, header), data)] * 2,
        *[lambda: packed(regrown(dice, header), data)] * 3,
    ]
    return dice.choice(changes)()


def check_against_json(path: Path, header: TensorFile) -> None:
    """Compare an accepted header with what Python's parser finds in it."""
    content = path.read_bytes()
    raw = content[8 : 8 + int.from_bytes(content[:8], "little")]
    tree = json.loads(raw, object_pairs_hook=Pairs)
    for one in containers(tree):
        if isinstance(one, Pairs):
            assert len({key for key, _ in one}) == len(one)
    entries = dict(tree)
    assert dict(entries.pop("__metadata__", None) or []) == header.metadata
    assert entries.keys() == header.tensors.keys()
    for name, info in header.tensors.items():
        fields = list(map(dict(entries[name]).get, FIELDS))
        assert (info.dtype, list(info.shape)) == (fields[0], fields[1])
        assert fields[2] == [info.begin, info.begin + info.nbytes]
    # The library accepts every file that this package accepts.
    with safe_open(path, "np") as library:
        assert set(library.keys()) == header.tensors.keys()


def fuzz_headers(folder: Path, count: int, seed: int) -> str:
    """Read ``count`` random files and check the results; return the figures in one line."""
    dice, path = random.Random(seed), folder / "a.sega"
    real = save(TENSORS, METADATA)
    accepted, slowest = 0, 0.0

    def run() -> None:
        nonlocal accepted, slowest
        for _ in range(count):
            good = generated(dice) if dice.random() < 0.8 else real
            path.unlink(missing_ok=True)
            path.write_bytes(good if dice.random() < 0.2 else mutated(dice, good))
            began = time.perf_counter()
            try:
                header = read_header(path)
            except SessionFormatError as error:
                slowest = max(slowest, time.perf_counter() - began)
                if "\n" in str(error):
                    raise
                continue
            slowest = max(slowest, time.perf_counter() - began)
            accepted += 1
            check_against_json(path, header)

    began = time.monotonic()
    megabytes = peak_megabytes(run)
    assert 0.2 * count < accepted < 0.8 * count
    assert megabytes < 64
    return (
        f"{count} headers in {time.monotonic() - began:.1f} s, {count - accepted} refused, "
        f"slowest {1000 * slowest:.1f} ms, peak {megabytes:.1f} MB"
    )
