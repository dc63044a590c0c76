"""The recipe of each model call, computed from an `EditState` before any tensor exists.

The rules are those of the authors' implementation (diffusers,
``pipelines/deprecated/semantic_stable_diffusion``):

- Warm-up and cool-down count model calls, not timesteps.
- While only some concepts are past their warm-up, their weights are normalised to sum 1 and
  momentum is not applied. Once all are, the plain weighted sum plus momentum is applied.
- Momentum is fed from call 0 by every concept before its cool-down, warm or not.
- A concept past its cool-down still counts as warm. Where all warm concepts are past it while
  another is still in its warm-up, the implementation divides 0 by 0; here nothing is applied.

Terms that add exactly zero are left out, so a recipe names only predictions to evaluate.
"""

from __future__ import annotations

from attrs import frozen

from ..state import Concept, EditState, Scene


@frozen
class Term:
    """One concept's part of the guidance: weight · masked(scale · ψ).

    Attributes:
        condition: what the concept's prediction is conditioned on, see `condition_of`.
        opposite: the condition that it is measured against; None: the guider's origin.
        mask: the digest of the region that it is confined to; None: the whole image.
        scale: s_e with the direction's sign: negative where the concept is inverted.
        threshold: λ, 0 <= λ < 1.
        weight: g_i; normalised while only some concepts are past their warm-up.
    """

    condition: str
    opposite: str | None
    mask: str | None
    scale: float
    threshold: float
    weight: float


@frozen
class StepRecipe:
    """The recipe of one model call.

    Attributes:
        applied: the terms added to the guidance.
        feeding: the terms that feed the momentum.
        momentum_applied: the momentum is added to the guidance; ``feeding`` is ``applied`` then.
        region: the digest of the region outside of which the latents after the call are those of
            the unedited render; None: they all may differ, or none does yet.
    """

    applied: tuple[Term, ...]
    feeding: tuple[Term, ...]
    momentum_applied: bool
    region: str | None = None


@frozen
class Recipe:
    """The recipe of every model call of a render, and momentum's two numbers (Eqs. 7 and 8).

    ``momentum_scale`` is 0 where momentum cannot reach the image; nothing feeds it then.
    """

    steps: tuple[StepRecipe, ...]
    momentum_scale: float
    momentum_beta: float


def condition_of(concept: Concept) -> str:
    """Return the name of a concept's condition; equal prompts share one name."""
    if concept.embedding is not None:
        return embedding_condition(concept.embedding)
    return prompt_condition(concept.prompt)


def text_condition(scene: Scene) -> str:
    """Return the name of the condition of a scene's prompt."""
    if scene.prompt_embedding is not None:
        return embedding_condition(scene.prompt_embedding)
    return prompt_condition(scene.prompt)


def embedding_condition(digest: str) -> str:
    """Return the name of the condition on embeddings."""
    return f"embedding:{digest}"


def prompt_condition(prompt: str) -> str:
    """Return the name of the condition on a text."""
    return f"prompt:{prompt}"


def make_recipe(state: EditState, calls: int, first: int = 0) -> Recipe:
    """Return the recipe of ``state`` for a render of ``calls`` model calls.

    Args:
        state: the concepts and momentum.
        calls: the model calls of a render.
        first: the first call that edits may change; nothing is applied or fed before it.
    """
    concepts = [concept for concept in state if concept.enabled]
    all_warm_from = max([first, *(concept.warmup for concept in concepts)])
    has_momentum = (
        state.momentum_scale > 0
        and all_warm_from < calls
        and bool(_terms(_uncooled(concepts, call=first)))
    )
    region = None
    if state.region is not None and state.region.share < 1:
        region = state.region.digest
    steps: list[StepRecipe] = []
    edited = False
    for call in range(calls):
        uncooled = _uncooled(concepts, call) if call >= first else []
        warm = [concept for concept in uncooled if call >= concept.warmup]
        all_warm = call >= all_warm_from
        applied = _terms(warm, total=1 if all_warm else sum(c.weight for c in warm))
        edited = edited or bool(applied) or (has_momentum and all_warm)
        steps.append(
            StepRecipe(
                applied=applied,
                feeding=_terms(uncooled) if has_momentum else (),
                momentum_applied=has_momentum and all_warm,
                region=region if edited else None,
            )
        )
    return Recipe(
        steps=tuple(steps),
        momentum_scale=state.momentum_scale if has_momentum else 0.0,
        momentum_beta=state.momentum_beta if has_momentum else 0.0,
    )


def _uncooled(concepts: list[Concept], call: int) -> list[Concept]:
    return [c for c in concepts if c.cooldown is None or call < c.cooldown]


def _terms(concepts: list[Concept], total: float = 1) -> tuple[Term, ...]:
    """Return the terms of ``concepts`` that are not zero, their weights divided by ``total``."""
    return tuple(
        Term(
            condition=condition_of(concept),
            opposite=None if concept.opposite is None else prompt_condition(concept.opposite),
            mask=None if concept.mask is None else concept.mask.digest,
            scale=-concept.scale if concept.inverted else concept.scale,
            threshold=concept.threshold,
            weight=concept.weight / total,
        )
        for concept in concepts
        if concept.scale > 0
        and concept.weight > 0
        and (concept.mask is None or concept.mask.share > 0)
    )
