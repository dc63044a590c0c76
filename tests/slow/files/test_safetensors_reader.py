"""Headers of safetensors files: as large as they may be, and damaged at random in bulk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from sega_session.errors import SessionFormatError
from sega_session.files.safetensors_reader import MAX_HEADER_BYTES, MAX_OUTLINE_BYTES, MAX_TEXTS
from tests.files.fuzzing import entry, packed, peak_megabytes, read_header


def filled(start: str, item: str, end: str, separator: str = ",", most: int = 10**9) -> bytes:
    """Return a header of equal items: as many as fit, but not more than ``most``."""
    room = MAX_HEADER_BYTES - len(start.encode()) - len(end.encode())
    count = min(most, (room + len(separator)) // len((item + separator).encode()))
    return packed(start + separator.join([item] * count) + end)


def keyed(value: str, most: int, dog: str) -> bytes:
    """Return a header of ``most`` different keys with a value; the rest of it is one text."""
    keys = ",".join(f'"{number:x}":{value}' for number in range(most))
    start = '{"' + dog
    return packed(
        start + "x" * (MAX_HEADER_BYTES - len((start + keys).encode()) - 6) + '":1,' + keys + "}"
    )


def at_the_limit() -> dict[str, Callable[[], bytes]]:
    texts, outline = MAX_TEXTS, MAX_OUTLINE_BYTES
    full = ",".join(
        f'"t{number}":' + json.dumps(entry("U8", (1,) * 8, (number, number + 1)))
        for number in range(10_000)
    )
    metadata = '"__metadata__":{"k":"🐕' + "x" * (MAX_HEADER_BYTES - len(full) - 30) + '"}'
    return {
        "brackets": lambda: filled("{", "[", "", ""),
        "allowed brackets": lambda: filled('{"a":', "[", "", "", outline - 10),
        "lists": lambda: filled('{"a":[', "[]", "]}"),
        "allowed lists": lambda: filled('{"a":[', "[]", "]}", most=outline // 3 - 5),
        "objects": lambda: filled('{"a":[', "{}", "]}"),
        "allowed objects": lambda: filled('{"a":[', "{}", "]}", most=outline // 3 - 5),
        "allowed nested lists": lambda: filled('{"a":[', "[[[]]]", "]}", most=outline // 7 - 5),
        "objects of one": lambda: filled('{"a":[', '{"b":0}', "]}", most=texts - 4),
        "numbers": lambda: filled('{"a":[', "0", "]}"),
        "allowed numbers": lambda: filled(
            '{"a":[', "1234567890123456789", "]}", most=outline // 20 - 5
        ),
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
        "a full session": lambda: packed("{" + full + "," + metadata + "}", b"\0" * 10_000),
    }


def test_no_header_costs_much_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.sega"
    costs = {}
    accepted = []

    def attempt() -> None:
        try:
            read_header(path)
        except SessionFormatError:
            return
        accepted.append(case)

    for case, make in at_the_limit().items():
        path.write_bytes(make())
        assert path.stat().st_size <= MAX_HEADER_BYTES + 8 + 10_000
        began = time.process_time()
        attempt()
        seconds = time.process_time() - began
        costs[case] = (seconds, peak_megabytes(attempt))
    for case, (seconds, megabytes) in sorted(costs.items(), key=lambda one: -one[1][1]):
        print(f"{case:>25}: {1000 * seconds:4.0f} ms, {megabytes:4.1f} MB")
    assert {*accepted} == {"a full session", "a dog in the metadata"}
    assert max(megabytes for _, megabytes in costs.values()) < 64
