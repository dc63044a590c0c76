"""Predictions near a recorded trajectory, estimated instead of evaluated.

After an edit, latents and predictions differ from those of the recorded render. At anchors the
difference is evaluated. It varies much more slowly from call to call than the predictions
themselves, so between anchors a prediction is estimated as the one recorded at the same call plus
the difference at the anchors.

The quantity that varies slowest is not the predicted noise. While the model's input is mostly noise
it is the velocity v = signal · ε - noise · x0 (Salimans and Ho 2022, arXiv 2202.00512), towards the
end the predicted image x0. So the base prediction's change is stored as a change of both, and an
estimate is the mean of what each of them gives, weighted by the image's share in the input. The
other predictions are stored relative to the base prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen
from torch import Tensor

from ..sega import Predictions
from .recording import Recording
from .walk import Walk

SignalAndNoise = Callable[[int], tuple[float, float]]
"""`Sampler.signal_and_noise`."""

IMAGE = "image"
"""The base prediction's change of x0 among a correction's changes; no condition has this name."""


@frozen(eq=False)
class Correction:
    """The difference between the predictions at one call and the recorded ones.

    Attributes:
        call: the anchor's index.
        changes: by condition: the base prediction's change of v, any other's of its difference
            from the base prediction; and `IMAGE`.
    """

    call: int
    changes: Mapping[str, Tensor]


class Estimator:
    """An estimator of a walk's predictions, from a recording and the corrections at anchors."""

    def __init__(self, recording: Recording, signal_and_noise: SignalAndNoise) -> None:
        self._recording = recording
        self._signal_and_noise = signal_and_noise
        self._base = recording.guider.base
        self._origin = recording.guider.origin

    def signal(self, call: int) -> float:
        """Return the share of the image in the model's input at a call, 0 to 1."""
        return self._signal_and_noise(call)[0]

    def moved(self, walk: Walk) -> Tensor:
        """Return the walk's latents minus the recorded ones, both scaled as the model's input."""
        return walk.scaled(walk.latents) - walk.scaled(self._recording.latents(walk.call))

    def correction(self, call: int, moved: Tensor, predictions: Predictions) -> Correction:
        """Return the difference between evaluated predictions and the recorded ones.

        Args:
            call: the call where they were evaluated.
            moved: the latents there minus the recorded ones, see `moved`.
            predictions: by condition.
        """
        recorded = self._recording.predictions(call)
        base, recorded_base = predictions[self._base], recorded[self._base]
        signal, noise = self._signal_and_noise(call)
        changes = {
            condition: (prediction - base) - (self._recorded(recorded, condition) - recorded_base)
            for condition, prediction in predictions.items()
        }
        change = base - recorded_base
        changes[self._base] = (change - noise * moved) / signal
        changes[IMAGE] = (moved - noise * change) / signal
        return Correction(call, changes)

    def predictions(self, walk: Walk, changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Estimate every prediction that the walk's next call needs, at its latents."""
        recorded = self._recording.predictions(walk.call)
        recorded_base = recorded[self._base]
        base = recorded_base + self._change(walk, changes)
        estimates = {self._base: base}
        for condition in walk.needed:
            if condition != self._base:
                difference = self._recorded(recorded, condition) - recorded_base
                estimates[condition] = base + difference
                if condition in changes:
                    estimates[condition] = estimates[condition] + changes[condition]
        return estimates

    def _change(self, walk: Walk, changes: Mapping[str, Tensor]) -> Tensor:
        """Estimate the change of the base prediction at the walk's latents."""
        signal, noise = self._signal_and_noise(walk.call)
        moved = self.moved(walk)
        by_velocity = noise * moved + signal * changes[self._base]
        if not noise:
            # The schedule is unknown: the prediction's own change is held.
            return by_velocity
        by_image = (moved - signal * changes[IMAGE]) / noise
        return by_velocity + signal * (by_image - by_velocity)

    def _recorded(self, recorded: Predictions, condition: str) -> Tensor:
        """Return a recorded prediction; where there is none, what concepts are measured against."""
        found = recorded.get(condition)
        if found is None:
            found = recorded.get(self._origin)
        return recorded[self._base] if found is None else found


def extrapolated(history: Sequence[Correction], call: int, damping: float) -> dict[str, Tensor]:
    """Return the changes expected after the last anchor.

    Args:
        damping: the share of the slope between the last two anchors that is followed: 0 holds the
            last correction, 1 extrapolates linearly.
    """
    last = history[-1]
    changes = dict(last.changes)
    if damping and len(history) > 1:
        before = history[-2]
        slope = damping * (call - last.call) / (last.call - before.call)
        for condition in changes.keys() & before.changes.keys():
            change = changes[condition]
            changes[condition] = change + slope * (change - before.changes[condition])
    return changes


def interpolated(before: Correction, after: Correction, call: int) -> dict[str, Tensor]:
    """Return the changes between two anchors, linear in the call's index."""
    share = (call - before.call) / (after.call - before.call)
    changes = {**after.changes, **before.changes}
    for condition in before.changes.keys() & after.changes.keys():
        one, other = before.changes[condition], after.changes[condition]
        changes[condition] = one + share * (other - one)
    return changes
