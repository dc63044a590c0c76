"""Predictions at latents: recorded ones if there are any, else evaluated ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from accelerate.utils.memory import should_reduce_batch_size
from attrs import frozen
from torch import Tensor

from ..errors import OutOfMemoryError
from ..models import Conditioning, DiffusionModel, Request, halves
from ..sega import Key
from ..state import BatchPlan
from .store import Recorder

ROWS = 32
"""The most rows of a batch that holds predictions of several model calls."""


@frozen(eq=False)
class Wanted:
    """A prediction that a render needs.

    Attributes:
        key: its name, with its condition.
        latents: scaled as the sampler asks.
        timestep: 0-dimensional, on the latents' device.
    """

    key: Key
    latents: Tensor
    timestep: Tensor


class PredictionSource:
    """The predictions of one render.

    They are copies of what the model returned: it may write the predictions of every call to the
    same memory, as CUDA graphs do, and some are needed after later calls.

    A row's last bits depend on the size of the batch that it is evaluated in. Under the "canonical"
    batch plan that size is always the number of images.

    Attributes:
        evaluations: conditions evaluated so far, see `Render.evaluations`.
        recorder: finds and records predictions.
    """

    def __init__(
        self,
        model: DiffusionModel,
        conditionings: Mapping[str, Conditioning],
        recorder: Recorder,
        batch_plan: BatchPlan,
    ) -> None:
        self.evaluations = 0
        self.recorder = recorder
        self._model = model
        self._conditionings = conditionings
        self._canonical = batch_plan == "canonical"
        self._at_most = 1 if self._canonical else sys.maxsize

    def recorded(self, wanted: Sequence[Wanted]) -> dict[Key, Tensor]:
        """Return those of the predictions that are recorded."""
        pairs = ((one.key, self.recorder.get(one.key)) for one in wanted)
        return {key: tensor for key, tensor in pairs if tensor is not None}

    def evaluate(self, wanted: Sequence[Wanted]) -> dict[Key, Tensor]:
        """Return all of the predictions; evaluate and record those that are not recorded.

        Raises:
            OutOfMemoryError: the memory does not suffice for one condition of one image.
        """
        predictions = self.recorder.find(one.key for one in wanted)
        missing = [one for one in wanted if one.key not in predictions]
        if not missing:
            return predictions
        calls = len({one.key.latents for one in missing})
        images = len(missing[0].latents)
        at_once = max(ROWS // images, len(missing) // calls)
        while missing:
            at_once = min(at_once, self._at_most)
            group, missing = missing[:at_once], missing[at_once:]
            evaluated = self._evaluate(
                [
                    Request(one.latents, one.timestep, self._conditionings[one.key.condition])
                    for one in group
                ]
            )
            for one, prediction in zip(group, evaluated, strict=True):
                predictions[one.key] = prediction
                self.recorder.put(one.key, prediction)
            self.evaluations += len(group) * images
        return predictions

    def _evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """Evaluate requests; if memory runs out, in smaller batches, then with an emptied cache."""
        try:
            return [one.clone() for one in self._model.evaluate(requests)]
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        # Outside the except clause, whose traceback keeps the failed call's tensors alive.
        if not self._canonical and len(requests) > 1:
            self._at_most = middle = len(requests) // 2
            return (*self._evaluate(requests[:middle]), *self._evaluate(requests[middle:]))
        if not self._canonical and len(requests[0].latents) > 1:
            first, second = halves(requests[0])
            return (torch.cat([*self._evaluate([first]), *self._evaluate([second])]),)
        if self.recorder.evict_others():
            return self._evaluate(requests)
        raise OutOfMemoryError(requests[0].latents.device, "the model")


@contextmanager
def memory_for(what: str, device: torch.device) -> Iterator[None]:
    """Raise OutOfMemoryError if the body runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        raise OutOfMemoryError(device, what) from error
