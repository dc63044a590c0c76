"""The command, run in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sega_session import EditSession
from sega_session.cli.jupyter import resolve_checkpoint
from sega_session.cli.main import explain
from sega_session.errors import CheckpointError, SegaSessionError
from sega_session.scripts import Script
from sega_session.scripts.operations import Render
from sega_session.testing import FakeModel
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.single_files import save_single_file


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


def test_the_model_can_be_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = save_single_file(tiny_stable_diffusion(), tmp_path / "one.safetensors")
    session = EditSession(pipeline, "a cat", num_inference_steps=2)
    session.render()
    session.save(tmp_path / "a.safetensors")
    # The configs of its kind were downloaded before.
    kept = tmp_path / "hub" / "models--stable-diffusion-v1-5--stable-diffusion-v1-5"
    commit = "0" * 40
    pipeline.save_pretrained(kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    command = ("render", "a.safetensors", "--out", "a.png", "--device", "cpu", "--model")
    done = sega_session(*command, "one.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a.png: exact, 0 evaluations\n"
    shutil.rmtree(tmp_path / "hub")
    save_file({"x.lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    for model, message in (
        ("one.safetensors", "needs the configs of stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("lora.safetensors", "is a LoRA, which changes a checkpoint"),
        ("two.safetensors", "'two.safetensors': no such file or folder"),
    ):
        failed = sega_session(*command, model, "--force", cwd=tmp_path)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_the_page_is_given_the_files_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "blob").touch()
    (tmp_path / "one.safetensors").symlink_to("blob")
    for model in ("one.safetensors", "~/one.safetensors"):
        assert resolve_checkpoint(model) == str(tmp_path / "one.safetensors")
    with pytest.raises(CheckpointError, match=r"'blob' is neither a directory with .* nor a hub"):
        resolve_checkpoint("blob")


def test_an_output_folder_is_created_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    failed = sega_session("demo", "--out", "taken", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == (
        "error: 'taken' cannot be created: a file is in its place. Choose another folder.\n"
    )


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    for arguments in (
        ("demo", "--dtype", "int8"),
        ("demo", "--nonsense"),
        ("nonsense",),
        ("run", "a.json"),
        ("run", "a.json", "--out", "o", "--max-seeds", "0"),
        ("render", "a.safetensors", "--out", "a.jpg"),
        ("render", "a.safetensors", "--out", "a.png", "--mode", "best"),
        ("edit", "--add", "hat:large", "--out", "a.png"),
    ):
        failed = sega_session(*arguments, cwd=tmp_path)
        assert (failed.returncode, failed.stdout) == (2, "")
        assert failed.stderr.startswith("error: ")
        assert len(failed.stderr.splitlines()) == 1
    assert sega_session("--help", cwd=tmp_path).returncode == 0
    assert sega_session("--version", cwd=tmp_path).stdout == f"{version('sega-session')}\n"


SCRIPTS = Path(__file__).parents[2] / "examples" / "scripts"


def test_published_scripts_are_valid() -> None:
    for name in ("face", "cat", "boulevard", "castle", "avatars"):
        assert Script.load(SCRIPTS / f"{name}.json").operations


GOLDEN = str(Path(__file__).parents[1] / "data" / "session-v1.safetensors")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("grid", "--help"),
        ("info", GOLDEN),
        ("info", GOLDEN, "--json"),
        ("export-script", GOLDEN),
    ],
)
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
            "error: bad.json: 'opera' is unknown; allowed: scene, operations",
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


HOSTILE = "a\x1b[2J\x9b31m\u202eb\r\n\u2028\x07"
SHOWN = r"a\x1b[2J\x9b31m\u202eb\r\n\u2028\x07"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a folder with a session's file and its two images, full of control characters."""
    session = EditSession(FakeModel(), HOSTILE, seed=[1, 2], num_inference_steps=2)
    session.add(HOSTILE, warmup=0)
    session.branch("main")
    session.render().save(tmp_path / "a.png")
    session.save(tmp_path / "a.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["a.safetensors", "a-1.png"])
def test_files_do_not_control_the_terminal(name: str, hostile: Path) -> None:
    shown = sega_session("info", name, cwd=hostile)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.replace("\n", "").isprintable()
    assert shown.stdout.count(SHOWN) >= 2
    exported = sega_session("export-script", name, cwd=hostile)
    assert exported.returncode == 0
    assert exported.stdout.replace("\n", "").isprintable()
    script = Script.parse(exported.stdout)
    assert script.scene.prompt == HOSTILE
    assert script.operations[-1] == Render(output="image.png")


def test_an_image_is_described(hostile: Path) -> None:
    shown = sega_session("info", "a-1.png", cwd=hostile).stdout
    assert "2 of 2, exact" in shown
    assert "1, 2" in shown
    Image.new("RGB", (1, 1)).save(hostile / "other.png")
    failed = sega_session("info", "other.png", cwd=hostile)
    assert failed.stderr.startswith("error: other.png does not say what made it: ")


def test_files_are_overwritten_only_with_force(hostile: Path) -> None:
    (hostile / "mine.png").write_text("precious")
    (hostile / "mine-1.png").symlink_to("nowhere")
    (hostile / "report.json").write_text("precious")
    (hostile / "a.json").write_text(
        '{"format_version": 1, "scene": {"prompt": "x"}, "operations": []}'
    )
    (hostile / "sega-demo").mkdir()
    (hostile / "sega-demo" / "3.png").write_text("precious")
    for arguments, name in (
        (("render", "a.safetensors", "--out", "mine.png"), "mine-1.png"),
        (("export-script", "a.safetensors", "--out", "mine.png"), "mine.png"),
        (("run", "a.json", "--out", "."), "report.json"),
        (("demo",), "sega-demo/3.png"),
    ):
        failed = sega_session(*arguments, cwd=hostile)
        assert failed.returncode == 1
        assert failed.stderr.endswith(
            f"{name!r} is there already. Choose another --out, or overwrite it with --force.\n"
        )
    assert (hostile / "mine.png").read_text() == "precious"
    forced = ("export-script", "a.safetensors", "--out", "mine.png", "--force")
    assert sega_session(*forced, cwd=hostile).returncode == 0
    assert Script.load(hostile / "mine.png").size > 0


def test_targets_are_checked_before_the_work(hostile: Path) -> None:
    (hostile / "o" / "session.safetensors").mkdir(parents=True)
    (hostile / "a.json").write_text(
        '{"format_version": 1, "scene": {"prompt": "x"}, "operations": [{"op": "undo"}]}'
    )
    for arguments, message in (
        (("run", "a.json", "--out", "o", "--force"), "'o/session.safetensors' is no file."),
        (("run", "a.json", "--out", "a.json/b"), "'a.json/b' cannot be created: a file is in its"),
        (("render", "a.safetensors", "--out", "p/a.png"), "'p/a-0.png' has no folder to"),
        (("export-script", "a.safetensors", "--out", "p/a.json"), "'p/a.json' has no folder to"),
    ):
        failed = sega_session(*arguments, cwd=hostile)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"error: {message}")
        assert len(failed.stderr.splitlines()) == 1


