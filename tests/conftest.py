"""Limit the threads of a run; print the figures that tests measure, and note what works where."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .support.features import Outcomes, feature_of

# Set before torch is imported, and inherited by child processes: each worker has one core, and the
# tests' tiny models compute faster in one thread than in several.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIGURE = "figure"
FEATURE = "feature"
FIGURES: list[str] = []
OUTCOMES: Outcomes = {}
"""Filled for `tools/support.py`, which sets SUPPORT to the file to write."""


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that prints a figure at the end of the run."""

    def record(line: str) -> None:
        # The report of the test carries its properties from a worker to the main process.
        request.node.user_properties.append((FIGURE, line))

    return record


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (found := feature_of(item)) is not None:
            item.user_properties.append((FEATURE, found))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        for name, value in report.user_properties:
            if name == FEATURE and isinstance(value, list | tuple):
                table, row, family = value
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
                outcome = reason.removeprefix("Skipped: ") if report.skipped else report.outcome
                OUTCOMES.setdefault(table, {}).setdefault(row, {})[family] = outcome
    # The report of the teardown comes last, with the properties of the whole test.
    if report.when == "teardown":
        FIGURES.extend(str(value) for name, value in report.user_properties if name == FIGURE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if path := os.environ.get("SUPPORT"):
        Path(path).write_text(json.dumps(OUTCOMES, indent=1) + "\n")
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
