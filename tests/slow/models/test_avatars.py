"""The example programs, which edit with the embedded checkpoint."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


Run = Callable[[str], None]


@pytest.fixture
def run_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(name: str) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name])
        runpy.run_path(str(EXAMPLES / name))

    return run


def test_the_first_edit(run_example: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("first_edit.py")
    assert capsys.readouterr().out == "0\n"
    pictures = [np.asarray(PIL.Image.open(path)) for path in Path().glob("*.png")]
    assert [picture.shape for picture in pictures] == [(128, 128, 3)] * 3


def test_the_published_example(run_example: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run_example("published_example.py")
    # With momentum every concept is evaluated at all 50 calls; without the beard, the first 10
    # calls share their latents with the render before, so only the other 40 are evaluated; at
    # the first of these the latents are shared as well.
    assert capsys.readouterr().out == (
        f"four concepts: {6 * 50} evaluations\nwithout the beard: {5 * 39} evaluations\n"
    )
    four, three = (
        np.asarray(PIL.Image.open(name), dtype=float)
        for name in ("four_concepts.png", "without_beard.png")
    )
    assert np.abs(four - three).mean() > 0.5


def test_the_modes_side_by_side() -> None:
    names = runpy.run_path(str(EXAMPLES / "compare_modes.py"))
    names["EDITS"].pop("add a beard")
    names["EDITS"].pop("invert the smile")
    assert names["main"]().width > 4 * 256
