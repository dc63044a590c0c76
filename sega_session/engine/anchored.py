"""The anchored modes and the preview: evaluated at anchors, estimated between them.

From each anchor, a fork of the walk goes ahead to the next anchor with extrapolated corrections.
The predictions evaluated there give the correction at that anchor. The walk itself then makes the
same calls with corrections interpolated between the two anchors, which costs no evaluation. This is
the idea of a corrector, as in UniPC (Zhao et al. 2023, arXiv 2302.04867).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from attrs import frozen
from torch import Tensor

from ..sega import Key, Trajectory
from .estimates import Estimator, SignalAndNoise, extrapolated, interpolated
from .exact import plan_exact, run_exact
from .job import Denoised, Job
from .recording import Recording

DAMPING = 0.5
"""The share of the corrections' slope that is extrapolated; see benchmarks/NOTES.md."""

PREVIEW_DAMPING = 0.0
"""A preview holds the last correction: its anchors are too far apart for a slope."""

PREVIEW_ANCHORS = (0.075, 0.2, 0.4, 0.75)
"""A preview's anchors, as shares of the changed calls; the best of those measured."""

CROWDING = 1.8
"""The exponent that crowds fixed anchors towards the first changed call; 1 spaces them equally.

Changes vary fastest there, and the calls there decide the image; see benchmarks/NOTES.md.
"""

PREVIEW_ERROR = 2.0
"""The median ratio of a preview's error to the estimate from its corrections.

A preview's anchors are too far apart to measure all of the error. The ratio was measured with
benchmarks/fidelity.py; with closer anchors it is 1.
"""

LONGEST_SPAN = 4
"""The largest distance, in calls, of anchors that a tolerance places."""

LEAD = 3
"""The number of first changed calls that are all evaluated under a tolerance.

An error made there is small at first and grows later; measuring it locally does not show this.
"""


class Anchors(Protocol):
    """The placement of the anchors after the first changed call.

    Attributes:
        adaptive: anchors depend on errors measured during the render.
    """

    adaptive: bool

    def possible(self) -> Sequence[int]:
        """Return all calls that may be anchors, in order."""

    def next_anchor(self) -> int:
        """Return the call of the next anchor; the number of calls if there is none."""

    def reached(self, anchor: int, length: int, corrected: Tensor | None) -> None:
        """Note that an anchor was evaluated.

        Args:
            anchor: its call.
            length: its distance from the anchor before, in calls.
            corrected: the size of the correction of each image's latents there, ``(images,)``;
                None: no call since the anchor before was estimated.
        """


class FixedAnchors:
    """Anchors at calls that are known before the render."""

    adaptive = False

    def __init__(self, calls: int, anchors: Sequence[int]) -> None:
        self._calls = calls
        self._anchors = anchors
        self._previous = -1

    def possible(self) -> Sequence[int]:
        """See `Anchors.possible`."""
        return self._anchors

    def next_anchor(self) -> int:
        """See `Anchors.next_anchor`."""
        return min((one for one in self._anchors if one > self._previous), default=self._calls)

    def reached(self, anchor: int, length: int, corrected: Tensor | None) -> None:
        """See `Anchors.reached`."""
        self._previous = anchor


class AdaptiveAnchors:
    """Anchors placed according to the measured error: the larger it is, the closer they are.

    Args:
        tolerance: the error allowed for the whole render, root mean square of latents.
        first: the first changed call.
        calls: model calls of the render.
    """

    adaptive = True

    def __init__(self, tolerance: float, first: int, calls: int) -> None:
        self._first = first
        self._calls = calls
        # Each changed call may have an equal share of the tolerance.
        self._share = tolerance / max(calls - first, 1)
        self._previous = first
        self._span = 1.0

    def possible(self) -> Sequence[int]:
        """See `Anchors.possible`."""
        return range(self._first + 1, self._calls - 1)

    def next_anchor(self) -> int:
        """See `Anchors.next_anchor`."""
        last = self._calls - 2
        if self._previous < last:
            return min(self._previous + int(self._span), last)
        return self._calls

    def reached(self, anchor: int, length: int, corrected: Tensor | None) -> None:
        """See `Anchors.reached`."""
        self._previous = anchor
        if corrected is None:
            self._span = 1.0 if anchor < self._first + LEAD else 2.0
            return
        # Read on the host, because it decides what is evaluated next. A span's error grows with
        # its length squared.
        error = float(corrected.max())
        wished = length * length * self._share / max(error, 1e-12)
        self._span = min(max(wished, 1.0), 2.0 * length, LONGEST_SPAN)


