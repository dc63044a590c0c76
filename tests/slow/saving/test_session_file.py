"""Session files that are damaged at random in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.saving.fuzzing import fuzz_session_files
from tests.support.fake_denoiser import use_fake


def test_twenty_thousand_broken_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    use_fake(monkeypatch)
    figure(fuzz_session_files(tmp_path, 20_000))
