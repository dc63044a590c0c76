"""Recorded predictions under chained keys, within a byte budget.

A render's latents are named by a chain of digests, one link a model call: the latents after a
call are named by those before it and by what the call applied. No tensor is hashed. Two edit
states that behave alike up to some call therefore share the names of all latents up to there, and
with them every prediction taken at these latents, in whatever order the edits came.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from numbers import Integral

from attrs import frozen
from torch import Tensor

from .errors import InvalidValueError
from .recipe import Recipe


@frozen
class Key:
    """Names a recorded tensor: which latents, and what was predicted at them.

    Attributes:
        latents: the link of the chain, see `latent_keys`.
        branch: the branch's conditioning key, or `FINAL` for the latents themselves.
    """

    latents: str
    branch: str


FINAL = "final latents"


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


def _link(*parts: object) -> str:
    """A digest of frozen values; their repr spells every field, floats to the last bit."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class TrajectoryStore:
    """Tensors by `Key`, on the device they were made on; the least recently used leave first.

    Args:
        max_bytes: the budget; 0 records nothing.

    Raises:
        InvalidValueError: a negative budget.
    """

    max_bytes: int
    bytes: int

    def __init__(self, max_bytes: int) -> None:
        if not isinstance(max_bytes, Integral) or isinstance(max_bytes, bool) or max_bytes < 0:
            raise InvalidValueError("cache_bytes", max_bytes, "an integer, at least 0")
        self.max_bytes = int(max_bytes)
        self.bytes = 0
        self._tensors: OrderedDict[Key, Tensor] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._tensors

    def get(self, key: Key) -> Tensor | None:
        """The recorded tensor, or None."""
        if key in self._tensors:
            self._tensors.move_to_end(key)
        return self._tensors.get(key)

    def put(self, key: Key, tensor: Tensor) -> None:
        """Record a tensor, dropping the least recently used until the budget holds it."""
        if key in self._tensors or tensor.nbytes > self.max_bytes:
            return
        # A copy, because a view of a batch would keep the whole batch alive.
        self._tensors[key] = tensor.clone()
        self.bytes += tensor.nbytes
        while self.bytes > self.max_bytes:
            _, dropped = self._tensors.popitem(last=False)
            self.bytes -= dropped.nbytes
