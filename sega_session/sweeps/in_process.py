"""Run the units of a sweep in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .sweep import Sweep
from .units import Unit, UnitResult, run_unit


def run_here(sweep: Sweep, units: Iterable[Unit], out: Path, pipeline: Any) -> Iterator[UnitResult]:
    """Run units with one pipeline, and yield the result of each. Raises SessionFileError."""
    for unit in units:
        yield run_unit(sweep, unit, pipeline, out)
