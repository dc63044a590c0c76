"""Writers that are killed hundreds of times."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.saver import kill_appends, kill_saves

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks")


def test_two_hundred_kills_of_a_save(tmp_path: Path, figure: Callable[[str], None]) -> None:
    began = time.monotonic()
    during, changed = kill_saves(tmp_path / "a.sega", 200)
    figure(f"200 kills of a save in {time.monotonic() - began:.1f} s, {during} during a write,")
    figure(f"{changed} after which the file was another one")
    assert during >= 20
    assert changed >= 20


def test_fifty_kills_of_an_append(tmp_path: Path, figure: Callable[[str], None]) -> None:
    lines = kill_appends(tmp_path / "a.journal", 50)
    figure(f"50 kills of a journal, {lines} lines")
    assert lines > 50
