"""A sampler run together with SEGA's guidance, driven by predictions."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor

from ..models import DiffusionModel, SamplerRun
from ..sega import UNCOND, Guider, Momentum, Predictions, StepRecipe, Trajectory


class Walk:
    """The latents and the momentum before one model call, and the way on.

    A sampler keeps state, so no call can be skipped: where predictions are recorded or estimated,
    the sampler is driven through them, which costs elementwise work only.

    Args:
        run: at its first call; used up by the walk.
        trajectory: what each call applies.
        guider: turns predictions into guidance.
        model: combines guidance and predictions.

    Attributes:
        call: the index of the next model call.
    """

    def __init__(
        self, run: SamplerRun, trajectory: Trajectory, guider: Guider, model: DiffusionModel
    ) -> None:
        self.call = 0
        self.trajectory = trajectory
        self.guider = guider
        self._model = model
        self._run = run
        self._momentum = Momentum(trajectory.recipe, guider, torch.zeros_like(run.latents))

    @property
    def latents(self) -> Tensor:
        """The latents before the next call, or the final ones."""
        return self._run.latents

    @property
    def calls(self) -> int:
        """The number of model calls of the whole way."""
        return self.trajectory.calls

    @property
    def step(self) -> StepRecipe:
        """What the next call does."""
        return self.trajectory.recipe.steps[self.call]

    @property
    def needed(self) -> tuple[str, ...]:
        """The conditions that the next call needs."""
        return self.guider.needed(self.step)

    @property
    def timestep(self) -> Tensor:
        """The next call's timestep, 0-dimensional, on the latents' device."""
        return self._run.timestep

    def scaled(self, latents: Tensor) -> Tensor:
        """Return latents as the next call's model input."""
        return self._run.model_input(latents)

    def advance(self, predictions: Predictions, *, feed: bool = True) -> None:
        """Make the next call with these predictions.

        Args:
            feed: False leaves the momentum as it is, for `feed` to catch up.
        """
        step, call = self.step, self.call
        if step.momentum_applied:
            semantic = self.feed(predictions, call)
        else:
            if feed and self.trajectory.recipe.momentum_scale:
                self.feed(predictions, call)
            semantic = self.guider.semantic(predictions, step.applied)
        guided = self._model.guided(
            predictions.get(UNCOND),
            predictions[self.guider.text],
            self.guider.guidance_scale,
            self.guider.guidances(semantic, call),
        )
        self._run.step(guided)
        self.call += 1

    def feed(self, predictions: Predictions, call: int) -> Tensor:
        """Feed the momentum with one call's guidance, which is returned with momentum."""
        guidance, self._momentum = self._momentum.fed(predictions, call)
        return guidance

    def fork(self) -> Self:
        """Return an independent walk from here on; it adds the same noise as this one will."""
        other = copy.copy(self)
        other._run = self._run.fork()  # noqa: SLF001 - of the same class
        return other
