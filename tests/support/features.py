"""The table of what works with which family, made from the outcomes of tests.

A test with the marker ``feature("name")`` is a row, and its parameter ``family`` the column. One with
``sampler()`` is a row of the table of schedulers; its row is its parameter ``sampler``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import pytest

Outcomes: TypeAlias = dict[str, dict[str, dict[str, str]]]
"""By kind of row and row, the outcome for each family: "passed", "failed" or why it was skipped."""


def feature_of(item: pytest.Item) -> tuple[str, str, str] | None:
    """Return the kind, the row and the column of a test; None: it is not in a table."""
    marker = item.get_closest_marker("feature")
    callspec = getattr(item, "callspec", None)
    if marker is None or callspec is None:
        return None
    kind, name = (*marker.args, None)[:2]
    row = callspec.params[kind].name if name is None else name
    return kind, row, callspec.params["family"].name


def tables(outcomes: Outcomes, families: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table for each kind of rows, and the reasons for each "no"."""
    columns = list(families)
    reasons: list[str] = []
    for kind, rows in outcomes.items():
        yield f"| {kind} | {' | '.join(columns)} |"
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
