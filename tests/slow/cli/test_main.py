"""Commands that render for a while."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image

from sega_session import EditSession, load_avatars
from sega_session.scripts import Script
from tests.cli.test_main import SCRIPTS, sega_session


def test_demo(tmp_path: Path) -> None:
    done = sega_session("demo", "--out", "images", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for line in (
        "images/0.png: base, 100 of 100 evaluations",
        "images/1.png: add glasses, 128 of 150 evaluations",
        "images/6.png: undo twice, 0 of 250 evaluations",
        "images/7.png: back to the base, 0 of 100 evaluations",
    ):
        assert line in done.stdout
    assert "images/contact_sheet.png" in done.stdout
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == [*(f"{i}.png" for i in range(8)), "contact_sheet.png"]
    with PIL.Image.open(tmp_path / "images" / "contact_sheet.png") as sheet:
        assert sheet.width > 1000
    shown = [(tmp_path / "images" / f"{number}.png").read_bytes() for number in range(8)]
    assert shown[6] == shown[3]
    assert shown[7] == shown[0]
    assert len({*shown}) == 6


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

    done = sega_session("render", "out/session.safetensors", "--out", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "a.png: exact, 0 evaluations\n")
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


def test_a_run_that_fails_keeps_its_first_results(tmp_path: Path) -> None:
    script = Script.load(SCRIPTS / "avatars.json")
    operations = [*json.loads(script.dump())["operations"][:3], {"op": "remove", "name": "hat"}]
    text = {**json.loads(script.dump()), "operations": operations}
    text["scene"]["num_inference_steps"] = 6
    operations[2]["output"] = "more/glasses.png"
    (tmp_path / "a.json").write_text(json.dumps(text))
    failed = sega_session("run", "a.json", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: a.json: operation 3: remove: name is 'hat'; all")
    lines = failed.stdout.splitlines()
    assert lines[:2] == ["base.png: 12 evaluations", "glasses.png: 6 evaluations"]
    assert "\x1b" not in failed.stdout
    assert "\r" not in failed.stdout
    info = sega_session("info", "out/session.safetensors", cwd=tmp_path)
    assert "* 1  glasses added" in info.stdout


def test_an_image_is_rendered_again(tmp_path: Path) -> None:
    session = EditSession(
        load_avatars(device="cpu", dtype="float32"), "a portrait", num_inference_steps=3
    )
    session.add("glasses", warmup=1)
    session.render().save(tmp_path / "a.png")
    done = sega_session("render", "a.png", "--out", "b.png", "--device", "cpu", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "b.png: exact, 9 evaluations\n")
    with (
        PIL.Image.open(tmp_path / "a.png") as one,
        PIL.Image.open(tmp_path / "b.png") as other,
    ):
        assert one.tobytes() == other.tobytes()
    half = ("--device", "cpu", "--dtype", "float16")
    failed = sega_session("render", "a.png", "--out", "c.png", *half, cwd=tmp_path)
    assert failed.stderr.startswith("error: a.png: the image was made with model ")
    assert failed.stderr.endswith(
        "Give that checkpoint as --model, and its precision as --dtype.\n"
    )


def test_limits_are_raised_by_options(tmp_path: Path) -> None:
    undos = ", ".join(['{"op": "undo"}'] * 1_001)
    (tmp_path / "a.json").write_text(
        f'{{"format_version": 1, "scene": {{"prompt": "x"}}, "operations": [{undos}]}}'
    )
    failed = sega_session("run", "a.json", "--out", "o", cwd=tmp_path)
    assert failed.stderr == (
        "error: a.json: the script asks for 1001 operations; allowed: 1000. If you trust the "
        "script, allow more with --max-operations.\n"
    )
    assert not (tmp_path / "o").exists()
    more = ("--max-operations", "1001", "--device", "cpu")
    failed = sega_session("run", "a.json", "--out", "o", *more, cwd=tmp_path)
    assert failed.stderr.startswith("error: a.json: operation 0: undo: there is nothing to undo")
