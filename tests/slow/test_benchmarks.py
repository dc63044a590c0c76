"""Run the benchmarks on small cases. tests/test_readme.py compares README with their results."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]


def test_fidelity_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fidelity.py", "--seeds", "1", "--output", str(tmp_path)])
    module: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "fidelity.py"))
    operations = module["OPERATIONS"]
    for operation in list(operations)[1:]:
        del operations[operation]
    module["main"]()
    assert re.search(r"\| preview \| \d", capsys.readouterr().out)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".md", ".png"}


def test_masks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["masks.py", "--seeds", "1", "--output", str(tmp_path)])
    module: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "masks.py"))
    regions = module["REGIONS"]
    for concept in list(regions)[1:]:
        del regions[concept]
    module["main"]()
    assert "| glasses | protect | " in (tmp_path / "masks.md").read_text()
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".png"}


def test_speed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", ["speed.py", "--quick", "--output", str(output)])
    runpy.run_path(str(ROOT / "benchmarks" / "speed.py"), run_name="__main__")
    found = {
        (row["operation"], row["mode"]): row["evaluations"]
        for row in json.loads(output.read_text())["rows"]
    }
    # One concept, active from call 2 of 10, with momentum.
    assert found["first render", "exact"] == 3 * 10
    assert found["reweight", "exact"] == 3 * 7
    assert found["reweight", "preview"] == 3 * 4
    assert found["undo", "exact"] == 0


def test_the_comparison_of_first_renders_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "first.json"
    monkeypatch.setattr(sys, "argv", ["speed.py", "--first", "--quick", "--output", str(output)])
    runpy.run_path(str(ROOT / "benchmarks" / "speed.py"), run_name="__main__")
    (row,) = json.loads(output.read_text())["rows"]
    assert (row["concepts"], row["steps"], row["rounds"]) == (1, 10, 1)
    assert row["of_p0"]["smallest"] == row["of_p0"]["median"] == row["of_p0"]["largest"] > 0
    assert f"| 1 | {row['seconds']['median']:.3f} (" in output.with_suffix(".md").read_text()


# Its profiler, its compiler and the reference warn.
@pytest.mark.filterwarnings("default")
def test_the_gpu_benchmark_runs_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "gpu.json"
    command = ["gpu.py", "--device", "cpu", "--tiny", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="__main__")
    results = json.loads(output.read_text())
    evaluations = {
        (row["model"], row["operation"], row["mode"], row["concepts"]): row["evaluations"]
        for row in results["rows"]
    }
    assert len(evaluations) == len(results["rows"]) == 9 + 8
    for model in ("tiny SD 1.5", "tiny SDXL"):
        # Three concepts, active from call 2 of 10, with momentum.
        assert evaluations[model, "first render", "exact", 3] == 5 * 10
        assert evaluations[model, "reweight", "exact", 3] == 5 * 7
        assert evaluations[model, "first render", "exact", 0] == 2 * 10
    assert [(one["model"], one["loop"]) for one in results["waits"]] == [
        ("tiny SD 1.5", "ours"),
        ("tiny SD 1.5", "P0"),
        ("tiny SDXL", "ours"),
    ]
    assert "| tiny SDXL | add | exact | 3 |" in output.with_suffix(".md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs for minutes with a GPU")
def test_the_gpu_benchmark_requires_cuda() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stdout + done.stderr
