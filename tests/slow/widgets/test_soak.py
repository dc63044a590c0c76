"""Ten thousand events for the render worker."""

from __future__ import annotations

from collections.abc import Callable

from tests.widgets.fakes import Model
from tests.widgets.soak import run_soak


def test_ten_thousand_events_from_eight_threads(
    model: Model, figure: Callable[[str], None]
) -> None:
    figure(run_soak(model, rounds=10, events=10_000))
