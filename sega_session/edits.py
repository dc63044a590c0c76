"""What a person edits: `Scene`, `Concept` and `EditState`, frozen values, and the pure edits on them.

Everything is validated on construction, so no later code checks again. Every edit is a function
``EditState -> EditState``; a refused edit raises and leaves the state it was given as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

import attrs
from attrs import field, frozen

from .errors import DuplicateConceptError, InvalidValueError, UnknownConceptError

INVERT_HINT = "To push the picture away from a concept, use inverted=True or invert(name)."


def _number(
    what: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    hint: str = "",
) -> Callable[[Any], float]:
    """A converter to a finite float within the bounds; NaN, bool and strings are refused."""
    bounds = [
        f"at least {at_least:g}" if at_least is not None else "",
        f"at most {at_most:g}" if at_most is not None else "",
        f"less than {below:g}" if below is not None else "",
    ]
    allowed = "a finite number" + "".join(f", {bound}" for bound in bounds if bound)

    def convert(value: Any) -> float:
        fits = (
            isinstance(value, Real)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (at_least is None or value >= at_least)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
        )
        if not fits:
            raise InvalidValueError(what, value, allowed, hint)
        return float(value)

    return convert


def _integer(what: str, *, at_least: int, at_most: int | None = None) -> Callable[[Any], int]:
    """A converter to an int within the bounds; 1.0, bool and strings are refused."""
    allowed = f"an integer, at least {at_least}"
    if at_most is not None:
        allowed += f", at most {at_most}"

    def convert(value: Any) -> int:
        fits = (
            isinstance(value, Integral)
            and not isinstance(value, bool)
            and value >= at_least
            and (at_most is None or value <= at_most)
        )
        if not fits:
            raise InvalidValueError(what, value, allowed)
        return int(value)

    return convert


def _text(what: str, *, may_be_empty: bool) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or not (may_be_empty or value.strip()):
            raise InvalidValueError(what, value, "text" if may_be_empty else "text, not empty")
        return value

    return convert


def _flag(what: str) -> Callable[[Any], bool]:
    def convert(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidValueError(what, value, "True or False")
        return value

    return convert


def _seeds(value: Any) -> tuple[int, ...]:
    """One seed or several -> a tuple of ints; torch.Generator takes up to 64 bits."""
    check = _integer("seed", at_least=0, at_most=2**64 - 1)
    if isinstance(value, Integral):
        return (check(value),)
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise InvalidValueError("seed", value, "an integer, or several of them")
    seeds = tuple(check(seed) for seed in value)
    if not seeds:
        raise InvalidValueError("seed", value, "an integer, or at least one in a list")
    return seeds


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

    prompt: str = field(converter=_text("prompt", may_be_empty=True))
    negative_prompt: str = field(default="", converter=_text("negative_prompt", may_be_empty=True))
    seeds: tuple[int, ...] = field(default=(0,), converter=_seeds)
    num_inference_steps: int = field(
        default=50, converter=_integer("num_inference_steps", at_least=1)
    )
    guidance_scale: float = field(default=7.5, converter=_number("guidance_scale", at_least=0))
    height: int = field(converter=_integer("height", at_least=1))
    width: int = field(converter=_integer("width", at_least=1))
    eta: float = field(default=0.0, converter=_number("eta", at_least=0, at_most=1))


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

    name: str = field(converter=_text("name", may_be_empty=False))
    prompt: str = field(converter=_text("prompt", may_be_empty=True))
    embedding: str | None = None
    scale: float = field(default=5.0, converter=_number("scale", at_least=0, hint=INVERT_HINT))
    threshold: float = field(default=0.9, converter=_number("threshold", at_least=0, below=1))
    warmup: int = field(default=10, converter=_integer("warmup", at_least=0))
    cooldown: int | None = field(
        default=None, converter=attrs.converters.optional(_integer("cooldown", at_least=0))
    )
    weight: float = field(default=1.0, converter=_number("weight", at_least=0, hint=INVERT_HINT))
    inverted: bool = field(default=False, converter=_flag("inverted"))
    enabled: bool = field(default=True, converter=_flag("enabled"))

    def __attrs_post_init__(self) -> None:
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
        default=0.1, converter=_number("momentum scale", at_least=0, at_most=1)
    )
    momentum_beta: float = field(
        default=0.4,
        converter=_number(
            "momentum beta",
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


def update(state: EditState, name: str, **fields: Any) -> EditState:
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
