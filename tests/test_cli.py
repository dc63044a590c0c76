"""The command, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import PIL.Image


def sega_session(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sega_session.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_demo(tmp_path: Path) -> None:
    done = sega_session("demo", "--out", "pictures", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for label in ("base", "add glasses", "add beard", "invert smile", "remove beard"):
        assert label in done.stdout
    assert "pictures/contact_sheet.png" in done.stdout
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [*(f"{i}.png" for i in range(8)), "contact_sheet.png"]
    with PIL.Image.open(tmp_path / "pictures" / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


def test_a_failure_is_one_line(tmp_path: Path) -> None:
    failed = sega_session("demo", "--model", "nowhere", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: checkpoint 'nowhere' cannot be loaded")
    assert len(failed.stderr.splitlines()) == 1


def test_an_output_folder_that_cannot_be_made_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    failed = sega_session("demo", "--out", "taken", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == "error: [Errno 17] File exists: 'taken'\n"


def test_wrong_use(tmp_path: Path) -> None:
    assert sega_session("demo", "--dtype", "int8", cwd=tmp_path).returncode == 2
    assert sega_session("demo", "--nonsense", cwd=tmp_path).returncode == 2
    assert sega_session("--help", cwd=tmp_path).returncode == 0
