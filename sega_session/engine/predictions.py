"""Predictions at latents: recorded ones where there are any, the model's where there are none."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from accelerate.utils.memory import should_reduce_batch_size
from attrs import frozen
from torch import Tensor

from ..errors import OutOfMemoryError
from ..models import Conditioning, Denoiser, ModelInput
from ..sega.trajectory import Key
from .store import TrajectoryStore

BatchPlan = Literal["together", "canonical"]
"""How many branches one model call evaluates: all that are missing, or always one.

A row's last bits depend on the size of the batch that it is evaluated in. Under "canonical" that
size is always the number of images, so a result has the same bits whatever was recorded before.
"""

ROWS = 32
"""Predictions of several model calls are taken together in batches of at most so many rows."""


@frozen(eq=False)
class Wanted:
    """A prediction that a render needs.

    Attributes:
        key: its name; ``key.branch`` says what it is conditioned on.
        latents: scaled as the scheduler asks.
        timestep: 0-dimensional, on the latents' device.
    """

    key: Key
    latents: Tensor
    timestep: Tensor


class PredictionSource:
    """Where one render takes its predictions from.

    Attributes:
        evaluations: branch-steps evaluated so far, see `Render.evaluations`.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        conditionings: Mapping[str, Conditioning],
        store: TrajectoryStore,
        batch_plan: BatchPlan,
    ) -> None:
        self.evaluations = 0
        self.store = store
        self._denoiser = denoiser
        self._conditionings = conditionings
        self._canonical = batch_plan == "canonical"
        self._at_most = 1 if self._canonical else sys.maxsize

    def recorded(self, wanted: Sequence[Wanted]) -> dict[Key, Tensor]:
        """Those of the predictions that are recorded."""
        found = {}
        for one in wanted:
            tensor = self.store.get(one.key)
            if tensor is not None:
                found[one.key] = tensor
        return found

    def take(self, wanted: Sequence[Wanted]) -> dict[Key, Tensor]:
        """All of the predictions; what was not recorded is evaluated, and recorded.

        Raises:
            OutOfMemoryError: there is no memory to evaluate one branch of one image.
        """
        predictions = self.recorded(wanted)
        self.store.hits += len(predictions)
        missing = [one for one in wanted if one.key not in predictions]
        if not missing:
            return predictions
        calls = len({one.key.latents for one in missing})
        images = len(missing[0].latents)
        at_once = len(missing) if calls == 1 else max(1, ROWS // images, len(missing) // calls)
        while missing:
            at_once = min(at_once, self._at_most)
            group, missing = missing[:at_once], missing[at_once:]
            taken = self._evaluate(
                [
                    ModelInput(one.latents, one.timestep, self._conditionings[one.key.branch])
                    for one in group
                ]
            )
            for one, prediction in zip(group, taken, strict=True):
                predictions[one.key] = prediction
                self.store.put(one.key, prediction)
            self.evaluations += len(group) * images
        return predictions

    def _evaluate(self, inputs: Sequence[ModelInput]) -> tuple[Tensor, ...]:
        """The model's predictions; on lack of memory in smaller batches, then with less cached."""
        try:
            return self._denoiser.predict(inputs)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        # Out of the except clause, whose traceback holds on to the failed call's tensors.
        if not self._canonical and len(inputs) > 1:
            self._at_most = middle = len(inputs) // 2
            return (*self._evaluate(inputs[:middle]), *self._evaluate(inputs[middle:]))
        if not self._canonical and len(inputs[0].latents) > 1:
            first, second = inputs[0].halves()
            return (torch.cat([*self._evaluate([first]), *self._evaluate([second])]),)
        if self.store.release():
            return self._evaluate(inputs)
        raise OutOfMemoryError(inputs[0].latents.device, "the model")


@contextmanager
def memory_for(what: str, device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError where the body runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        raise OutOfMemoryError(device, what) from error
