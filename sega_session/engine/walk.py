"""A sampler run together with SEGA's guidance, driven by predictions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from ..models import DiffusionModel, SamplerRun
from ..sega import UNCOND, Guider, Momentum, Predictions, StepRecipe, Trajectory, blended
from .photograph import Inversion


class Walk:
    """A render in motion: the latents and the momentum before the next model call.

    Samplers keep state, so no call can be skipped. Where predictions are recorded or estimated, the
    sampler makes its steps with them, which costs elementwise operations only.

    Args:
        run: a run at its first call; the walk advances it.
        trajectory: the recipe of each call.
        guider: turns predictions into guidance.
        model: combines guidance and predictions.
        unedited: the latents of the unedited render, before each call and after the last, for a
            trajectory that is confined to a region.
        inversion: of the photograph that the render begins from; None: it begins from noise.

    Attributes:
        call: the index of the next model call.
    """

    def __init__(
        self,
        run: SamplerRun,
        trajectory: Trajectory,
        guider: Guider,
        model: DiffusionModel,
        unedited: Sequence[Tensor] | Tensor = (),
        inversion: Inversion | None = None,
    ) -> None:
        self.call = 0
        self.trajectory = trajectory
        self.guider = guider
        self._model = model
        self._unedited = unedited
        self._run = run
        self._inversion = inversion
        if inversion is not None:
            run.latents = inversion.latents[0]
        self._momentum = Momentum(trajectory.recipe, guider, torch.zeros_like(run.latents))

    @property
    def latents(self) -> Tensor:
        """The latents before the next call, or the final ones."""
        return self._run.latents

    @property
    def calls(self) -> int:
        """The number of model calls from noise to the final latents."""
        return self.trajectory.calls

    @property
    def step(self) -> StepRecipe:
        """The recipe of the next call."""
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
            predictions: of all conditions in `needed`, or, without ``feed``, of those that steer.
            feed: False leaves the momentum as it is; call `feed` later.
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
            self.guider.scene,
            self.guider.guidances(semantic, call),
        )
        self._run.step(guided)
        if self._inversion is not None:
            name = self.trajectory.names[call + 1]
            self._run.latents = self._inversion.corrected(self._run.latents, call, name)
        if step.region is not None:
            region = self.guider.masks[step.region]
            self._run.latents = blended(self._run.latents, self._unedited[call + 1], region)
        self.call += 1

    def feed(self, predictions: Predictions, call: int) -> Tensor:
        """Feed the momentum with one call's guidance. Return that guidance with momentum."""
        guidance, self._momentum = self._momentum.fed(predictions, call)
        return guidance

    def place(self, latents: Tensor) -> None:
        """Replace the latents before the next call."""
        self._run.latents = latents

    def fork(self) -> Self:
        """Return an independent copy of the walk, which will add the same noise."""
        other = copy.copy(self)
        other._run = self._run.fork()  # noqa: SLF001 - of the same class
        return other
