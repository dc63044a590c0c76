"""Ten thousand rows: the memory of a sweep does not grow with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

from sega_session import run_sweep
from sega_session.sweeps import SceneSettings, SweepEdit
from sega_session.testing import FakeModel
from tests.slow.size import SWEEP_ROWS
from tests.sweeps.support import small_sweep, table_of

EDITS = [SweepEdit(f"edit {number}") for number in range(20)]
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
    tracemalloc.start()
    try:
        assert run_sweep(sweep, out, pipeline=FakeModel()).images == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, done: Callable[[str, int], None]
) -> None:
    sweep_rows(tmp_path / "first", 400)  # what is loaded once
    few = sweep_rows(tmp_path / "few", 2_000)
    many = sweep_rows(tmp_path / "many", SWEEP_ROWS)
    assert len(table_of(tmp_path / "many")) == SWEEP_ROWS
    print("PEAKS", few, many)
    assert many < 1.1 * few + 100_000
    done("rows of sweeps", SWEEP_ROWS)
