"""The denoising loops: exact, along a recording with anchors, and the replay of a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from attrs import frozen
from torch import Tensor

from ..sega.guider import UNCOND, Branches, Predictions
from ..sega.recipe import Recipe
from ..sega.trajectory import LATENTS, Key, estimated_key, last_shared_call
from ..state import Anchored, Exact, Mode, Preview, Replay
from ..state.modes import anchors
from .estimates import Estimator, Recording, extrapolated, interpolated
from .predictions import PredictionSource, Wanted
from .walk import Walk

OnStep = Callable[[int, Tensor, Tensor], None]

DAMPING = 0.5
"""How much of the corrections' slope is followed behind the last anchor; see benchmarks/NOTES.md.

A preview's anchors are too far apart for a slope to mean anything; it holds the last correction.
"""

UNSEEN = 2.0
"""By this factor a preview's error is larger than its corrections tell, in the median.

Its anchors are too far apart to see more; measured by benchmarks/fidelity.py. With closer anchors
the factor is 1.
"""

LONGEST_SPAN = 4
"""Anchors that a tolerance places are at most so many calls apart."""

LEAD = 3
"""So many of the first changed calls are evaluated one by one under a tolerance.

What goes wrong there is small at first and grows; an error measured locally does not show it.
"""


@frozen(eq=False)
class Denoised:
    """Final latents, and how they were come by.

    Attributes:
        exact: no prediction was estimated or replayed.
        error: estimated error of the latents, root mean square, ``(batch,)``; None where nothing
            was estimated, or no estimate met an anchor.
    """

    latents: Tensor
    exact: bool
    error: Tensor | None = None


@frozen(eq=False)
class Job:
    """One render: where it is, what its latents are called, where predictions come from.

    Attributes:
        walk: at the first call.
        keys: see `trajectory.latent_keys`.
        on_step: called after each model call with its number, timestep and new latents.
    """

    walk: Walk
    keys: tuple[str, ...]
    source: PredictionSource
    on_step: OnStep

    def advance(self, predictions: Predictions, *, exact: bool, feed: bool = True) -> None:
        """Make the walk's next call, record where it led if that is ``exact``, and tell."""
        call, timestep = self.walk.call, self.walk.timestep
        self.walk.advance(predictions, feed=feed)
        if exact:
            self.record()
        self.on_step(call, timestep, self.walk.latents)

    def record(self) -> None:
        """Record the walk's latents, which are exact."""
        self.source.store.put(Key(self.keys[self.walk.call], LATENTS), self.walk.latents)

    def take(self, walk: Walk, latents: str, branches: Sequence[str]) -> dict[str, Tensor]:
        """Predictions at a walk's latents, which are called ``latents``."""
        return by_branch(self.source.take(wanted(walk, latents, branches)))


def wanted(walk: Walk, latents: str, branches: Sequence[str]) -> list[Wanted]:
    """What to ask for at a walk's latents."""
    scaled = walk.scaled(walk.latents)
    return [Wanted(Key(latents, branch), scaled, walk.timestep) for branch in branches]


def by_branch(predictions: dict[Key, Tensor]) -> dict[str, Tensor]:
    """The predictions of one call."""
    return {key.branch: prediction for key, prediction in predictions.items()}


def denoise(job: Job, mode: Mode, recording: Recording | None) -> Denoised:
    """Run SEGA from the initial latents to the final ones.

    Args:
        recording: what the modes other than exact start from.

    Raises:
        OutOfMemoryError: there is no memory to evaluate one branch of one image.
    """
    job.record()
    if recording is None or isinstance(mode, Exact):
        exactly(job, job.walk.calls)
        return Denoised(job.walk.latents, exact=True)
    # Up to the first call that the edit changes the latents are the recorded ones.
    predictions = exactly(job, last_shared_call(job.keys, recording.keys) + 1)
    if isinstance(mode, Replay):
        return replayed(job, recording)
    return estimated(job, mode, recording, predictions)


