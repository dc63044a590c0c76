"""What a person edits: `Scene`, `Concept` and `EditState`, frozen, and the pure edits on them.

Everything is validated on construction, so no later code checks again. Every edit is a function
``EditState -> EditState``; a refused edit raises and leaves the state it was given as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import field, frozen

from ..errors import DuplicateConceptError, InvalidValueError, UnknownConceptError

Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]

INVERT_HINT = "To push the picture away from a concept, use inverted=True or invert(name)."


def _as_float(value: Any) -> Any:
    """A number, numpy's too, as a plain float; anything else is left for the validator."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _as_int(value: Any) -> Any:
    """An integer, numpy's too, as a plain int; anything else is left for the validator."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _number(
    *,
    at_least: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    hint: str = "",
) -> Validator:
    """A finite float within the bounds; NaN, bool and strings are refused."""
    allowed = "a finite number"
    allowed += f", at least {at_least:g}" if at_least > -math.inf else ""
    allowed += f", at most {at_most:g}" if at_most < math.inf else ""
    allowed += f", less than {below:g}" if below < math.inf else ""

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not (
            isinstance(value, float)
            and math.isfinite(value)
            and at_least <= value <= at_most
            and value < below
        ):
            raise InvalidValueError(attribute.name, value, allowed, hint)

    return validate


def _integer(*, at_least: int) -> Validator:
    """An int within the bounds; 1.0, bool and strings are refused."""

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise InvalidValueError(attribute.name, value, f"an integer, at least {at_least}")

    return validate


def _text(*, may_be_empty: bool) -> Validator:
    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        allowed = "text" if may_be_empty else "text, not empty"
        if not isinstance(value, str) or not (may_be_empty or value.strip()):
            raise InvalidValueError(attribute.name, value, allowed)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidValueError(attribute.name, value, allowed, "Half a character is not text.")

    return validate


def _as_bool(value: Any) -> Any:
    """A flag, numpy's too, as a plain bool; anything else is left for the validator."""
    return bool(value) if isinstance(value, np.bool_) else value


