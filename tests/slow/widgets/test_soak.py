"""Many thousands of events for the render worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.slow.size import EVENTS, PART_OF_EVENTS, parts
from tests.widgets.fakes import Model
from tests.widgets.soak import run_soak


@pytest.mark.parametrize("part", parts(EVENTS, PART_OF_EVENTS))
def test_ten_thousand_events_from_eight_threads(
    model: Model,
    part: int,
    figure: Callable[[str], None],
    done: Callable[[str, int], None],
) -> None:
    figure(run_soak(model, rounds=10, events=PART_OF_EVENTS, seed=part))
    done("slider events", PART_OF_EVENTS)
