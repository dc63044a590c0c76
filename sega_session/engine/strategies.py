"""The strategy of each render mode."""

from __future__ import annotations

from ..state import Anchored, Exact, Mode, Preview, Replay
from .anchored import anchored_every, anchored_within, preview
from .estimates import SignalAndNoise
from .exact import ExactStrategy
from .job import Strategy
from .replay import ReplayStrategy


def strategy_of(mode: Mode, signal_and_noise: SignalAndNoise) -> Strategy:
    """Return the strategy of a mode. This is the only place that tells modes apart."""
    match mode:
        case Exact():
            return ExactStrategy()
        case Replay():
            return ReplayStrategy()
        case Preview():
            return preview(signal_and_noise)
        case Anchored(every=None, tolerance=float(tolerance)):
            return anchored_within(tolerance, signal_and_noise)
        case Anchored(every=every):
            return anchored_every(every or 1, signal_and_noise)