def _flag(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidValueError(attribute.name, value, "True or False")


def _as_seeds(value: Any) -> Any:
    """One seed or several, arrays too, as a tuple; anything else is left for the validator."""
    value = value.tolist() if hasattr(value, "tolist") else value
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(map(_as_int, value)) if several else (_as_int(value),)


def _seeds(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64:
            raise InvalidValueError("seed", seed, "an integer, at least 0, less than 2**64")
    if not value:
        raise InvalidValueError("seed", value, "an integer, or at least one in a list")


@frozen(kw_only=True)
class Scene:
    """What is fixed for a session: everything that makes the picture before any edit.

    Attributes:
        prompt: the text that the picture shows.
        negative_prompt: replaces the empty text of the unconditional branch. SEGA measures every
            concept against that branch, so a negative prompt changes what edits do.
        seeds: one seed for each image; several make a batch that is edited together.
        num_inference_steps: the scheduler's steps. Some schedulers call the model more often.
        guidance_scale: weight of classifier-free guidance; values up to 1 turn it off, as in
            diffusers.
        height, width: the image's size in pixels.
        eta: noise of the DDIM scheduler, 0 to 1; other schedulers ignore it, as in diffusers.

    Raises:
        InvalidValueError: a value is of the wrong type or outside its range.
    """

    prompt: str = field(validator=_text(may_be_empty=True))
    negative_prompt: str = field(default="", validator=_text(may_be_empty=True))
    seeds: tuple[int, ...] = field(default=(0,), converter=_as_seeds, validator=_seeds)
    num_inference_steps: int = field(default=50, converter=_as_int, validator=_integer(at_least=1))
    guidance_scale: float = field(default=7.5, converter=_as_float, validator=_number(at_least=0))
    height: int = field(converter=_as_int, validator=_integer(at_least=1))
    width: int = field(converter=_as_int, validator=_integer(at_least=1))
    eta: float = field(default=0.0, converter=_as_float, validator=_number(at_least=0, at_most=1))


@frozen(kw_only=True)
class Concept:
    """One semantic direction and how strongly it steers. The meanings are diffusers'.

    Attributes:
        name: how edits refer to the concept.
        prompt: the concept in words, a short phrase: "glasses", "a beard".
        embedding: for a concept given by pre-computed embeddings, their digest; else None.
        scale: s_e, the strength of the direction; >= 0 (diffusers: edit_guidance_scale).
        threshold: λ, the share of latent entries that the concept leaves alone, per channel;
            0 <= λ < 1, 0.95 keeps the strongest 5 % (diffusers: edit_threshold).
        warmup: the first model call, counted from 0, at which the concept is applied; later
            starts leave more of the composition as it was (diffusers: edit_warmup_steps).
        cooldown: the first model call at which it is no longer applied; None: never
            (diffusers: edit_cooldown_steps).
        weight: g_i, the share among several concepts; >= 0 (diffusers: edit_weights).
        inverted: push away from the concept (diffusers: reverse_editing_direction).
        enabled: False mutes the concept as if it were removed, and keeps its settings.

    Raises:
        InvalidValueError: a value is of the wrong type or outside its range.
    """

    name: str = field(validator=_text(may_be_empty=False))
    prompt: str = field(validator=_text(may_be_empty=True))
    embedding: str | None = None
    scale: float = field(
        default=5.0, converter=_as_float, validator=_number(at_least=0, hint=INVERT_HINT)
    )
    threshold: float = field(
        default=0.9, converter=_as_float, validator=_number(at_least=0, below=1)
    )
    warmup: int = field(default=10, converter=_as_int, validator=_integer(at_least=0))
    cooldown: int | None = field(
        default=None, converter=_as_int, validator=attrs.validators.optional(_integer(at_least=0))
    )
    weight: float = field(
        default=1.0, converter=_as_float, validator=_number(at_least=0, hint=INVERT_HINT)
    )
    inverted: bool = field(default=False, converter=_as_bool, validator=_flag)
    enabled: bool = field(default=True, converter=_as_bool, validator=_flag)

    def __attrs_post_init__(self) -> None:
        if self.embedding is None and not self.prompt.strip():
            raise InvalidValueError("prompt", self.prompt, "text, not empty")
        if self.cooldown is not None and self.cooldown < self.warmup:
            raise InvalidValueError(
                "cooldown",
                self.cooldown,
                f"None, or at least warmup ({self.warmup})",
                "Lower warmup, or raise cooldown.",
            )


@frozen(kw_only=True)
class EditState:
    """One point in a session's edits: the concepts, in the order they were added, and momentum.

    Attributes:
        concepts: the concepts; their names differ.
        momentum_scale: s_m, how much of the momentum is added to the guidance; 0 to 1, 0 is off
            (diffusers: edit_momentum_scale).
        momentum_beta: β_m, how much of the momentum is kept from call to call; 0 <= β_m < 1
            (diffusers: edit_mom_beta).
    """

    concepts: tuple[Concept, ...] = ()
    momentum_scale: float = field(
        default=0.1, converter=_as_float, validator=_number(at_least=0, at_most=1)
    )
    momentum_beta: float = field(
        default=0.4,
        converter=_as_float,
        validator=_number(
            at_least=0,
            below=1,
            hint="At 1 the momentum would stay zero: to turn it off, set its scale to 0.",
        ),
    )

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def concept(self, name: str) -> Concept:
        """The concept called ``name``.

        Raises:
            UnknownConceptError: no concept has this name.
        """
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise UnknownConceptError(name, (concept.name for concept in self.concepts))


def add(state: EditState, concept: Concept) -> EditState:
    """Append a concept. Raises DuplicateConceptError if its name is taken."""
    if any(other.name == concept.name for other in state):
        raise DuplicateConceptError(concept.name)
    return attrs.evolve(state, concepts=(*state.concepts, concept))


def remove(state: EditState, name: str) -> EditState:
    """Take a concept out. Raises UnknownConceptError."""
    concept = state.concept(name)
    return attrs.evolve(state, concepts=tuple(c for c in state if c is not concept))


def update(state: EditState, name: str, /, **fields: Any) -> EditState:
    """Change fields of one concept, in place in the order.

    Raises:
        UnknownConceptError: no concept has this name.
        DuplicateConceptError: ``fields`` renames it to a name that is taken.
        InvalidValueError: an unknown field, or a value outside its range.
    """
    concept = state.concept(name)
    known = [f.name for f in attrs.fields(Concept) if f.name != "embedding"]
    for unknown in fields.keys() - known:
        raise InvalidValueError("field", unknown, f"one of {', '.join(known)}")
    if "prompt" in fields and concept.embedding is not None:
        raise InvalidValueError(
            "prompt",
            fields["prompt"],
            f"none, since {name!r} is defined by embeddings",
            "Remove the concept and add one by its prompt.",
        )
    changed = attrs.evolve(concept, **fields)
    if changed.name != name and any(other.name == changed.name for other in state):
        raise DuplicateConceptError(changed.name)
    return attrs.evolve(state, concepts=tuple(changed if c is concept else c for c in state))


def momentum(
    state: EditState, *, scale: float | None = None, beta: float | None = None
) -> EditState:
    """Set momentum's scale s_m, its decay β_m, or both; None keeps what is set."""
    return attrs.evolve(
        state,
        momentum_scale=state.momentum_scale if scale is None else scale,
        momentum_beta=state.momentum_beta if beta is None else beta,
    )


def only(state: EditState, name: str) -> EditState:
    """The state in which all other concepts push with scale 0.

    They still count where the concepts' weights are normalised, so that the guidance of such
    states adds up to that of the whole. Raises UnknownConceptError.
    """
    kept = state.concept(name)
    return attrs.evolve(
        state, concepts=tuple(c if c is kept else attrs.evolve(c, scale=0.0) for c in state)
    )