PlaceAnchors = Callable[[int, int], Anchors]
"""Given the first changed call and the number of calls, return the anchors after it."""


@frozen
class AnchoredStrategy:
    """The strategy that evaluates all conditions at anchors and estimates them between.

    Attributes:
        place: places the anchors.
        signal_and_noise: the sampler's.
        damping: see `extrapolated`.
        error_factor: the ratio of the error to the estimate from the corrections.
    """

    place: PlaceAnchors
    signal_and_noise: SignalAndNoise
    damping: float = DAMPING
    error_factor: float = 1.0

    def plan(self, target: Trajectory, recording: Recording) -> Iterator[Key]:
        """See `Strategy.plan`."""
        first = target.last_shared_call(recording.trajectory)
        yield from plan_exact(target, recording.guider, min(first + 1, target.calls))
        anchors = self.place(first, target.calls)
        evaluated = [first]
        for call in sorted({*anchors.possible(), *_unrecorded(target, recording, first)}):
            exact = evaluated == list(range(first, call)) and not anchors.adaptive
            latents = self._name(target, recording, call, evaluated, exact=exact)
            for condition in recording.guider.needed(target.recipe.steps[call]):
                yield Key(latents, condition)
            evaluated.append(call)

    def run(self, job: Job, recording: Recording) -> Denoised:
        """See `Strategy.run`."""
        walk, target = job.walk, job.walk.trajectory
        # Up to the first call that the edit changes, the latents are the recorded ones.
        shared = target.last_shared_call(recording.trajectory)
        predictions = run_exact(job, min(shared + 1, walk.calls))
        first = walk.call - 1
        estimator = Estimator(recording, self.signal_and_noise)
        history = [estimator.correction(first, torch.zeros_like(walk.latents), predictions)]
        unrecorded = _unrecorded(target, recording, first)
        anchors = self.place(first, walk.calls)
        evaluated, exact = [first], True
        corrected: list[Tensor] = []
        while walk.call < walk.calls:
            forced = (call for call in unrecorded if call >= walk.call)
            anchor = min([anchors.next_anchor(), *forced])
            exact = exact and anchor == walk.call
            if anchor == walk.calls:
                while walk.call < anchor:
                    changes = extrapolated(history, walk.call, self.damping)
                    job.advance(estimator.predictions(walk, changes), exact=False)
                break
            ahead = walk.fork() if anchor > walk.call else walk
            while ahead.call < anchor:
                changes = extrapolated(history, ahead.call, self.damping)
                ahead.advance(estimator.predictions(ahead, changes))
            latents = self._name(target, recording, anchor, evaluated, exact=exact)
            predictions = job.evaluate(ahead, latents, ahead.needed)
            correction = estimator.correction(anchor, estimator.moved(ahead), predictions)
            while walk.call < anchor:
                changes = interpolated(history[-1], correction, walk.call)
                job.advance(estimator.predictions(walk, changes), exact=False)
            length = anchor - evaluated[-1]
            if ahead is walk:
                anchors.reached(anchor, length, None)
            else:
                off = walk.scaled(ahead.latents) - walk.scaled(walk.latents)
                corrected.append(root_mean_square(off) / estimator.signal(anchor))
                anchors.reached(anchor, length, corrected[-1])
                predictions = estimator.predictions(walk, correction.changes)
            evaluated.append(anchor)
            history.append(correction)
            job.advance(predictions, exact=exact)
        if not corrected:
            return Denoised(walk.latents, exact)
        error = _error_of(corrected)
        final = shrunk(walk.latents, recording.latents(walk.calls), error)
        return Denoised(final, exact, self.error_factor * error)

    def _name(
        self,
        target: Trajectory,
        recording: Recording,
        call: int,
        evaluated: Sequence[int],
        *,
        exact: bool,
    ) -> str:
        """Return the name of the latents at an anchor."""
        name = target.names[call]
        return name if exact else recording.estimated_from(name, (self.damping, *evaluated))


