"""Session files that are damaged at random in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.saving.fuzzing import fuzz_session_files


def test_twenty_thousand_broken_files(tmp_path: Path, figure: Callable[[str], None]) -> None:
    figure(fuzz_session_files(tmp_path, 20_000))
