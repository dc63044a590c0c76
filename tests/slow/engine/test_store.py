"""A cache in use for a long time."""

from __future__ import annotations

from tests.engine.test_store import check_budget


def test_two_thousand_edits_keep_to_the_budget() -> None:
    evaluated_again, hits = check_budget(2000)
    assert evaluated_again > 20
    assert hits > 10_000
