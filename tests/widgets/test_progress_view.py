"""The progress line: its words, what it sends, and its buttons."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sega_widgets.progress import FurtherProgress, Idle, Progress, Report
from sega_widgets.progress_view import ProgressView, describe_stage, steady

from .fakes import send


def ignore() -> None:
    pass


def half(**fields: Any) -> Progress:
    return Progress("exact", fraction=0.5, **fields)


@pytest.mark.parametrize(
    ("report", "state", "text"),
    [
        (Progress("preview"), "moving", "Preview"),
        (half(), "busy", "Rendering"),
        (half(refining=True), "busy", "Refining"),
        (half(refining=True, seconds_left=4.2, seconds=9.0), "busy", "Refining · about 4 s"),
        (FurtherProgress(3), "further", "More images · 3"),
        (FurtherProgress(3, 7, 0.5), "further", "More images · 3 of 7"),
        (Idle("preview", 16, 0.3), "moving", "Preview"),
        (Idle("stopped"), "stopped", "Stopped"),
        (Idle("exact", 0, 0.1), "idle", "Exact · nothing to compute"),
        (Idle("exact", 1, 0.96), "idle", "Exact · 1.0 s · 1 evaluation"),
        (Idle("exact", 156, 11.96), "idle", "Exact · 12 s · 156 evaluations"),
    ],
)
def test_each_report_in_words(report: Report, state: str, text: str) -> None:
    view = ProgressView(ignore, ignore)
    view.show(report)
    assert (view.state, view.text) == (state, text)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (0.2, "1 s"),
        (9.6, "10 s"),
        (14.4, "14 s"),
        (17.4, "15 s"),
        (57.6, "60 s"),
        (89.0, "90 s"),
        (100.0, "2 min"),
        (3600.0, "60 min"),
    ],
)
def test_time_left_is_rounded_as_an_estimate(left: float, words: str) -> None:
    assert describe_stage(half(seconds=left + 2), left) == f"Rendering · about {words}"


def test_short_edits_show_no_time() -> None:
    assert describe_stage(half(seconds=1.9), 1.0) == "Rendering"
    assert describe_stage(half(seconds=2.0), 1.0) == "Rendering · about 1 s"


@pytest.mark.parametrize(
    ("before", "left", "shown"),
    [(None, 5.0, 5.0), (5.0, 4.0, 4.0), (5.0, 5.5, 5.0), (5.0, 8.0, 8.0), (5.0, None, None)],
)
def test_time_left_grows_only_if_it_grows_much(
    before: float | None, left: float | None, shown: float | None
) -> None:
    assert steady(before, left) == shown


def test_the_time_of_one_edit_does_not_hold_that_of_the_next() -> None:
    view = ProgressView(ignore, ignore)
    view.show(half(seconds_left=5.0, seconds=9.0))
    view.show(half(seconds_left=5.8, seconds=9.0))
    assert view.text == "Rendering · about 5 s"
    view.show(Idle("exact", 9, 9.0))
    view.show(half(seconds_left=5.8, seconds=9.0))
    assert view.text == "Rendering · about 6 s"


def test_a_bar_with_its_marks() -> None:
    view = ProgressView(ignore, ignore)
    assert (view.fraction, view.marks) == (None, [])
    view.show(Progress("preview", fraction=0.12345, marks=(0.1, 0.33333)))
    assert (view.fraction, view.marks) == (0.123, [0.1, 0.333])
    view.show(FurtherProgress(1, 2, 0.5))
    assert (view.fraction, view.marks) == (0.5, [])
    view.show(Idle("exact"))
    assert (view.fraction, view.marks) == (None, [])


def test_a_report_is_one_short_message(monkeypatch: pytest.MonkeyPatch) -> None:
    view = ProgressView(ignore, ignore)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(view, "_send", lambda message, buffers=None: sent.append(message))
    view.show(half(marks=(0.1,)))
    view.show(half(marks=(0.1,)))
    view.show(Progress("exact", fraction=0.6, marks=(0.1,)))
    states = [message["state"] for message in sent if message["method"] == "update"]
    assert states == [
        {"state": "busy", "text": "Rendering", "fraction": 0.5, "marks": [0.1]},
        {"fraction": 0.6},
    ]
    assert len(json.dumps(sent[-1])) < 100


def test_the_page_cancels_and_renders() -> None:
    acts: list[str] = []
    act: Callable[[str], Callable[[], None]] = lambda name: lambda: acts.append(name)  # noqa: E731
    view = ProgressView(act("cancel"), act("render"))
    for kind in ("cancel", "render", "another"):
        send(view, {"kind": kind})
    send(view, {})
    assert acts == ["cancel", "render"]
