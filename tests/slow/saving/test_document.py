"""Documents as large as they may be: what they cost a reader, and long sessions."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sega_session import EditSession
from sega_session.errors import SessionFormatError
from sega_session.saving.document import MAX_DOCUMENT_PARTS, MAX_DOCUMENT_VALUES, read_document
from sega_session.testing import FakeModel
from tests.files.fuzzing import peak_megabytes
from tests.saving.test_document import plain, write_file
from tests.saving.test_session_file import long_history

VALUES, PARTS = MAX_DOCUMENT_VALUES - 1000, MAX_DOCUMENT_PARTS - 1000


def with_table(table: str, **columns: Any) -> bytes:
    document = plain()
    del document["format_version"]
    document["history"][table] |= columns
    return json.dumps(document, separators=(",", ":")).encode()


def documents() -> Iterator[tuple[str, bytes, bool]]:
    """Yield documents at the limits, and whether they are good."""
    yield "lists", b"[" + b"[]," * PARTS + b"0]", False
    yield "objects", b"[" + b"{}," * PARTS + b"0]", False
    yield "keys", b"{" + b",".join(b'"%x":0' % number for number in range(PARTS)) + b"}", False
    yield "numbers", b"[" + b"0," * VALUES + b"0]", False
    yield "dogs", ('["' + "🐕" * (2**23 - 10) + '"]').encode(), False
    yield "visited", with_table("entries", visited=[0] * VALUES), False
    count = VALUES // 4
    columns = {"visited": [None] * count, "state": [1] * count, "label": ["a"] * count}
    yield "entries", with_table("entries", parent=[None, *[0] * (count - 1)], **columns), True
    yield "wrong entries", with_table("entries", parent=[7] * count, **columns), False
    yield "members", with_table("states", concepts=[[], [0] * VALUES]), False
    others = {
        "momentum_scale": [0.1] * PARTS,
        "momentum_beta": [0.2] * PARTS,
        "region": [None] * PARTS,
    }
    yield "states", with_table("states", concepts=[[0]] * PARTS, **others), True


def test_no_document_costs_much_time_or_memory(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    for case, raw, good in documents():
        path = write_file(tmp_path / "a.safetensors", packed=zlib.compress(raw, 1))

        def attempt(path: Path = path, good: bool = good) -> None:
            if good:
                read_document(path)
                return
            with pytest.raises(SessionFormatError) as caught:
                read_document(path)
            assert len(str(caught.value)) < 1000

        began = time.process_time()
        attempt()
        seconds = time.process_time() - began
        megabytes = peak_megabytes(attempt) if not good else 0
        figure(f"document of {case}: {len(raw) / 1e6:.0f} MB, {seconds:.1f} s, {megabytes:.0f} MB")
        assert megabytes < 400


def test_a_hundred_thousand_entries(tmp_path: Path, figure: Callable[[str], None]) -> None:
    path = tmp_path / "a.safetensors"
    session = EditSession(FakeModel(), "a cat", num_inference_steps=6)
    session._timeline.go(long_history(100_000))  # noqa: SLF001
    session.render(output_type="latent")
    times = [time.process_time()]
    saved = session.save(path)
    times.append(time.process_time())
    assert EditSession.load(path, FakeModel()).history == session.history
    times.append(time.process_time())
    session.autosave(path)
    times.append(time.process_time())
    for number in range(100):
        session.reweight("hat", scale=number / 7 + 0.01)
    times.append(time.process_time())
    assert EditSession.recover(path, FakeModel()).history == session.history
    save, load, autosave, edits = (b - a for a, b in pairwise(times))
    figure(
        f"100,000 entries: saved in {save:.1f} s, loaded in {load:.1f} s, autosave's file in "
        f"{autosave:.1f} s, an edit in {10 * edits:.1f} ms, {saved.bytes / 1e6:.1f} MB"
    )
