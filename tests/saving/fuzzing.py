"""Change and damage session files at random."""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from sega_session import EditSession
from sega_session.errors import ModelMismatchError, SessionFormatError
from sega_session.saving.document import DIGEST, DOCUMENT, METADATA_KEY
from sega_session.testing import FakeModel

DATA = Path(__file__).parents[1] / "data"
OLDER = [DATA / f"session-v{version}.safetensors" for version in (1, 2)]


def repacked(path: Path, change: Any, target: Path) -> Path:
    """Write a copy of a session's file, of any version, with its document changed.

    Args:
        change: called with the parsed document; returns None, or the text to write instead of it.
    """
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    held = header.get(DOCUMENT)
    if held is None:
        text = header["__metadata__"][METADATA_KEY]
    else:
        begin, end = held["data_offsets"]
        text = zlib.decompress(data[begin:end])
    plain = json.loads(text)
    changed = change(plain)
    text = json.dumps(plain) if changed is None else changed
    if held is None:
        header["__metadata__"][METADATA_KEY] = text
    else:
        packed = zlib.compress(text.encode(errors="surrogatepass"))
        data = data[:begin] + packed
        held |= {"shape": [len(packed)], "data_offsets": [begin, len(data)]}
        header[DIGEST]["data_offsets"] = [len(data), len(data) + 32]
    target.write_bytes(with_digest(header, data))
    return target


def with_digest(header: dict[str, Any], data: bytes) -> bytes:
    """Return a file; its digest, if the header has one, is made anew."""
    new = json.dumps(header).encode()
    content = struct.pack("<Q", len(new)) + new + data
    return content + hashlib.sha256(content).digest() if DIGEST in header else content


def break_document(rng: random.Random, plain: dict[str, Any]) -> str | None:
    """Break a document somewhere; return its text if the break is not valid JSON."""
    spots: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in list(items):
            spots.append((value, key))
            if isinstance(one, (dict, list)):
                collect(one)

    collect(plain)
    owner, key = rng.choice(spots)
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        10**9,
        1.5,
        "",
        "x",
        "\ud800",
        [],
        {},
        [0],
        2**70,
        1e308,
    ]
    match rng.randrange(5):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[f"{key}x"] = owner[key]
        case 2:
            number = rng.choice(["NaN", "1e999", "-Infinity", "0,"])
            return re.sub(r"([:[,] )0\b", rf"\g<1>{number}", json.dumps(plain), count=1)
        case 3 if isinstance(owner[key], int):
            owner[key] += rng.choice([-1, 1, 7, 1000])
        case _:
            owner[key] = rng.choice(values)
    return None


def fuzz_session_files(folder: Path, count: int, *, seed: int = 0) -> str:
    """Load ``count`` damaged files and check the errors; return the figures in one line.

    Bits are flipped, ends are cut off, documents are changed. Sessions must use the fake model.
    """
    path = folder / "good.safetensors"
    session = EditSession(FakeModel(), "a cat", num_inference_steps=3)
    session.render(output_type="latent")
    session.add("hat", warmup=1)
    session.render(output_type="latent")
    session.save(path)
    raw = path.read_bytes()
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    slowest = 0.0
    bad = folder / "bad.safetensors"
    EditSession.load(path, FakeModel())
    tracemalloc.start()
    for number in range(count):
        match number % 4:
            case 0:
                flipped = bytearray(raw)
                for _ in range(rng.choice([1, 1, 3, 30])):
                    flipped[rng.randrange(header)] ^= 1 << rng.randrange(8)
                bad.write_bytes(flipped)
            case 1:
                cut = rng.randrange(len(raw))
                bad.write_bytes(rng.choice([raw[:cut], raw + raw[:cut], raw[cut:]]))
            case 2:
                repacked(path, lambda plain: break_document(rng, plain), bad)
            case _:
                repacked(rng.choice(OLDER), lambda plain: break_document(rng, plain), bad)
        start = time.perf_counter()
        try:
            EditSession.load(bad, FakeModel())
            counts["read"] += 1
        except SessionFormatError as error:
            counts["refused"] += 1
            counts["in several lines"] += "\n" in str(error)
        except ModelMismatchError:
            counts["another model"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts["refused"] > count // 2
    assert not counts["in several lines"]
    assert peak < 64 * 2**20
    return (
        f"{count} session files: {dict(counts)}, slowest {slowest:.3f} s, "
        f"peak {peak / 2**20:.1f} MB"
    )
