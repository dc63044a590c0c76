"""Writers that are killed hundreds of times."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slow.size import KILLED_APPENDS, KILLED_SAVES
from tests.support.saver import kill_appends, kill_saves

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks")


def test_kills_of_a_save(
    tmp_path: Path, figure: Callable[[str], None], done: Callable[[str, int], None]
) -> None:
    during, changed = kill_saves(tmp_path / "a.sega", KILLED_SAVES)
    figure(f"{KILLED_SAVES} kills of a save, {during} during a write,")
    figure(f"{changed} after which the file was another one")
    assert during > KILLED_SAVES // 20
    assert changed > 0
    done("kills of a save", KILLED_SAVES)


def test_kills_of_an_append(
    tmp_path: Path, figure: Callable[[str], None], done: Callable[[str, int], None]
) -> None:
    lines = kill_appends(tmp_path / "a.journal", KILLED_APPENDS)
    figure(f"{KILLED_APPENDS} kills of a journal, {lines} lines")
    assert lines > KILLED_APPENDS
    done("kills of an append", KILLED_APPENDS)
