"""A lock around a model's networks, and a watch on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any

from torch import Tensor

from ..errors import ModelChangedError
from ..state import Scene
from .base import (
    Conditioning,
    Decoded,
    DiffusionModel,
    Embeddings,
    ModelSpec,
    OutputType,
    Request,
    Role,
    Sampler,
)
from .glances import changes, glance


class SerialModel:
    """A model whose networks run for one thread at a time, and are watched for changes.

    A prompt may be encoded while another thread renders. With offloading both would move weights
    at once, so encoding, evaluating and decoding hold a lock. It is released between model calls,
    so encoding waits for one model call only.

    Predictions of changed weights must not mix with recorded ones, so encoding raises
    ModelChangedError once the model is not what it was when this object was made. Callers ask
    `check_unchanged` before they evaluate, decode or identify, once for many calls.

    Attributes:
        begun: the model at a glance, when this object was made.
    """

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self._lock = RLock()
        self.begun = glance(model)

    def check_unchanged(self) -> None:
        """Raise ModelChangedError if the model is not what it was when this object was made."""
        with self._lock:
            now = glance(self._model)
        if now != self.begun:
            raise ModelChangedError(changes(self.begun, now))

    @property
    def spec(self) -> ModelSpec:
        """See `DiffusionModel.spec`."""
        return self._model.spec

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`."""
        return self._model.latents_shape(height, width)

    def sampler(self, steps: int, height: int, width: int, eta: float) -> Sampler:
        """See `DiffusionModel.sampler`."""
        return self._model.sampler(steps, height, width, eta)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_prompt`."""
        with self._lock:
            self.check_unchanged()
            return self._model.encode_prompt(prompt, role, scene)

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`."""
        with self._lock:
            self.check_unchanged()
            return self._model.encode_embeddings(embeddings, scene)

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        with self._lock:
            return self._model.evaluate(requests)

    def guided(
        self,
        uncond: Tensor | None,
        text: Tensor,
        scene: Scene,
        guidances: Sequence[Tensor],
    ) -> Tensor:
        """See `DiffusionModel.guided`."""
        return self._model.guided(uncond, text, scene, guidances)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`."""
        with self._lock:
            return self._model.decode(latents, output_type)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`."""
        with self._lock:
            self.check_unchanged()
            return self._model.encode_image(pixels)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`."""
        return self._model.components()

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """See `DiffusionModel.progress_bar`."""
        return self._model.progress_bar(total)
