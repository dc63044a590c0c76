"""examples/own_model.py: a denoiser of one's own in a session."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_model.py"


def test_the_disc_becomes_blue_and_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    before, after = (np.asarray(Image.open(f"{name}.png")) for name in ("disc", "blue_disc"))
    assert (before.max(axis=2) > 200).mean() > 0.2
    assert np.array_equal(before.max(axis=2) > 200, after.max(axis=2) > 200)
    inside = after.max(axis=2) > 200
    assert (after[inside].argmax(axis=1) == 2).all()
    assert not (before[inside].argmax(axis=1) == 2).any()


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60
