"""Long random walks of a session beside a model of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sega_session.testing import FakeModel
from tests.state.test_history import walk
from tests.support.pipelines import tiny_stable_diffusion


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_three_hundred_walks(figure: Callable[[str], None]) -> None:
    counts = walk(FakeModel(), runs=300, steps=50)
    figure(f"walks of up to 50 steps: {dict(counts)}")
    assert counts["revisits"] > 60


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_twenty_walks_with_a_pipeline(figure: Callable[[str], None]) -> None:
    counts = walk(tiny_stable_diffusion(), runs=20, steps=15)
    figure(f"walks of up to 15 steps with a pipeline: {dict(counts)}")
    assert counts["revisits"] > 4


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_a_hundred_walks_from_a_photograph(figure: Callable[[str], None]) -> None:
    counts = walk(FakeModel(), runs=100, steps=50, photograph=True)
    figure(f"walks of up to 50 steps from a photograph: {dict(counts)}")
    assert counts["revisits"] > 20
