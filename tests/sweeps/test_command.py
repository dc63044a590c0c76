"""The command `sweep`: its output, going on, failures and Ctrl+C."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sega_session import ScriptError, SegaSessionError
from sega_session.cli.main import main
from sega_session.cli.sweep import sweep
from sega_session.models import Request
from sega_session.testing import FakeModel

from .support import table_of

SWEEP = """
prompts = ["a cat", "a dog"]
seeds = "3-4"
scene.num_inference_steps = 4

[[edits]]
name = "unedited"

[[edits]]
name = "glasses"
operations = [{ op = "add", prompt = "glasses", scale = 6 }]
"""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """Return the model that the command loads."""
    model = FakeModel()
    monkeypatch.setattr("sega_session.cli.sweep.load_with_status", lambda *_: model)
    return model


def write(folder: Path, text: str = SWEEP) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_it_says_what_it_does(
    tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path), tmp_path / "results" / "first"
    sweep(path, out=out)
    lines = capsys.readouterr().out.splitlines()
    each = model.rows // 4
    assert lines == [
        *(f"{done} of 8 images: {each} evaluations" for done in (2, 4, 6, 8)),
        f"8 images, {model.rows} evaluations",
        f"Table: {out / 'table.csv'}",
        f"Contact sheets: {out / 'sheets'}",
    ]
    assert len(table_of(out)) == 8
    rows = model.rows
    sweep(path, out=out)
    assert capsys.readouterr().out.splitlines()[0] == "8 images, 0 evaluations"
    assert model.rows == rows


def test_another_model_has_other_images(tmp_path: Path, model: FakeModel) -> None:
    path = write(tmp_path)
    sweep(path, out=tmp_path / "out")
    calls = model.calls
    # The images are there, since the model is the same one under another name.
    sweep(path, out=tmp_path / "out", model="another")
    assert model.calls == calls
    assert len(list((tmp_path / "out" / "units").rglob("*.json"))) == 8


def test_it_ends_with_the_table(
    tmp_path: Path, model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path), tmp_path / "out"

    def interrupt(_: Sequence[Request]) -> None:
        if "a dog" in model.encoded:
            raise KeyboardInterrupt

    model.on_evaluate = interrupt
    with pytest.raises(KeyboardInterrupt):
        sweep(path, out=out)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "Interrupted. The table has what is there; the same command goes on."
    assert len(table_of(out)) == 4
    model.on_evaluate = None
    sweep(path, out=out)
    assert capsys.readouterr().out.startswith("6 of 8 images: ")
    assert len(table_of(out)) == 8


def test_failures_are_counted(tmp_path: Path, model: FakeModel) -> None:
    wrong = '[[edits]]\nname = "wrong"\noperations = [{ op = "remove", name = "hat" }]\n'
    path, out = write(tmp_path, SWEEP + wrong), tmp_path / "out"
    with pytest.raises(SegaSessionError) as error:
        sweep(path, out=out)
    assert str(error.value).startswith(
        f"4 of 12 images failed; see the column error of {out / 'table.csv'}. The first: operation "
        "0: remove: name is 'hat'; allowed: no name, since the session has no concepts."
    )
    assert sum(bool(one["file"]) for one in table_of(out)) == 8


def test_a_warning_is_printed_once(
    tmp_path: Path,
    model: FakeModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(tmp_path, SWEEP.replace("scale = 6", "scale = 0"))
    printed = {}
    for options in (("--quiet",), ()):
        out = tmp_path / f"{len(options)}"
        arguments = ["sega-session", "sweep", str(path), "--out", str(out), *options]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
        printed[options] = capsys.readouterr()
    assert printed[()].err.startswith("warning: 'glasses' has no effect: scale is 0")
    assert len(printed[()].err.splitlines()) == 1
    assert printed[("--quiet",)] == ("", "")


def test_a_wrong_file_is_refused_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("sega_session.cli.sweep.load_with_status", load)
    with pytest.raises(ScriptError, match="'prompts' is missing"):
        sweep(write(tmp_path, ""), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
