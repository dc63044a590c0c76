"""A scheduler on its way from noise to picture, driven by predictions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from ..sega.guider import Branches, Momentum, Predictions
from ..sega.recipe import Recipe, StepRecipe


class Walk:
    """The latents and the momentum before one model call, and the way on.

    A scheduler keeps state, so no call can be skipped: where predictions are recorded or
    estimated, the scheduler is driven through them, which costs elementwise work only.

    Args:
        scheduler: fresh, its timesteps set, on the host; used up by the walk.
        latents: the initial latents, already scaled by the scheduler's ``init_noise_sigma``.
        step_arguments: further arguments for ``scheduler.step``.

    Attributes:
        call: the number of the next model call.
        latents: the latents before it.
        scheduler: the scheduler, on the host.
    """

    def __init__(
        self,
        scheduler: Any,
        latents: Tensor,
        recipe: Recipe,
        branches: Branches,
        step_arguments: Mapping[str, Any],
    ) -> None:
        self.call = 0
        self.latents = latents
        self.recipe = recipe
        self.branches = branches
        self._momentum = Momentum(recipe, branches, torch.zeros_like(latents))
        self.scheduler = scheduler
        self._step_arguments = dict(step_arguments)
        self._timesteps = scheduler.timesteps.to(latents.device)

    @property
    def calls(self) -> int:
        """Model calls of the whole way."""
        return len(self.recipe.steps)

    @property
    def step(self) -> StepRecipe:
        """What the next model call does."""
        return self.recipe.steps[self.call]

    @property
    def timestep(self) -> Tensor:
        """Of the next model call, 0-dimensional, on the latents' device."""
        timestep: Tensor = self._timesteps[self.call]
        return timestep

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents before the next model call as the model takes them."""
        scaled: Tensor = self.scheduler.scale_model_input(
            latents, self.scheduler.timesteps[self.call]
        )
        return scaled

    def advance(self, predictions: Predictions, *, feed: bool = True) -> None:
        """Make the next call with these predictions.

        Args:
            feed: False leaves the momentum as it is, for `feed` to catch up.
        """
        step, call = self.step, self.call
        if step.momentum_applied:
            semantic = self.feed(predictions, call)
        else:
            if feed and self.recipe.momentum_scale:
                self.feed(predictions, call)
            semantic = self.branches.semantic(predictions, step.applied)
        self.latents = self.scheduler.step(
            self.branches.guided(predictions, semantic, call),
            self.scheduler.timesteps[call],
            self.latents,
            **self._step_arguments,
        ).prev_sample
        self.call += 1

    def feed(self, predictions: Predictions, call: int) -> Tensor:
        """Update the momentum with one call's guidance, which is returned with momentum."""
        guidance, self._momentum = self._momentum.fed(predictions, call)
        return guidance

    def fork(self) -> Self:
        """A walk of its own from here on; it draws the same noise as this one will."""
        other = copy.copy(self)
        other.scheduler = copy.deepcopy(self.scheduler)
        if "generator" in self._step_arguments:
            generators = self._step_arguments["generator"]
            other._step_arguments = {
                **self._step_arguments,
                "generator": [generator.clone_state() for generator in generators],
            }
        return other
