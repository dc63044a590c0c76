"""Commands that render for a while."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image

from sega_session.scripts import Script
from tests.cli.test_main import SCRIPTS, sega_session


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


def test_scripts_and_session_files(tmp_path: Path) -> None:
    done = sega_session(
        "run", str(SCRIPTS / "avatars.json"), "--out", "out", "--device", "cpu", cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.returncode == 0
    written = {path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock"}
    assert written == {
        *("base.png", "glasses.png", "beard.png", "beard-preview.png", "full-beard.png"),
        *("smile.png", "avatars.safetensors"),
        *("contact_sheet.png", "session.safetensors", "report.json"),
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["operations"][2]["evaluations"] == 3 * 19 + 6
    assert report["operations"][10]["evaluations"] == 0
    assert "beard: scale 3 -> 6" in done.stdout

    info = sega_session("info", "out/session.safetensors", cwd=tmp_path)
    assert info.returncode == 0
    for part in ("a portrait of a person", "└─* 4  cheer up", "beard added", "DDIMScheduler", "MB"):
        assert part in info.stdout

    drawn = sega_session("render", "out/session.safetensors", "--out", "a.png", cwd=tmp_path)
    assert (drawn.returncode, drawn.stdout) == (0, "a.png: 0 evaluations\n")
    with (
        PIL.Image.open(tmp_path / "a.png") as found,
        PIL.Image.open(tmp_path / "out" / "smile.png") as first,
    ):
        assert found.tobytes() == first.tobytes()
        assert found.info["sega_session"] == first.info["sega_session"]

    shown = sega_session("export-script", "out/session.safetensors", cwd=tmp_path)
    assert shown.returncode == 0
    script = Script.parse(shown.stdout)
    to_file = sega_session(
        "export-script", "out/session.safetensors", "--out", "b.json", cwd=tmp_path
    )
    assert (to_file.returncode, to_file.stdout) == (0, "")
    assert Script.load(tmp_path / "b.json") == script
