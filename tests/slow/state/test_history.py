"""Long random walks of a session beside a model of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.state.test_history import walk
from tests.support.fake_denoiser import use_fake
from tests.support.pipelines import tiny_stable_diffusion


def test_three_hundred_walks(
    monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    use_fake(monkeypatch)
    counts = walk(None, runs=300, steps=50)
    figure(f"walks of up to 50 steps: {dict(counts)}")
    assert counts["revisits"] > 60


def test_twenty_walks_with_a_pipeline(figure: Callable[[str], None]) -> None:
    counts = walk(tiny_stable_diffusion(), runs=20, steps=15)
    figure(f"walks of up to 15 steps with a pipeline: {dict(counts)}")
    assert counts["revisits"] > 4
