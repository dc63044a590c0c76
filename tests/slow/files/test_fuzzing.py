"""Headers of safetensors files that are damaged at random in bulk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.files.fuzzing import fuzz_headers
from tests.slow.size import HEADERS, PART_OF_FILES, parts


@pytest.mark.parametrize("part", parts(HEADERS, PART_OF_FILES))
def test_thousands_of_headers(
    tmp_path: Path,
    part: int,
    figure: Callable[[str], None],
    done: Callable[[str, int], None],
) -> None:
    figure(fuzz_headers(tmp_path, PART_OF_FILES, seed=part))
    done("mutated headers", PART_OF_FILES)
