"""The names of the tensors of a render: latents in a chain of digests, predictions at them.

A render's latents are named by a chain of digests, one link per model call: the name of the
latents after a call is a digest of the name before it and of the call's recipe. No tensor is
hashed. Two edit states with the same recipe up to some call therefore share the names of all
latents up to there, and every prediction evaluated at these latents, whatever the order of edits.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from attrs import frozen

from ..state import EditState
from .recipe import Recipe, make_recipe

LATENTS = "latents"
"""The `Key.condition` of latents themselves."""


@frozen
class Key:
    """The name of a recorded tensor: a prediction at certain latents, or the latents.

    Attributes:
        latents: a name in `Trajectory.names`, or one of `estimated_name`.
        condition: what the prediction is conditioned on, or `LATENTS` for the latents themselves.
    """

    latents: str
    condition: str


@frozen(eq=False)
class Trajectory:
    """The recipe of each model call of an edit state, and the names of its latents.

    Attributes:
        recipe: of each call.
        names: of the latents before each call and after the last, ``calls + 1`` of them. They are
            comparable within one session only: scene, model and scheduler are not in them.
    """

    recipe: Recipe
    names: tuple[str, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(state: EditState, calls: int, first: int = 0) -> Trajectory:
        """Return the trajectory of ``state``. Args: as for `make_recipe`."""
        recipe = make_recipe(state, calls, first)
        return Trajectory(recipe, _names(recipe))

    @property
    def calls(self) -> int:
        """The number of model calls."""
        return len(self.recipe.steps)

    @property
    def is_confined(self) -> bool:
        """True if some latents are blended with those of the unedited render."""
        return any(step.region is not None for step in self.recipe.steps)

    @property
    def final(self) -> Key:
        """The key of the final latents."""
        return self.latents(self.calls)

    def latents(self, call: int) -> Key:
        """Return the key of the latents before a call; of the final ones for `calls`."""
        return Key(self.names[call], LATENTS)

    def all_latents(self) -> tuple[Key, ...]:
        """Return the keys of the latents before each call and after the last."""
        return tuple(self.latents(call) for call in range(self.calls + 1))

    def last_shared_call(self, other: Trajectory) -> int:
        """Return the last model call that both trajectories make at the same latents."""
        pairs = enumerate(zip(self.names, other.names, strict=True))
        return next((call - 1 for call, (a, b) in pairs if a != b), self.calls)


def estimated_name(exact: str, reference: str, how: object) -> str:
    """Return the name of estimated latents; it is never one of `Trajectory.names`.

    Args:
        exact: the name that the latents would have if every prediction had been evaluated.
        reference: the last name of the recorded trajectory that the estimates started from.
        how: a value that tells these estimates from others.
    """
    return "estimated " + _link(exact, reference, how)


def _names(recipe: Recipe) -> tuple[str, ...]:
    latents, momentum = "", ""
    names = [latents]
    for step in recipe.steps:
        before = latents
        latents = _link(
            before, step.applied, momentum if step.momentum_applied else None, step.region
        )
        if recipe.momentum_scale:
            # s_m · ν is part of what feeds ν (Eqs. 7 and 8), so both numbers name it.
            momentum = _link(
                momentum, before, step.feeding, recipe.momentum_scale, recipe.momentum_beta
            )
        names.append(latents)
    return tuple(names)


def _link(*parts: object) -> str:
    """Return a digest of frozen values; their repr has every field, floats to the last bit."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
