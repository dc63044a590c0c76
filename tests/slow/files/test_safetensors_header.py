"""Headers of safetensors files, damaged at random in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.files.fuzzing import fuzz_headers


def test_twenty_thousand_headers(tmp_path: Path, figure: Callable[[str], None]) -> None:
    figure(fuzz_headers(tmp_path, 20_000, seed=20_000))