def anchored_every(every: int, signal_and_noise: SignalAndNoise) -> AnchoredStrategy:
    """Return the strategy with an anchor every ``every`` changed calls."""
    return AnchoredStrategy(
        lambda first, calls: FixedAnchors(calls, every_anchors(every, first, calls)),
        signal_and_noise,
    )


def anchored_within(tolerance: float, signal_and_noise: SignalAndNoise) -> AnchoredStrategy:
    """Return the strategy that places anchors by the error measured during the render."""
    return AnchoredStrategy(
        lambda first, calls: AdaptiveAnchors(tolerance, first, calls), signal_and_noise
    )


def preview(signal_and_noise: SignalAndNoise) -> AnchoredStrategy:
    """Return the strategy of previews."""
    return AnchoredStrategy(
        lambda first, calls: FixedAnchors(calls, preview_anchors(first, calls)),
        signal_and_noise,
        PREVIEW_DAMPING,
        PREVIEW_ERROR,
    )


def every_anchors(every: int, first: int, calls: int) -> tuple[int, ...]:
    """Return the anchors after the ``first`` changed call, on average ``every`` calls apart.

    They are closer at first (`CROWDING`). The last is the last call but one, because errors in the
    last calls are never corrected. There is one more than the distance asks for.
    """
    span = calls - 2 - first
    if span < 1:
        return ()
    count = min(math.ceil(span / every) + 1, span)
    offsets = (round(span * (number / count) ** CROWDING) for number in range(1, count + 1))
    return tuple(first + max(number, one) for number, one in enumerate(offsets, start=1))


def preview_anchors(first: int, calls: int) -> tuple[int, ...]:
    """Return a preview's anchors after the ``first`` changed call, up to four."""
    offsets = [max(1, round(share * (calls - first))) for share in PREVIEW_ANCHORS]
    return tuple(sorted({first + one for one in offsets if first + one < calls}))


def shrunk(latents: Tensor, before: Tensor, error: Tensor) -> Tensor:
    """Return latents whose change by the edit is trusted as far as it exceeds its error.

    The change is multiplied by change² / (change² + error²). It matters where an edit changes less
    than the estimates err: there the image before the edit would be nearer to the exact one.

    Args:
        latents: estimated.
        before: the exact ones before the edit.
        error: the estimated error of each image's latents, ``(images,)``.
    """
    change = latents - before
    size, off = root_mean_square(change).square(), error.square()
    trusted = size / (size + off).clamp(min=torch.finfo(torch.float32).tiny)
    return before + trusted.to(change.dtype)[:, None, None, None] * change


def root_mean_square(latents: Tensor) -> Tensor:
    """Return each image's root mean square in float32, ``(images, ...) -> (images,)``."""
    return latents.float().square().flatten(start_dim=1).mean(dim=1).sqrt()


def _error_of(corrected: list[Tensor]) -> Tensor:
    """Estimate the final error from the corrections made during the render, each ``(images,)``.

    The last two corrections stand for the error that remains at the end, the largest for the
    error before. This geometric mean ranked renders best (benchmarks/NOTES.md).
    """
    late = torch.stack(corrected[-2:]).mean(dim=0)
    largest = torch.stack(corrected).amax(dim=0)
    return (late * late * largest).pow(1 / 3)


def _unrecorded(target: Trajectory, recording: Recording, first: int) -> list[int]:
    """Return the calls after ``first`` where a condition begins that was never recorded."""
    needed = [set(recording.guider.needed(step)) for step in target.recipe.steps]
    return [
        call
        for call in range(first + 1, len(needed))
        if needed[call] - needed[call - 1] - recording.conditions_at(call)
    ]
