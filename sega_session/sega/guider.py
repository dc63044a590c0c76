"""The step from predictions to guidance: which are needed, and what the concepts add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from attrs import evolve, field, frozen
from torch import Tensor

from ..state import Scene
from .equations import concept_guidance, update_momentum, weighted_sum, with_momentum
from .recipe import Recipe, StepRecipe, Term, prompt_condition, text_condition

UNCOND = "uncond"
"""The condition of the unconditional prediction, which holds the negative prompt."""

Predictions = Mapping[str, Tensor]
"""Predictions by condition, each of the latents' shape."""


@frozen(eq=False)
class Guider:
    """The guidance of a session's renders.

    Attributes:
        scene: the prompt and its guidance.
        distilled: the model has no unconditional prediction, see `ModelSpec.distilled`.
        sem_guidance: recorded guidance that is added at each call, ``(calls or more, images,
            channels, height, width)``, or None.
        masks: by digest, ``(1 or images, 1, height, width)`` at the latents' size, 0 to 1.
        unguided_scale: guidance scales up to this one turn the prompt's guidance off.
        unprompted: the prompt's conditioning is the unconditional one, so that one prediction
            serves as both.
    """

    scene: Scene
    distilled: bool = False
    sem_guidance: Tensor | None = None
    unguided_scale: float = 1.0
    masks: Mapping[str, Tensor] = field(factory=dict)
    unprompted: bool = False

    @property
    def text(self) -> str:
        """The condition of the scene's prompt."""
        return UNCOND if self.unprompted else text_condition(self.scene)

    @property
    def base(self) -> str:
        """The condition that every call evaluates, whatever the concepts are."""
        guided = self.scene.guidance_scale > self.unguided_scale and not self.distilled
        return UNCOND if guided else self.text

    @property
    def origin(self) -> str:
        """The condition that concepts without an opposite are measured against."""
        # In words, as the concepts are that it is the context of, also where the image's prompt is
        # given by embeddings.
        return prompt_condition(self.scene.prompt) if self.distilled else UNCOND

    def needed(self, step: StepRecipe) -> tuple[str, ...]:
        """Return the conditions that one model call needs, each once."""
        return self._with_base((*step.feeding, *step.applied))

    def steering(self, step: StepRecipe) -> tuple[str, ...]:
        """Return the needed conditions except those that only feed the momentum."""
        return self.needed(step) if step.momentum_applied else self._with_base(step.applied)

    def _with_base(self, terms: Sequence[Term]) -> tuple[str, ...]:
        found = [self.base, self.text]
        for term in terms:
            found += [term.condition, self._against(term)]
        # The unconditional prediction comes first, as in diffusers' batches.
        return tuple(dict.fromkeys(sorted(found, key=lambda one: one != UNCOND)))

    def _against(self, term: Term) -> str:
        return self.origin if term.opposite is None else term.opposite

    def semantic(self, predictions: Predictions, terms: Sequence[Term]) -> Tensor:
        """Return the concepts' guidance without momentum: the weighted sum of ``terms``."""
        if not terms:
            return torch.zeros_like(predictions[self.text])
        return weighted_sum(
            [
                concept_guidance(
                    predictions[self._against(t)],
                    predictions[t.condition],
                    t.scale,
                    t.threshold,
                    None if t.mask is None else self.masks[t.mask],
                )
                for t in terms
            ],
            [t.weight for t in terms],
        )

    def guidances(self, semantic: Tensor, call: int) -> tuple[Tensor, ...]:
        """Return the guidances added at a call: the concepts', and the recorded one if any."""
        return (semantic,) if self.sem_guidance is None else (semantic, self.sem_guidance[call])


@frozen(eq=False)
class Momentum:
    """The momentum ν before a call, fed by the guidance of every call before it."""

    recipe: Recipe
    guider: Guider
    value: Tensor

    def fed(self, predictions: Predictions, call: int) -> tuple[Tensor, Momentum]:
        """Return a call's guidance with momentum (Eq. 7), and the momentum after it (Eq. 8)."""
        guidance = self.guider.semantic(predictions, self.recipe.steps[call].feeding)
        guidance = with_momentum(guidance, self.value, self.recipe.momentum_scale)
        value = update_momentum(self.value, guidance, self.recipe.momentum_beta)
        return guidance, evolve(self, value=value)


def semantic_guidance(
    recipe: Recipe, guider: Guider, predictions: Iterable[Predictions]
) -> Iterator[Tensor]:
    """Yield what ``recipe`` adds to the guidance at each call, given every call's predictions."""
    momentum: Momentum | None = None
    for call, (step, found) in enumerate(zip(recipe.steps, predictions, strict=True)):
        guidance = guider.semantic(found, step.applied)
        if recipe.momentum_scale:
            momentum = momentum or Momentum(recipe, guider, torch.zeros_like(guidance))
            with_all, momentum = momentum.fed(found, call)
            guidance = with_all if step.momentum_applied else guidance
        yield guidance
