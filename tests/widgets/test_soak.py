"""A short soak; the long one is in tests/slow."""

from __future__ import annotations

from .fakes import Model
from .soak import run_soak


def test_four_hundred_events_from_eight_threads(model: Model) -> None:
    run_soak(model, rounds=2, events=400)
