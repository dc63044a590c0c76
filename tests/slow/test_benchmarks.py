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


def test_scale_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--quick"]
    subprocess.run([*command, "--output", str(tmp_path)], capture_output=True, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"scale.json", "scale.md", "scale.png"}
    found = json.loads((tmp_path / "scale.json").read_text())
    rows = {(row["axis"], row["size"], row["operation"]): row for row in found["rows"]}
    # Two conditions and one a concept; with momentum from call 2 of 10, and latents of 4 x 8 x 8.
    assert rows["concepts", 2, "first render"]["evaluations"] == 4 * 50
    assert rows["steps", 10, "edited render"]["evaluations"] == 5 * 7
    assert rows["steps", 10, "first render"]["new_bytes"] == (5 * 10 + 11) * 1024
    assert rows["steps", 10, "undone render"]["evaluations"] == 0
    # What is recorded does not depend on anything but the render.
    bytes_slopes = {
        (one["axis"], one["operation"]): one["measured"]
        for one in found["slopes"]
        if one["quantity"] == "bytes"
    }
    assert bytes_slopes["history", "edited render"] == pytest.approx(0, abs=0.01)
    assert bytes_slopes["images", "first render"] == pytest.approx(1, abs=0.01)
    assert bytes_slopes["pixels", "first render"] == pytest.approx(1, abs=0.01)
    exact = [one for one in found["half_precision"] if one["precision"] != "bfloat16"]
    assert all(one["psnr_lowest"] is None or one["psnr_lowest"] > 40 for one in exact)


def test_panel_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["panel.py", "--quick", "--output", str(tmp_path)])
    runpy.run_path(str(ROOT / "benchmarks" / "panel.py"), run_name="__main__")
    (row,) = json.loads((tmp_path / "panel.json").read_text())["rows"]
    # Two concepts, at four model calls.
    assert row["preview_evaluations"] == 4 * 4
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs for minutes with a GPU")
def test_the_gpu_benchmark_requires_cuda() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stdout + done.stderr
