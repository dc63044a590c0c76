"""README's costs, counted with a pipeline."""

from __future__ import annotations

from tests.support.pipelines import tiny_stable_diffusion
from tests.test_readme import check_costs


def test_the_costs_are_those_of_plan() -> None:
    check_costs(tiny_stable_diffusion())
