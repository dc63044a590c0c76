"""How much the long tests do; ``make test-slow SIZE=10`` does ten times as much."""

from __future__ import annotations

import os

SIZE = float(os.environ.get("SIZE", "1"))


def sized(count: int) -> int:
    """Return a count at this size."""
    return max(1, round(count * SIZE))


HEADERS = SESSION_FILES = sized(15_000)
PART_OF_FILES = min(5_000, HEADERS)
KILLED_SAVES, KILLED_AUTOSAVES, KILLED_APPENDS = sized(100), sized(80), sized(20)
EVENTS = sized(50_000)
PART_OF_EVENTS = min(10_000, EVENTS)
# Fewer are not enough to fill the cache.
EDITS = max(2_000, sized(2_000))
WALKS = sized(60)
SWEEP_ROWS = max(10_000, sized(10_000))


def parts(count: int, part: int) -> range:
    """Return the numbers of the parts of a count, which workers share."""
    return range(count // part)
