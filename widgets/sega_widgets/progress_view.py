"""The progress line below the image: a bar, a few words, and a button to cancel or to render."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywidget import AnyWidget
from traitlets import Enum, Float, List, Unicode

from .front_end import script, style
from .progress import FurtherProgress, Idle, Progress, Report

SHORT = 2.0
"""The seconds of an edit below which no time left is shown: it would be gone before it is read."""

UNSTEADY = 1.25
"""The growth of the time left that is shown; smaller ones are noise."""


class ProgressView(AnyWidget):
    """A bar to the exact image with its stages, the time left, and one button.

    Args:
        cancel: called to cancel what is being rendered.
        render: called to render the current state, after a cancel.

    Attributes:
        state: "idle", "moving" (a slider moves), "busy", "further" (other images are rendered) or
            "stopped".
        text: says what is done.
        fraction: the share that is done, 0 to 1; None: not known.
        marks: where each stage but the last ends, as fractions.
    """

    _esm = script("progress")
    _css = style("progress")

    state = Enum(["idle", "moving", "busy", "further", "stopped"], "idle").tag(sync=True)
    text = Unicode().tag(sync=True)
    fraction = Float(None, allow_none=True).tag(sync=True)
    marks = List(Float()).tag(sync=True)

    def __init__(self, cancel: Callable[[], object], render: Callable[[], object]) -> None:
        super().__init__()
        self._actions = {"cancel": cancel, "render": render}
        self._left: float | None = None
        self.on_msg(self._act)

    def show(self, report: Report) -> None:
        """Show what a `RenderWorker` reports, from any thread."""
        # One message to the page, with what has changed.
        with self.hold_sync():
            self.state = _state_of(report)
            fraction = None if isinstance(report, Idle) else report.fraction
            self.fraction = None if fraction is None else round(fraction, 3)
            if isinstance(report, Progress) and report.fraction is not None:
                self.marks = [round(one, 3) for one in report.marks]
                self._left = steady(self._left, report.seconds_left)
                self.text = describe_stage(report, self._left)
            else:
                self.marks, self._left = [], None
                self.text = describe(report)

    def _act(self, _: object, content: dict[str, Any], __: object) -> None:
        # Without the guard of a panel: cancelling must not wait for another action.
        action = self._actions.get(content.get("kind", ""))
        if action is not None:
            action()


def steady(before: float | None, left: float | None) -> float | None:
    """Return the seconds left to show, which grow only if they have grown much."""
    if before is None or left is None or left > UNSTEADY * before + 1:
        return left
    return min(before, left)


def describe_stage(progress: Progress, left: float | None) -> str:
    """Return a stage and the seconds left in words."""
    stage = "Refining" if progress.refining else "Rendering"
    if left is None or progress.seconds is None or progress.seconds < SHORT:
        return stage
    return f"{stage} · about {_rounded(left)}"


def describe(report: Report) -> str:
    """Return a report in words, for what has no end or has ended."""
    if isinstance(report, Progress):
        return "Preview"
    if isinstance(report, FurtherProgress):
        count = report.done if report.total is None else f"{report.done} of {report.total}"
        return f"More images · {count}"
    if report.shown != "exact":
        return report.shown.capitalize()
    if report.evaluations == 0:
        return "Exact · nothing to compute"
    noun = "evaluation" if report.evaluations == 1 else "evaluations"
    return f"Exact · {_took(report.seconds)} · {report.evaluations} {noun}"


def _state_of(report: Report) -> str:
    if isinstance(report, Progress):
        return "moving" if report.fraction is None else "busy"
    if isinstance(report, FurtherProgress):
        return "further"
    return {"exact": "idle", "preview": "moving", "stopped": "stopped"}[report.shown]


def _rounded(seconds: float) -> str:
    """Return seconds in words, as exactly as an estimate can be."""
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    step = 5 if seconds >= 15 else 1
    return f"{max(1, step * round(seconds / step))} s"


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
