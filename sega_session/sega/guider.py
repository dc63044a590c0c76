"""What a session's branches are, and how their predictions become one guided prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from attrs import evolve, frozen
from torch import Tensor

from ..models import Conditioning
from .equations import (
    concept_guidance,
    text_guidance,
    update_momentum,
    weighted_sum,
    with_momentum,
)
from .recipe import Recipe, StepRecipe, Term

UNCOND = "uncond"

Predictions = Mapping[str, Tensor]
"""By branch, each of the latents' shape."""


@frozen(eq=False)
class Branches:
    """What the branches of a session's renders are.

    Attributes:
        conditionings: by key: `UNCOND`, the scene's prompt, and every concept.
        text: key of the scene's prompt.
        guidance_scale: of the text; up to 1, classifier-free guidance is off.
        sem_guidance: recorded guidance that is added at each call, ``(calls or more, batch,
            channels, height, width)``, or None.
    """

    conditionings: Mapping[str, Conditioning]
    text: str
    guidance_scale: float
    sem_guidance: Tensor | None = None

    def needed(self, step: StepRecipe) -> tuple[str, ...]:
        """Keys of the branches that one model call needs, each once."""
        return self._with_base((*step.feeding, *step.applied))

    def steering(self, step: StepRecipe) -> tuple[str, ...]:
        """Keys of those that the next latents depend on; the others only feed the momentum."""
        return self.needed(step) if step.momentum_applied else self._with_base(step.applied)

    def _with_base(self, terms: Sequence[Term]) -> tuple[str, ...]:
        uncond = (UNCOND,) if self.guidance_scale > 1 or terms else ()
        return tuple(dict.fromkeys((*uncond, self.text, *(term.conditioning for term in terms))))

    def semantic(self, predictions: Predictions, terms: Sequence[Term]) -> Tensor:
        """The concepts' guidance, without momentum: the weighted sum of ``terms``."""
        if not terms:
            return torch.zeros_like(predictions[self.text])
        uncond = predictions[UNCOND]
        return weighted_sum(
            [
                concept_guidance(uncond, predictions[t.conditioning], t.scale, t.threshold)
                for t in terms
            ],
            [t.weight for t in terms],
        )

    def guided(self, predictions: Predictions, semantic: Tensor, call: int) -> Tensor:
        """The prediction that drives the scheduler (Eq. 3), from the concepts' guidance."""
        text = predictions[self.text]
        if self.guidance_scale > 1:
            base = predictions[UNCOND]
            guidance = text_guidance(base, text, self.guidance_scale) + semantic
        else:
            base, guidance = text, semantic
        if self.sem_guidance is not None:
            guidance = guidance + self.sem_guidance[call]
        return base + guidance


@frozen(eq=False)
class Momentum:
    """The momentum ν before a call, fed by the guidance of every call before it."""

    recipe: Recipe
    branches: Branches
    value: Tensor

    def fed(self, predictions: Predictions, call: int) -> tuple[Tensor, Momentum]:
        """A call's guidance with momentum (Eq. 7), and the momentum after it (Eq. 8)."""
        guidance = self.branches.semantic(predictions, self.recipe.steps[call].feeding)
        guidance = with_momentum(guidance, self.value, self.recipe.momentum_scale)
        value = update_momentum(self.value, guidance, self.recipe.momentum_beta)
        return guidance, evolve(self, value=value)


def semantic_guidance(
    recipe: Recipe, branches: Branches, predictions: Iterable[Predictions]
) -> Iterator[Tensor]:
    """What ``recipe`` adds to the guidance at each call, given every call's predictions."""
    momentum: Momentum | None = None
    for call, (step, taken) in enumerate(zip(recipe.steps, predictions, strict=True)):
        guidance = branches.semantic(taken, step.applied)
        if recipe.momentum_scale:
            momentum = momentum or Momentum(recipe, branches, torch.zeros_like(guidance))
            with_all, momentum = momentum.fed(taken, call)
            guidance = with_all if step.momentum_applied else guidance
        yield guidance
