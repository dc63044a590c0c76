"""One render in progress, and the protocol of render strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import frozen
from torch import Tensor

from ..sega import Key, Predictions, Trajectory
from .predictions import PredictionSource, Wanted
from .recording import Recording
from .walk import Walk

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called after each model call with its index, timestep and new latents."""


@frozen(eq=False)
class Denoised:
    """Final latents, and how they were obtained.

    Attributes:
        exact: no prediction was estimated or replayed.
        error: the estimated error of the latents, root mean square, ``(images,)``; None where
            nothing was estimated, or no estimate met an anchor.
    """

    latents: Tensor
    exact: bool
    error: Tensor | None = None


@frozen(eq=False)
class Job:
    """One render in progress.

    Attributes:
        walk: its latents and its next call.
        source: its predictions.
        on_step: see `OnStep`.
    """

    walk: Walk
    source: PredictionSource
    on_step: OnStep

    def advance(self, predictions: Predictions, *, exact: bool, feed: bool = True) -> None:
        """Make the walk's next call, record the new latents if ``exact``, and call `on_step`."""
        call, timestep = self.walk.call, self.walk.timestep
        self.walk.advance(predictions, feed=feed)
        if exact:
            self.record()
        self.on_step(call, timestep, self.walk.latents)

    def record(self) -> None:
        """Record the walk's latents, which are exact."""
        key = self.walk.trajectory.latents(self.walk.call)
        self.source.recorder.put(key, self.walk.latents)

    def evaluate(self, walk: Walk, latents: str, conditions: Sequence[str]) -> dict[str, Tensor]:
        """Return predictions at a walk's latents, whose name is ``latents``."""
        return by_condition(self.source.evaluate(wanted(walk, latents, conditions)))


class Strategy(Protocol):
    """A render mode at work: it decides what is evaluated, replayed and estimated."""

    def plan(self, target: Trajectory, recording: Recording) -> Iterator[Key]:
        """Yield the key of every prediction that `run` asks for; with a tolerance, may ask for."""

    def run(self, job: Job, recording: Recording) -> Denoised:
        """Render the job's target from its first call to its last."""


def wanted(walk: Walk, latents: str, conditions: Sequence[str]) -> list[Wanted]:
    """Return the predictions needed at a walk's latents, whose name is ``latents``."""
    scaled, timestep = walk.scaled(walk.latents), walk.timestep
    return [Wanted(Key(latents, one), scaled, timestep) for one in conditions]


def at_latents(predictions: Mapping[Key, Tensor], latents: str) -> dict[str, Tensor]:
    """Return the predictions at latents of this name, by condition."""
    return {key.condition: one for key, one in predictions.items() if key.latents == latents}


def by_condition(predictions: dict[Key, Tensor]) -> dict[str, Tensor]:
    """Return the predictions of one call by condition."""
    return {key.condition: prediction for key, prediction in predictions.items()}
