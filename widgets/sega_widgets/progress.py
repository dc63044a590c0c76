"""The progress of a render worker: what it reports, and how it estimates the time left."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from attrs import frozen

Stage = Literal["preview", "exact"]
"""One of the renders that lead to an exact image."""

REMEMBERED = 7
"""The renders of each mode that a pace remembers."""

TRUST = 0.25
"""The share of a stage after which its own pace counts as much as that of earlier renders."""

UNSURE = 0.1
"""The share of a stage before which its own pace says nothing."""


@frozen
class Progress:
    """The progress of an edit towards its exact image.

    Attributes:
        stage: the render that runs.
        refining: an image of the same state is shown already.
        fraction: the share of the whole edit that is done, 0 to 1. None while a slider moves, since
            the edit has no end yet.
        marks: where each stage but the last ends, as fractions of the whole edit.
        seconds_left: estimated seconds until the exact image is shown; None: not known yet.
        seconds: estimated seconds of the whole edit; None: not known yet.
    """

    stage: Stage
    refining: bool = False
    fraction: float | None = None
    marks: tuple[float, ...] = ()
    seconds_left: float | None = None
    seconds: float | None = None


@frozen
class FurtherProgress:
    """The progress of images besides the session's own.

    Attributes:
        done: images that were shown.
        total: images to show in all; None: not known.
        fraction: the share that is done, 0 to 1; None: not known.
    """

    done: int
    total: int | None = None
    fraction: float | None = None


@frozen
class Idle:
    """Nothing is left to do.

    Attributes:
        shown: "exact": the exact image of the state. "preview": a preview of it, since a slider
            moves. "stopped": the last request was cancelled, or has failed.
        evaluations: of the renders of the edit.
        seconds: from the request to its exact image.
    """

    shown: Literal["exact", "preview", "stopped"]
    evaluations: int = 0
    seconds: float = 0.0


Report = Progress | FurtherProgress | Idle
"""What a worker reports."""


class Pace:
    """The seconds that renders take, from those of the last renders.

    Evaluations take the time, not model calls: a call whose predictions are recorded is almost
    free. What one takes differs between modes, since estimates take time too. The end of a render,
    its decoding and showing, takes the same time in all.
    """

    def __init__(self) -> None:
        self._stages: dict[str, deque[tuple[int, float]]] = {}
        self._ends: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, stage: str, evaluations: int, seconds: float, end: float) -> None:
        """Remember a render.

        Args:
            stage: its mode.
            evaluations: those that it made.
            seconds: the time of its model calls.
            end: the time from the last call until it was shown.
        """
        if evaluations:
            kept = self._stages.setdefault(stage, deque(maxlen=REMEMBERED))
            kept.append((evaluations, seconds))
        self._ends.append(end)

    def per_evaluation(self, stage: str) -> float | None:
        """Return the seconds of an evaluation in a mode; in any, if there was none in this one.

        It is the median over all evaluations, so that one slow render does not count.
        """
        own = self._stages.get(stage) or [one for kept in self._stages.values() for one in kept]
        return _weighted_median([(one, seconds / one) for one, seconds in own]) if own else None

    @property
    def end(self) -> float:
        """The seconds from the last model call of a render until it is shown."""
        return statistics.median(self._ends) if self._ends else 0.0

    def seconds(self, stage: str, evaluations: int) -> float | None:
        """Return the seconds of a render of so many evaluations; None before the first one."""
        rate = self.per_evaluation(stage)
        return None if rate is None else rate * evaluations + self.end


class EditProgress:
    """The stages of one edit, and how far they are.

    Args:
        pace: of earlier renders.
        clock: returns seconds.
        planned: the evaluations of each stage, in order.
        refining: an image of the same state is shown already.

    Attributes:
        evaluations: those of the stages that have ended.
    """

    def __init__(
        self,
        pace: Pace,
        clock: Callable[[], float],
        planned: Mapping[Stage, int],
        *,
        refining: bool,
    ) -> None:
        self.evaluations = 0
        self._pace = pace
        self._clock = clock
        self._refining = refining
        self._fraction = 0.0
        self._begun = clock()
        self._later = [*planned.items()]
        # Fixed from the beginning, so that no mark moves.
        self._bounds = _bounds([*map(pace.seconds, planned, planned.values())], planned.values())

    def begin(self, planned: int) -> None:
        """Begin the next stage, which will make so many evaluations."""
        (self._stage, _), *self._later = self._later
        self._planned = planned
        self._since = self._last = self._clock()

    def step(self) -> None:
        """Note the end of a model call."""
        self._last = self._clock()

    def end(self, evaluations: int) -> None:
        """End the stage: its render was shown."""
        now = self._clock()
        self._pace.add(self._stage, evaluations, self._last - self._since, now - self._last)
        self.evaluations += evaluations
        self._refining = True

    def progress(self, left: int) -> Progress:
        """Return the progress when so many evaluations of the stage are left."""
        now, rate, end = self._clock(), self._rate(left), self._pace.end
        done, seconds_left = self._planned - left, None
        whole = float(self._planned)
        if rate is not None:
            whole += end / rate if rate else 0.0
            later = (self._pace.seconds(*one) or 0.0 for one in self._later)
            seconds_left = rate * left + end + sum(later)
        begin, until = self._bounds[-len(self._later) - 2 :][:2]
        share = done / whole if whole else 0.0
        # The stage may turn out to be longer than it was thought to be; a bar never goes back.
        self._fraction = max(self._fraction, begin + (until - begin) * share)
        return Progress(
            stage=self._stage,
            refining=self._refining,
            fraction=self._fraction,
            marks=self._bounds[1:-1],
            seconds_left=seconds_left,
            seconds=None if seconds_left is None else now - self._begun + seconds_left,
        )

    def _rate(self, left: int) -> float | None:
        """Return the seconds of an evaluation, by this stage and by earlier renders."""
        done, took = self._planned - left, self._clock() - self._since
        before = self._pace.per_evaluation(self._stage)
        if before is None:
            return took / done if done > UNSURE * self._planned else None
        trust = TRUST * self._planned
        return (took + before * trust) / (done + trust) if trust else before


def _bounds(seconds: Sequence[float | None], evaluations: Iterable[int]) -> tuple[float, ...]:
    """Return where stages begin and end on a bar: by their seconds, or else evaluations."""
    known = [one for one in seconds if one]
    weights = known if len(known) == len(seconds) else [max(one, 1) for one in evaluations]
    ends = [*accumulate(weights, initial=0.0)]
    return tuple(end / ends[-1] for end in ends)


def _weighted_median(pairs: Sequence[tuple[int, float]]) -> float:
    """Return the median of values that each occur so many times."""
    half = sum(count for count, _ in pairs) / 2
    ordered = sorted(pairs, key=lambda pair: pair[1])
    sums = accumulate(count for count, _ in ordered)
    return next(value for (_, value), so_far in zip(ordered, sums, strict=True) if so_far >= half)
