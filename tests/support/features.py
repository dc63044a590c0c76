"""The tables of what works with which family, made from the outcomes of tests.

A test with the marker ``feature("a session", "undo")`` is the row "undo" in the table of what a
session does; with ``feature("a scheduler", by="sampler")`` it is a row for each of its parameters
``sampler``. The column is its parameter ``family``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import pytest

Outcomes: TypeAlias = dict[str, dict[str, dict[str, str]]]
"""By table, row and family: "passed", "failed", or the reason for which the test was skipped."""


def feature_of(item: pytest.Item) -> tuple[str, str, str] | None:
    """Return the table, the row and the column of a test; None: it is in no table."""
    marker = item.get_closest_marker("feature")
    if marker is None:
        return None
    params = item.callspec.params  # type: ignore[attr-defined]
    table, *rest = marker.args
    row = rest[0] if rest else params[marker.kwargs["by"]]
    return table, str(row), str(params["family"])


def tables(outcomes: Outcomes, families: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table for each kind of rows, and the reasons for each "no"."""
    columns = list(families)
    reasons: list[str] = []
    for table, rows in outcomes.items():
        yield f"| {table} | {' | '.join(columns)} |"
        yield f"| --- |{' --- |' * len(columns)}"
        for row, found in rows.items():
            cells = []
            for family in columns:
                outcome = found.get(family, "")
                if outcome not in ("", "passed") and outcome not in reasons:
                    reasons.append(outcome)
                number = reasons.index(outcome) + 1 if outcome in reasons else 0
                cells.append("yes" if outcome == "passed" else f"no ({number})" if number else "")
            yield f"| {row} | {' | '.join(cells)} |"
        yield ""
    for number, reason in enumerate(reasons, 1):
        yield f"{number}. {reason}"