def exactly(job: Job, until: int) -> dict[str, Tensor]:
    """Make the calls before ``until`` with predictions taken at the very latents.

    Predictions that only feed the momentum are not waited for: where all others are recorded,
    they are collected and taken in one batch over several calls.

    Returns:
        The last call's predictions.
    """
    walk, store = job.walk, job.source.store
    waiting: list[tuple[int, list[Wanted]]] = []

    def catch_up() -> dict[str, Tensor]:
        taken = job.source.take([one for _, group in waiting for one in group])
        predictions: dict[str, Tensor] = {}
        for call, group in waiting:
            predictions = by_branch({one.key: taken[one.key] for one in group})
            if call < walk.call and walk.recipe.momentum_scale:
                walk.feed(predictions, call)
        waiting.clear()
        return predictions

    predictions: dict[str, Tensor] = {}
    while walk.call < until:
        latents, step = job.keys[walk.call], walk.step
        here = wanted(walk, latents, walk.branches.needed(step))
        missing = {one.key.branch for one in here if one.key not in store}
        only_feeding = not step.momentum_applied and missing.isdisjoint(
            walk.branches.steering(step)
        )
        behind = bool(waiting)
        waiting.append((walk.call, here))
        if only_feeding and (missing or behind):
            job.advance(by_branch(job.source.recorded(here)), exact=True, feed=False)
        else:
            predictions = catch_up()
            job.advance(predictions, exact=True)
    return catch_up() if waiting else predictions


def replayed(job: Job, recording: Recording) -> Denoised:
    """Go on with uncond and text taken, and each concept's recorded direction re-applied.

    A concept that is not recorded at a call is evaluated there.
    """
    walk, exact = job.walk, True
    while walk.call < walk.calls:
        recorded = recording.predictions(walk.call)
        needed = walk.branches.needed(walk.step)
        replay = [b for b in needed if b in recorded and b not in (UNCOND, walk.branches.text)]
        latents = key_of(job.keys[walk.call], recording, None if exact else "replay")
        predictions = job.take(walk, latents, [b for b in needed if b not in replay])
        for branch in replay:
            predictions[branch] = predictions[UNCOND] + (recorded[branch] - recorded[UNCOND])
        exact = exact and not replay
        job.advance(predictions, exact=exact)
    return Denoised(walk.latents, exact)


def estimated(
    job: Job, mode: Anchored | Preview, recording: Recording, predictions: Predictions
) -> Denoised:
    """Go on with predictions taken at anchors and estimated between them.

    From each anchor a fork walks ahead to the next with extrapolated corrections. The predictions
    taken there say what the corrections on the way should have been; the walk itself then goes the
    same way with interpolated ones, which costs no evaluation. (The idea of a corrector, as in
    UniPC, Zhao et al. 2023, arXiv 2302.04867.)

    Args:
        predictions: those of the call before, taken at recorded latents.
    """
    walk = job.walk
    first = walk.call - 1
    estimator = Estimator(recording, walk)
    damping = damping_of(mode)
    history = [estimator.correction(first, torch.zeros_like(walk.latents), predictions)]
    forced = unrecorded(walk.recipe, walk.branches, recording, first)
    spans = Spans(mode, first, walk.calls)
    taken, exact = [first], True
    corrected: list[Tensor] = []
    while walk.call < walk.calls:
        anchor = min([spans.next_anchor, *(call for call in forced if call >= walk.call)])
        exact = exact and anchor == walk.call
        if anchor == walk.calls:
            while walk.call < anchor:
                changes = extrapolated(history, walk.call, damping)
                job.advance(estimator.predictions(walk, changes), exact=False)
            break
        ahead = walk.fork() if anchor > walk.call else walk
        while ahead.call < anchor:
            changes = extrapolated(history, ahead.call, damping)
            ahead.advance(estimator.predictions(ahead, changes))
        latents = key_of(job.keys[anchor], recording, None if exact else (damping, *taken))
        predictions = job.take(ahead, latents, walk.branches.needed(ahead.step))
        correction = estimator.correction(anchor, estimator.moved(ahead), predictions)
        while walk.call < anchor:
            changes = interpolated(history[-1], correction, walk.call)
            job.advance(estimator.predictions(walk, changes), exact=False)
        length = anchor - taken[-1]
        if ahead is walk:
            spans.reached(anchor, length, None)
        else:
            off = walk.scaled(ahead.latents) - walk.scaled(walk.latents)
            corrected.append(root_mean_square(off) / estimator.signal(anchor))
            spans.reached(anchor, length, corrected[-1])
            predictions = estimator.predictions(walk, correction.changes)
        taken.append(anchor)
        history.append(correction)
        job.advance(predictions, exact=exact)
    if not corrected:
        return Denoised(walk.latents, exact)
    factor = UNSEEN if isinstance(mode, Preview) else 1.0
    return Denoised(walk.latents, exact, factor * error_of(corrected))


