"""A cache in use for a long time."""

from __future__ import annotations

from collections.abc import Callable

from tests.engine.test_store import check_budget
from tests.slow.size import EDITS


def test_thousands_of_edits_keep_to_the_budget(done: Callable[[str, int], None]) -> None:
    evaluated_again, hits = check_budget(EDITS)
    assert evaluated_again > EDITS // 100
    assert hits > 5 * EDITS
    done("edits and renders", EDITS)
