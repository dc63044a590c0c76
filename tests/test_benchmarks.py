"""What README quotes was measured, and the benchmarks run."""

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

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def rows(text: str) -> dict[str, list[str]]:
    """A Markdown table's rows by their first cell."""
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines()]
    return {first: rest for first, *rest in cells if rest}


def test_readme_quotes_what_was_measured() -> None:
    measured = rows((RESULTS / "fidelity.md").read_text().partition("PSNR of each edit")[0])
    readme = (ROOT / "README.md").read_text()
    quoted = rows(readme.partition("| mode | evaluations |")[2].partition("\n\n")[0])
    del quoted["---"], quoted["PSNR, median"]
    assert "preview" in quoted
    assert "anchored(tolerance=0.1)" in quoted
    for mode, cells in quoted.items():
        evaluations, median, tenth, _, _, _, nearer, _ = measured[mode]
        assert cells == [evaluations, median, tenth, nearer]


def test_readme_quotes_the_seconds_that_were_measured() -> None:
    results = json.loads((RESULTS / "speed.json").read_text())
    measured = {
        (row["operation"], row["mode"]): row
        for row in results["rows"]
        if (row["concepts"], row["steps"]) == (2, 50)
    }
    readme = (ROOT / "README.md").read_text()
    lines = readme.partition("| edit | mode |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(lines) > 10
    for line in lines:
        operation, mode, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
        row = measured[operation, mode]
        assert cells == [
            *(str(row["evaluations"]), str(row["model_calls"]), f"{row['seconds']:.2f}"),
            *(f"{row['of_p1']:.1%}", f"{row['of_p0']:.1%}"),
        ]
    fit, overhead = results["fit"], results["overhead"]
    text = " ".join(readme.split())
    assert f"{fit['ms_per_evaluation']:.1f} ms and {fit['ms_per_model_call']:.1f} ms" in text
    assert f"(R² {fit['r_squared']:.2f})" in text
    assert f"is {overhead['ratio']:.2%} of the model's time" in text


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


def test_speed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "speed.json"
    monkeypatch.setattr(sys, "argv", ["speed.py", "--quick", "--output", str(output)])
    runpy.run_path(str(ROOT / "benchmarks" / "speed.py"), run_name="__main__")
    found = {
        (row["operation"], row["mode"]): row["evaluations"]
        for row in json.loads(output.read_text())["rows"]
    }
    # One concept from call 2 of 10 on, momentum on.
    assert found["first render", "exact"] == 3 * 10
    assert found["reweight", "exact"] == 3 * 7
    assert found["reweight", "preview"] == 3 * 4
    assert found["undo", "exact"] == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would run for minutes")
def test_the_gpu_benchmark_says_what_it_needs() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stdout + done.stderr
