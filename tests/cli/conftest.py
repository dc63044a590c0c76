"""Run `sega-session` in the test's own process, in an empty folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from attrs import frozen

from sega_session.cli import files, images
from sega_session.cli.main import main
from sega_session.testing import FakeModel


@frozen
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Done]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Return a function that runs `sega-session` with arguments."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["sega-session", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """Return the model that the commands load."""
    found = FakeModel()
    for module in (files, images):
        monkeypatch.setattr(module, "load_with_status", lambda *_: found)
    return found
