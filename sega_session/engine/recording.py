"""A recorded render, which the modes other than exact start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve, field, frozen
from torch import Tensor

from ..sega import Guider, Key, Trajectory, estimated_name
from .store import TrajectoryStore


@frozen(eq=False)
class Recording:
    """A recorded render: latents and predictions of every call.

    Attributes:
        trajectory: the recipes and names of the render.
        guider: tells the conditions that each call needed.
        tensors: all of its tensors, after `load`.
    """

    trajectory: Trajectory
    guider: Guider
    tensors: Mapping[Key, Tensor] = field(factory=dict)

    def is_complete(self, store: TrajectoryStore) -> bool:
        """Return whether all of its tensors are in the store."""
        return all(key in store for key in self.keys())

    def load(self, store: TrajectoryStore) -> Recording:
        """Return a complete recording with all its tensors, unaffected by later evictions."""
        pairs = ((key, store.peek(key)) for key in self.keys())
        return evolve(self, tensors={key: tensor for key, tensor in pairs if tensor is not None})

    def conditions_at(self, call: int) -> frozenset[str]:
        """Return the conditions that were evaluated at a call."""
        return frozenset(self._prediction_keys(call))

    def latents(self, call: int) -> Tensor:
        """Return the latents before a call, or after the last."""
        return self.tensors[self.trajectory.latents(call)]

    def predictions(self, call: int) -> dict[str, Tensor]:
        """Return the predictions of a call, by condition."""
        return {name: self.tensors[key] for name, key in self._prediction_keys(call).items()}

    def estimated_from(self, exact: str, how: object) -> str:
        """Return the name of latents that were estimated from this recording."""
        return estimated_name(exact, self.trajectory.names[-1], how)

    def keys(self) -> Iterator[Key]:
        """Yield the keys of all its tensors: the final latents, then call by call."""
        yield self.trajectory.final
        for call in range(self.trajectory.calls):
            yield self.trajectory.latents(call)
            yield from self._prediction_keys(call).values()

    def _prediction_keys(self, call: int) -> dict[str, Key]:
        latents = self.trajectory.names[call]
        needed = self.guider.needed(self.trajectory.recipe.steps[call])
        return {condition: Key(latents, condition) for condition in needed}
