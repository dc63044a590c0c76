"""How much the long tests do; ``make test-slow SIZE=10`` does ten times as much."""

from __future__ import annotations

import os

SIZE = int(os.environ.get("SIZE", "1"))

HEADERS, SESSION_FILES, PART_OF_FILES = 15_000 * SIZE, 15_000 * SIZE, 5_000
KILLED_SAVES, KILLED_AUTOSAVES, KILLED_APPENDS = 100 * SIZE, 80 * SIZE, 20 * SIZE
EVENTS, PART_OF_EVENTS = 50_000 * SIZE, 10_000
EDITS = 2_000 * SIZE


def parts(count: int, part: int) -> range:
    """Return the numbers of the parts of a count, which workers share."""
    return range(count // part)