def error_of(corrected: list[Tensor]) -> Tensor:
    """An estimate of the final error from what was corrected on the way, each ``(batch,)``.

    The last two stand for what is left at the end, the largest for how far the picture was led
    astray. This mean of theirs ranked renders best of what was tried (benchmarks/NOTES.md).
    """
    late = torch.stack(corrected[-2:]).mean(dim=0)
    largest = torch.stack(corrected).amax(dim=0)
    return (late * late * largest).pow(1 / 3)


class Spans:
    """Where the next anchor is: at fixed calls, or as near as the measured error asks for."""

    def __init__(self, mode: Anchored | Preview, first: int, calls: int) -> None:
        self._calls = calls
        self._changed = calls - first
        self._previous = first
        self._tolerance = mode.tolerance if isinstance(mode, Anchored) else None
        self._fixed = () if self._tolerance else anchors(mode, first, calls)
        self._lead = first + LEAD
        self._span = 1.0

    @property
    def next_anchor(self) -> int:
        """The number of its call; the number of calls if there is none."""
        last = self._calls - 2
        if self._tolerance and self._previous < last:
            return min(self._previous + int(self._span), last)
        return min((c for c in self._fixed if c > self._previous), default=self._calls)

    def reached(self, anchor: int, length: int, corrected: Tensor | None) -> None:
        """Learn by how much each image's way to an anchor was corrected; None: not estimated."""
        self._previous = anchor
        if not self._tolerance:
            return
        if corrected is None:
            self._span = 1.0 if anchor < self._lead else 2.0
            return
        # Read on the host, because it decides what is evaluated next. A span's error grows with
        # its length squared; each call may have an equal share of the tolerance.
        error = float(corrected.max())
        share = self._tolerance / self._changed
        wished = length * length * share / max(error, 1e-12)
        self._span = min(max(wished, 1.0), 2.0 * length, LONGEST_SPAN)


def root_mean_square(latents: Tensor) -> Tensor:
    """Of each image, in float32: ``(batch, ...) -> (batch,)``."""
    return latents.float().square().flatten(start_dim=1).mean(dim=1).sqrt()


def damping_of(mode: Anchored | Preview) -> float:
    """See `DAMPING`."""
    return 0.0 if isinstance(mode, Preview) else DAMPING


def unrecorded(recipe: Recipe, branches: Branches, recording: Recording, first: int) -> list[int]:
    """Calls after ``first`` at which a branch sets in of which nothing is recorded."""
    needed = [set(branches.needed(step)) for step in recipe.steps]
    return [
        call
        for call in range(first + 1, len(needed))
        if needed[call] - needed[call - 1] - recording.branches_at(call)
    ]


def key_of(exact: str, recording: Recording, how: object | None) -> str:
    """The name of latents: the exact one, or one that says how they were estimated."""
    return exact if how is None else estimated_key(exact, recording.keys[-1], how)
