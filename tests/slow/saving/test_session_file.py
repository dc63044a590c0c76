"""Session files that are damaged at random in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.saving.fuzzing import fuzz_session_files
from tests.slow.size import PART_OF_FILES, SESSION_FILES, parts


@pytest.mark.parametrize("part", parts(SESSION_FILES, PART_OF_FILES))
def test_thousands_of_broken_files(
    tmp_path: Path,
    part: int,
    figure: Callable[[str], None],
    done: Callable[[str, int], None],
) -> None:
    figure(fuzz_session_files(tmp_path, PART_OF_FILES, seed=part))
    done("mutated session files", PART_OF_FILES)
