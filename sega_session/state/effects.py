"""The settings of a concept against the number of a render's model calls."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .values import Concept, EditState, Scene


def first_call(scene: Scene, calls: int) -> int:
    """Return the first model call that edits may change: 8 of 50 where ``skip`` is 0.15."""
    return round(scene.skip * calls)


def default_warmup(calls: int, cooldown: int | None = None, first: int = 0) -> int:
    """Return a fifth of the model calls, 10 of 50, but less than the cool-down.

    Args:
        calls: the model calls of a render.
        cooldown: the concept's.
        first: the first call that edits may change; the fifth is of those from there on.
    """
    warmup = first + round((calls - first) / 5)
    return warmup if cooldown is None else max(0, min(warmup, cooldown - 1))


def idle_reasons(concept: Concept, calls: int, first: int = 0) -> Iterator[str]:
    """Yield the settings that keep a concept from changing an image, and what to do about each.

    Args:
        concept: the concept; its ``enabled`` is not looked at.
        calls: the model calls of a render.
        first: the first call that edits may change.
    """
    if concept.scale == 0:
        yield "scale is 0. Raise scale, or mute the concept with disable()."
    if concept.weight == 0:
        yield "weight is 0. Raise weight, or mute the concept with disable()."
    if concept.mask is not None and concept.mask.share == 0:
        yield "its mask is empty. Pass another mask, or None for the whole image."
    if concept.warmup >= calls:
        yield (
            f"warmup is {concept.warmup}, and a render has only {calls} model calls. Lower warmup."
        )
    elif concept.cooldown is not None and concept.warmup < concept.cooldown <= first:
        yield (
            f"cooldown is {concept.cooldown}, and with this skip edits begin at call {first}. "
            "Raise cooldown."
        )
    elif concept.warmup == concept.cooldown:
        yield f"warmup and cooldown are both {concept.warmup}. Lower warmup, or raise cooldown."


def rescaled(state: EditState, calls: int, other_calls: int) -> EditState:
    """Return a state whose concepts have the same shares of another number of model calls.

    Warm-up and cool-down are rounded to whole calls. A concept that is applied at some call still
    is.

    Args:
        state: the state.
        calls: the model calls that its warm-ups and cool-downs count.
        other_calls: the other number.
    """
    concepts = tuple(_rescaled(concept, calls, other_calls) for concept in state)
    return attrs.evolve(state, concepts=concepts)


def _rescaled(concept: Concept, calls: int, other_calls: int) -> Concept:
    warmup, cooldown = concept.warmup, concept.cooldown
    applied = warmup < (calls if cooldown is None else min(calls, cooldown))
    start = round(warmup * other_calls / calls)
    if applied:
        start = min(start, other_calls - 1)
    end = None
    if cooldown is not None:
        end = max(round(cooldown * other_calls / calls), start + applied)
    return attrs.evolve(concept, warmup=start, cooldown=end)
