"""Print what the long tests did in one table, and write it to the file that FIGURES names."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from .size import SIZE

DONE = "done"
COUNTS: Counter[str] = Counter()
SECONDS: defaultdict[str, float] = defaultdict(float)


@pytest.fixture
def done(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """Return a function that counts what a test has done: ``done("kills of a save", 100)``."""

    def count(what: str, number: int) -> None:
        request.node.user_properties.append((DONE, [what, number]))

    return count


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The report of the call carries its properties from a worker to the main process.
    if report.when != "call":
        return
    for name, value in report.user_properties:
        if name == DONE and isinstance(value, list):
            what, number = value
            COUNTS[what] += number
            SECONDS[what] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not COUNTS:
        return
    terminalreporter.section(f"done at SIZE={SIZE}")
    for what, number in sorted(COUNTS.items()):
        seconds = SECONDS[what]
        each = 1000 * seconds / number
        terminalreporter.write_line(
            f"{what:<24} {number:>9,} {seconds:>9.1f} s {each:>9.2f} ms each"
        )
    if path := os.environ.get("FIGURES"):
        rows = {
            what: {"count": n, "seconds": round(SECONDS[what], 1)} for what, n in COUNTS.items()
        }
        outcomes = {
            outcome: len(terminalreporter.stats.get(outcome, ()))
            for outcome in ("passed", "failed")
        }
        document = {"size": SIZE, **outcomes, "done": dict(sorted(rows.items()))}
        Path(path).write_text(json.dumps(document, indent=1) + "\n")
