"""The command, run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sega_session.scripts import Script


def sega_session(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sega_session", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_failure_is_one_line(tmp_path: Path) -> None:
    failed = sega_session("demo", "--model", "nowhere", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: checkpoint 'nowhere' cannot be loaded")
    assert len(failed.stderr.splitlines()) == 1


def test_an_output_folder_is_created_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    failed = sega_session("demo", "--out", "taken", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == "error: [Errno 17] File exists: 'taken'\n"


def test_wrong_use(tmp_path: Path) -> None:
    assert sega_session("demo", "--dtype", "int8", cwd=tmp_path).returncode == 2
    assert sega_session("demo", "--nonsense", cwd=tmp_path).returncode == 2
    assert sega_session("--help", cwd=tmp_path).returncode == 0


SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"


def test_published_scripts_are_valid() -> None:
    for name in ("face", "cat", "boulevard", "castle", "avatars"):
        assert Script.load(SCRIPTS / f"{name}.json").operations


GOLDEN = str(Path(__file__).parents[1] / "data" / "session-v1.safetensors")


@pytest.mark.parametrize("arguments", [("--help",), ("info", GOLDEN), ("export-script", GOLDEN)])
def test_commands_without_a_model_import_no_torch(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\n"
        "from sega_session.cli.main import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_failures_of_files_and_scripts_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(
        '{"format_version": 1, "scene": {"prompt": "x"}, "opera": 3}'
    )
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for arguments, message in [
        (
            ("run", "bad.json", "--out", "o"),
            "error: 'opera' is unknown; allowed: scene, operations",
        ),
        (("run", "none.json", "--out", "o"), "error: 'none.json' cannot be read: No such file"),
        (("info", "none.safetensors"), "error: "),
        (("info", "bad.safetensors"), "error: "),
        (("render", "bad.safetensors", "--out", "a.png"), "error: "),
        (("export-script", "bad.safetensors"), "error: "),
    ]:
        failed = sega_session(*arguments, cwd=tmp_path)
        assert failed.returncode == 1
        assert failed.stderr.startswith(message)
        assert len(failed.stderr.splitlines()) == 1
    shown = sega_session("info", "bad.safetensors", "--debug", cwd=tmp_path)
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert sega_session("run", "bad.json", cwd=tmp_path).returncode == 2


def test_a_run_that_fails_keeps_its_first_results(tmp_path: Path) -> None:
    script = Script.load(SCRIPTS / "avatars.json")
    operations = [*json.loads(script.dump())["operations"][:3], {"op": "remove", "name": "hat"}]
    text = {**json.loads(script.dump()), "operations": operations}
    text["scene"]["num_inference_steps"] = 6
    (tmp_path / "a.json").write_text(json.dumps(text))
    failed = sega_session("run", "a.json", "--out", "out", "--device", "cpu", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: operation 3: remove: name is 'hat'; allowed: one of 'g")
    info = sega_session("info", "out/session.safetensors", cwd=tmp_path)
    assert "* 1  glasses added" in info.stdout
