"""Predictions near a recorded trajectory, estimated instead of evaluated.

After an edit the latents move away from those of the recorded render, and the predictions with
them. At anchors the change is evaluated. It varies slowly from call to call, much more slowly than
the predictions themselves, so between anchors a prediction is what was recorded at the same call
plus the change seen at the anchors.

What changes slowest is not the predicted noise but the velocity v = signal · ε - noise · x0
(Salimans and Ho 2022, arXiv 2202.00512), so the base branch's change is held as one of v. The
other branches are held relative to the base branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen
from torch import Tensor

from ..models import signal_and_noise
from ..sega.guider import UNCOND, Branches, Predictions
from ..sega.recipe import Recipe
from ..sega.trajectory import LATENTS, Key
from .store import TrajectoryStore
from .walk import Walk


@frozen(eq=False)
class Recording:
    """A recorded render: latents and predictions of every call.

    Attributes:
        keys: of its latents, see `trajectory.latent_keys`.
        tensors: what `loaded` has taken from the store.
    """

    recipe: Recipe
    keys: tuple[str, ...]
    branches: Branches
    store: TrajectoryStore
    tensors: Mapping[Key, Tensor] = field(factory=dict)

    def loaded(self) -> Recording | None:
        """With all its tensors at hand, whatever gives way later; None if something has already."""
        if not self.complete:
            return None
        found = {key: tensor for key in self._all() if (tensor := self.store.get(key)) is not None}
        return evolve(self, tensors=found)

    @property
    def complete(self) -> bool:
        """Whether nothing of it has given way to other renders."""
        return all(key in self.store for key in self._all())

    def _all(self) -> list[Key]:
        calls = range(len(self.recipe.steps))
        latents = [Key(name, LATENTS) for name in self.keys]
        predictions = [key for call in calls for key in self._prediction_keys(call).values()]
        return [*latents, *predictions]

    def branches_at(self, call: int) -> frozenset[str]:
        """What was predicted at a call."""
        return frozenset(self._prediction_keys(call))

    def latents(self, call: int) -> Tensor:
        """The latents before a call, or after the last."""
        return self.tensors[Key(self.keys[call], LATENTS)]

    def predictions(self, call: int) -> dict[str, Tensor]:
        """What was predicted there, by branch."""
        return {name: self.tensors[key] for name, key in self._prediction_keys(call).items()}

    def _prediction_keys(self, call: int) -> dict[str, Key]:
        needed = self.branches.needed(self.recipe.steps[call])
        return {branch: Key(self.keys[call], branch) for branch in needed}


@frozen(eq=False)
class Correction:
    """How far the predictions at one call are from the recorded ones.

    Attributes:
        call: the anchor's number.
        changes: by branch: the base branch's change of v, any other's of its difference to the
            base branch.
    """

    call: int
    changes: Mapping[str, Tensor]


class Estimator:
    """Estimates a walk's predictions from a recording and the corrections seen at anchors."""

    def __init__(self, recording: Recording, walk: Walk) -> None:
        self._recording = recording
        self._signal_and_noise = signal_and_noise(walk.scheduler)
        # Present at every call, on both trajectories.
        self._base = UNCOND if walk.branches.guidance_scale > 1 else walk.branches.text

    def signal(self, call: int) -> float:
        """The share of the picture in the model's input at a call, 0 to 1."""
        return self._signal_and_noise[call][0]

    def moved(self, walk: Walk) -> Tensor:
        """How far the walk's latents are from the recorded ones, as the model takes them."""
        return walk.scaled(walk.latents) - walk.scaled(self._recording.latents(walk.call))

    def correction(self, call: int, moved: Tensor, predictions: Predictions) -> Correction:
        """What predictions taken at a call, at latents ``moved`` so far, say of the recorded."""
        recorded = self._recording.predictions(call)
        base, recorded_base = predictions[self._base], recorded[self._base]
        signal, noise = self._signal_and_noise[call]
        changes = {
            branch: (prediction - base) - (_of(recorded, branch) - recorded_base)
            for branch, prediction in predictions.items()
        }
        changes[self._base] = (base - recorded_base - noise * moved) / signal
        return Correction(call, changes)

    def predictions(self, walk: Walk, changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Estimates at the walk's latents of every branch that its next call needs."""
        recorded = self._recording.predictions(walk.call)
        recorded_base = recorded[self._base]
        signal, noise = self._signal_and_noise[walk.call]
        base = recorded_base + noise * self.moved(walk) + signal * changes[self._base]
        estimates = {self._base: base}
        for branch in walk.branches.needed(walk.step):
            if branch != self._base:
                estimates[branch] = base + (_of(recorded, branch) - recorded_base)
                if branch in changes:
                    estimates[branch] = estimates[branch] + changes[branch]
        return estimates


def _of(recorded: Mapping[str, Tensor], branch: str) -> Tensor:
    """A branch's recorded prediction, or the unconditional one where it was not predicted."""
    return recorded[branch] if branch in recorded else next(iter(recorded.values()))


def extrapolated(history: Sequence[Correction], call: int, damping: float) -> dict[str, Tensor]:
    """The changes expected after the last anchor.

    Args:
        damping: share of the slope between the last two anchors that is followed: 0 holds the
            last correction, 1 extrapolates linearly.
    """
    last = history[-1]
    changes = dict(last.changes)
    if damping and len(history) > 1:
        before = history[-2]
        slope = damping * (call - last.call) / (last.call - before.call)
        for branch in changes.keys() & before.changes.keys():
            changes[branch] = changes[branch] + slope * (changes[branch] - before.changes[branch])
    return changes


def interpolated(before: Correction, after: Correction, call: int) -> dict[str, Tensor]:
    """The changes between two anchors, linear in the call's number."""
    share = (call - before.call) / (after.call - before.call)
    changes = {**after.changes, **before.changes}
    for branch in before.changes.keys() & after.changes.keys():
        one, other = before.changes[branch], after.changes[branch]
        changes[branch] = one + share * (other - one)
    return changes
