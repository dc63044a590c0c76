"""The names of what a render evaluates: latents in a chain of digests, predictions at them.

A render's latents are named by a chain of digests, one link a model call: the latents after a
call are named by those before it and by what the call applied. No tensor is hashed. Two edit
states that behave alike up to some call therefore share the names of all latents up to there, and
with them every prediction evaluated at these latents, in whatever order the edits came.
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
    """The name of a recorded tensor: at which latents, and what was predicted there.

    Attributes:
        latents: a name in `Trajectory.names`, or one of `estimated_name`.
        condition: what the prediction is conditioned on, or `LATENTS` for the latents themselves.
    """

    latents: str
    condition: str


@frozen(eq=False)
class Trajectory:
    """What an edit state does at each model call, and the names of the latents in between.

    Attributes:
        recipe: what each call applies.
        names: of the latents before each call and after the last, ``calls + 1`` of them. They are
            comparable within one session: scene, model and scheduler are not in them.
    """

    recipe: Recipe
    names: tuple[str, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(state: EditState, calls: int) -> Trajectory:
        """Return the trajectory of ``state`` for a render of ``calls`` model calls."""
        recipe = make_recipe(state, calls)
        return Trajectory(recipe, _names(recipe))

    @property
    def calls(self) -> int:
        """The number of model calls."""
        return len(self.recipe.steps)

    @property
    def final(self) -> Key:
        """The key of the final latents."""
        return self.latents(self.calls)

    def latents(self, call: int) -> Key:
        """Return the key of the latents before a call; the number of calls: of the final ones."""
        return Key(self.names[call], LATENTS)

    def last_shared_call(self, other: Trajectory) -> int:
        """Return the last model call that both trajectories make at the same latents."""
        pairs = enumerate(zip(self.names, other.names, strict=True))
        return next((call - 1 for call, (a, b) in pairs if a != b), self.calls)


def estimated_name(exact: str, reference: str, how: object) -> str:
    """Return the name of latents that estimates led to; never one of `Trajectory.names`.

    Args:
        exact: the name of the latents had every prediction been evaluated.
        reference: the last name of the recorded trajectory that the estimates started from.
        how: what tells these estimates from others.
    """
    return "estimated " + _link(exact, reference, how)


def _names(recipe: Recipe) -> tuple[str, ...]:
    latents, momentum = "", ""
    names = [latents]
    for step in recipe.steps:
        before = latents
        latents = _link(before, step.applied, momentum if step.momentum_applied else None)
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
