"""The names of what a render evaluates: latents in a chain of digests, predictions at them.

A render's latents are named by a chain of digests, one link a model call: the latents after a
call are named by those before it and by what the call applied. No tensor is hashed. Two edit
states that behave alike up to some call therefore share the names of all latents up to there, and
with them every prediction taken at these latents, in whatever order the edits came.
"""

from __future__ import annotations

import hashlib

from attrs import frozen

from .recipe import Recipe


@frozen
class Key:
    """Names a recorded tensor: which latents, and what was predicted at them.

    Attributes:
        latents: the link of the chain, see `latent_keys`.
        branch: the branch's conditioning key, or `LATENTS` for the latents themselves.
    """

    latents: str
    branch: str


LATENTS = "latents"


def latent_keys(recipe: Recipe) -> tuple[str, ...]:
    """The names of the latents before each model call and after the last, ``calls + 1`` of them.

    They are comparable within one session: its scene, model and scheduler are not in them.
    """
    latents, momentum = "", ""
    keys = [latents]
    for step in recipe.steps:
        before = latents
        latents = _link(before, step.applied, momentum if step.momentum_applied else None)
        if recipe.momentum_scale:
            # s_m · ν is part of what feeds ν (Eqs. 7 and 8), so both numbers name it.
            momentum = _link(
                momentum, before, step.feeding, recipe.momentum_scale, recipe.momentum_beta
            )
        keys.append(latents)
    return tuple(keys)


def estimated_key(exact: str, reference: str, how: object) -> str:
    """The name of latents that estimated predictions led to; never one that `latent_keys` gives.

    Args:
        exact: what the latents would be called had every prediction been taken.
        reference: the last key of the recorded trajectory that the estimates started from.
        how: what tells these estimates from others.
    """
    return "estimated " + _link(exact, reference, how)


def last_shared_call(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The last model call that two trajectories make at the same latents."""
    return next(
        (call - 1 for call, (a, b) in enumerate(zip(one, other, strict=True)) if a != b),
        len(one) - 1,
    )


def _link(*parts: object) -> str:
    """A digest of frozen values; their repr spells every field, floats to the last bit."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
