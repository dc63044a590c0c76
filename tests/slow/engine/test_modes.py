"""Every edit in every mode, with a pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.engine.test_modes import (
    APPROXIMATE,
    EDITS,
    check_evaluations,
    check_exactness,
    check_plans,
    walks,
)
from tests.support.pipelines import tiny_stable_diffusion


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def test_evaluations_of_every_mode(pipeline: Any) -> None:
    check_evaluations(pipeline)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("mode", APPROXIMATE, ids=str)
def test_no_mode_poses_as_exact(pipeline: Any, edit: str, mode: Any) -> None:
    check_exactness(pipeline, edit, mode)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(walk=walks)
def test_plans_come_true(walk: list[tuple[str, Any]]) -> None:
    check_plans(tiny_stable_diffusion(), walk)
