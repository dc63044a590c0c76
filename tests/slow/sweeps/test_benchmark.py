"""Run the benchmark of sweeps on small cases."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_sweeps_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "sweeps.py"), "--quick"]
    subprocess.run([*command, "--output", str(tmp_path)], capture_output=True, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"sweeps.json", "sweeps.md", "sweeps.webp"}
    found = json.loads((tmp_path / "sweeps.json").read_text())
    cache, memory = found["cache"], found["memory"]
    assert cache["images"] == 2 * len(cache["concepts"]) == 24
    # Three conditions in four calls. Concepts begin at call 1 except "blue hair", which begins at
    # call 0 and shares nothing; the others share the first two predictions.
    assert cache["evaluations_from_scratch"] == 24 * 3 * 4
    assert cache["evaluations"] < cache["evaluations_from_scratch"]
    assert memory["images"] == memory["mib_after_images"][-1][0] == 1000
    assert found["speed_up"]["units"] == 3
    assert f"| exact, as a sweep | {cache['evaluations']} |" in (tmp_path / "sweeps.md").read_text()