def test_an_error_of_the_system_has_no_number() -> None:
    for error, text in (
        (FileExistsError(17, "File exists", "a\nb"), r"'a\nb': File exists."),
        (BrokenPipeError(32, "Broken pipe"), "Broken pipe."),
        (SegaSessionError("one\ntwo"), r"one\ntwo"),
    ):
        assert explain(error) == text


def test_photographs_go_from_scripts_to_sessions_and_back(tmp_path: Path) -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.save_pretrained(tmp_path / "tiny")
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "me.jpg")
    (tmp_path / "edit.json").write_text(
        '{"format_version": 3, "scene": {"prompt": "", "num_inference_steps": 2,'
        ' "photograph": {"files": ["me.jpg"]}},'
        ' "operations": [{"op": "add", "prompt": "hat", "warmup": 0}, {"op": "render"}]}'
    )
    model = ("--model", "tiny", "--device", "cpu")
    done = sega_session("run", "edit.json", "--out", "out", *model, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = sega_session("info", "out/session.safetensors", cwd=tmp_path).stdout
    session = EditSession.load(tmp_path / "out" / "session.safetensors", pipeline)
    assert f"{session.scene.photograph}, skip 0.15" in shown
    export = ("export-script", "out/session.safetensors", "--out", "again.json")
    assert sega_session(*export, cwd=tmp_path).returncode == 0
    failed = sega_session(*export, cwd=tmp_path)
    assert "'again.json' is there already" in failed.stderr
    again = EditSession.run(tmp_path / "again.json", pipeline, tmp_path / "out")
    assert (again.scene, again.history) == (session.scene, session.history)


def test_completion_is_installed_for_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = sega_session("--install-completion", "--shell", "bash", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    script = tmp_path / ".local" / "share" / "bash-completion" / "completions" / "sega-session"
    assert str(script) in (tmp_path / ".bashrc").read_text()
    # What bash does when a user types these words and presses the tabulator.
    shell = """
        . "$1"
        COMP_WORDS=(sega-session edit --gui) COMP_CWORD=2
        _sega_session
        echo "${COMPREPLY[@]}"
    """
    found = subprocess.run(
        ["bash", "--norc", "-c", shell, "bash", str(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["--guidance-scale"]
