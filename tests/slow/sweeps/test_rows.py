"""Ten thousand rows: the memory of a sweep does not grow with them."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tracemalloc import Filter

import pytest

from sega_session import run_sweep
from sega_session.sweeps import SceneSettings, SweepEdit
from sega_session.testing import FakeModel
from tests.slow.size import SWEEP_ROWS
from tests.sweeps.support import small_sweep, table_of

EDITS = [SweepEdit(f"edit {number}") for number in range(50)]
"""One state by many names: many rows, and few renders."""


def sweep_rows(out: Path, rows: int) -> int:
    """Run a sweep of so many rows; return the most bytes that Python held at a time."""
    sweep = small_sweep(
        prompts=["a cat"],
        seeds=range(rows // len(EDITS)),
        seeds_together=1,
        scene=SceneSettings(num_inference_steps=1),
        edits=EDITS,
    )
    # A session that has ended may wait for the collector, so it is called, and made fast.
    gc.freeze()
    tracemalloc.start()
    try:
        result = run_sweep(
            sweep, out, pipeline=FakeModel(), callback_on_unit_end=lambda _: gc.collect()
        )
        assert result.images == rows
        peak = tracemalloc.get_traced_memory()[1]
        # pathlib interns the parts of paths, and at some time Python doubles its table of these.
        interned = tracemalloc.take_snapshot().filter_traces([Filter(True, "*/pathlib.py")])
        return peak - sum(one.size for one in interned.traces)
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, done: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sega_session.sweeps.sheets.MAX_SHEETS", 5)
    sweep_rows(tmp_path / "first", 400)  # what is loaded once
    few = sweep_rows(tmp_path / "few", 2_000)
    many = sweep_rows(tmp_path / "many", SWEEP_ROWS)
    assert len(table_of(tmp_path / "many")) == SWEEP_ROWS
    assert many < few + 1_000_000
    done("rows of sweeps", SWEEP_ROWS)
