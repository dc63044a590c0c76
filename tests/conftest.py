"""Limit the threads of a run, and print the figures that tests measure at its end."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

# Set before torch is imported, and inherited by child processes: each worker has one core, and the
# tests' tiny models compute faster in one thread than in several.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIGURE = "figure"
FIGURES: list[str] = []


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that prints a figure at the end of the run."""

    def record(line: str) -> None:
        # The report of the test carries its properties from a worker to the main process.
        request.node.user_properties.append((FIGURE, line))

    return record


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The report of the teardown comes last, with the properties of the whole test.
    if report.when == "teardown":
        FIGURES.extend(str(value) for name, value in report.user_properties if name == FIGURE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
