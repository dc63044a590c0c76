"""The exact mode: every prediction evaluated at the current latents, SEGA as from scratch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ..sega import Guider, Key, Trajectory
from .job import Denoised, Job, by_condition, wanted
from .predictions import Wanted
from .recording import Recording


class ExactStrategy:
    """The strategy that evaluates every condition not recorded at the current latents."""

    def plan(self, target: Trajectory, recording: Recording) -> Iterator[Key]:
        """See `Strategy.plan`."""
        return plan_exact(target, recording.guider, target.calls)

    def run(self, job: Job, recording: Recording) -> Denoised:
        """See `Strategy.run`."""
        run_exact(job, job.walk.calls)
        return Denoised(job.walk.latents, exact=True)


def plan_exact(target: Trajectory, guider: Guider, until: int) -> Iterator[Key]:
    """Yield the key of every prediction that `run_exact` asks for."""
    for call in range(until):
        for condition in guider.needed(target.recipe.steps[call]):
            yield Key(target.names[call], condition)


def run_exact(job: Job, until: int) -> dict[str, Tensor]:
    """Make the calls before ``until`` with predictions evaluated at the current latents.

    Predictions that only feed the momentum can wait: while all others are recorded, they are
    collected over several calls and evaluated in one batch.

    Returns:
        The last call's predictions.
    """
    walk, recorder = job.walk, job.source.recorder
    waiting: list[tuple[int, list[Wanted]]] = []

    def catch_up() -> dict[str, Tensor]:
        evaluated = job.source.evaluate([one for _, group in waiting for one in group])
        predictions: dict[str, Tensor] = {}
        for call, group in waiting:
            predictions = by_condition({one.key: evaluated[one.key] for one in group})
            if call < walk.call and walk.trajectory.recipe.momentum_scale:
                walk.feed(predictions, call)
        waiting.clear()
        return predictions

    predictions: dict[str, Tensor] = {}
    while walk.call < until:
        here = wanted(walk, walk.trajectory.names[walk.call], walk.needed)
        missing = {one.key.condition for one in here if one.key not in recorder}
        only_feeding = not walk.step.momentum_applied and missing.isdisjoint(
            walk.guider.steering(walk.step)
        )
        behind = bool(waiting)
        waiting.append((walk.call, here))
        if only_feeding and (missing or behind):
            job.advance(by_condition(job.source.recorded(here)), exact=True, feed=False)
        else:
            predictions = catch_up()
            job.advance(predictions, exact=True)
    return catch_up() if waiting else predictions
