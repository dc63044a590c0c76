"""The replay mode: prompt and empty prompt evaluated, recorded concept guidance applied again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..sega import UNCOND, Key, Trajectory
from .exact import plan_exact, run_exact
from .job import Denoised, Job
from .recording import Recording


class ReplayStrategy:
    """The strategy that re-applies each concept's recorded direction and evaluates missing ones."""

    def plan(self, target: Trajectory, recording: Recording) -> Iterator[Key]:
        """See `Strategy.plan`."""
        first = target.last_shared_call(recording.trajectory)
        yield from plan_exact(target, recording.guider, min(first + 1, target.calls))
        exact = True
        for call in range(first + 1, target.calls):
            needed = recording.guider.needed(target.recipe.steps[call])
            replayed = _replayed(recording, call, needed)
            latents = _name(target, recording, call, exact=exact)
            yield from (Key(latents, one) for one in needed if one not in replayed)
            exact = exact and not replayed

    def run(self, job: Job, recording: Recording) -> Denoised:
        """See `Strategy.run`."""
        walk, target = job.walk, job.walk.trajectory
        # Up to the first call that the edit changes, the latents are the recorded ones.
        run_exact(job, min(target.last_shared_call(recording.trajectory) + 1, walk.calls))
        exact = True
        while walk.call < walk.calls:
            recorded = recording.predictions(walk.call)
            replayed = _replayed(recording, walk.call, walk.needed)
            latents = _name(target, recording, walk.call, exact=exact)
            evaluated = [one for one in walk.needed if one not in replayed]
            predictions = job.evaluate(walk, latents, evaluated)
            origin = recording.guider.origin
            if origin not in recorded or origin not in predictions:
                # All concepts have opposites, so it is not needed.
                origin = recording.guider.text
            for condition in replayed:
                direction = recorded[condition] - recorded[origin]
                predictions[condition] = predictions[origin] + direction
            exact = exact and not replayed
            job.advance(predictions, exact=exact)
        return Denoised(walk.latents, exact)


def _replayed(recording: Recording, call: int, needed: Sequence[str]) -> list[str]:
    """Return the concepts' conditions whose direction is recorded at a call."""
    known = recording.conditions_at(call) - {UNCOND, recording.guider.text}
    return [condition for condition in needed if condition in known]


def _name(target: Trajectory, recording: Recording, call: int, *, exact: bool) -> str:
    name = target.names[call]
    return name if exact else recording.estimated_from(name, "replay")
