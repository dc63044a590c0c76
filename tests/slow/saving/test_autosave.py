"""Sessions that autosave and are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slow.size import KILLED_AUTOSAVES

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(os.name != "posix", reason="signals and forks")
def test_a_killed_session_loses_no_edit(
    tmp_path: Path, figure: Callable[[str], None], done: Callable[[str, int], None]
) -> None:
    program = [sys.executable, "-m", "tests.slow.saving.killing"]
    command = [*program, str(tmp_path), str(KILLED_AUTOSAVES)]
    run = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    counts = json.loads(run.stdout)
    figure(f"{KILLED_AUTOSAVES} kills of a session that autosaves: {counts}")
    assert counts["acknowledged"] > KILLED_AUTOSAVES
    done("kills of an autosave", KILLED_AUTOSAVES)
