"""The values that a user edits: `Scene`, `Concept` and `EditState`.

All are frozen and validated on construction, so no later code checks them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import attrs
from attrs import field, frozen

from ..errors import InvalidValueError, UnknownConceptError
from .fields import (
    as_bool,
    as_float,
    as_int,
    check_flag,
    check_integer,
    check_number,
    check_text,
    checked_by,
)
from .masks import Mask
from .notebook import call_text, html_table
from .pixels import MAX_SIDE

BatchPlan = Literal["together", "canonical"]
"""The batching of the conditions of a model call.

"together" evaluates all of them in one batch; "canonical" evaluates each in a batch of its own, so
that an image has the same bits whatever was rendered before it.
"""

Include = Literal["state", "base", "all"]
"""Which recorded renders a session file holds.

"state": none; "base": those of the unedited and the current state; "all": all of the history.
"""

MAX_STEPS = 10_000
"""The most ``num_inference_steps`` of a scene."""

MAX_PIXELS = 2**28
"""The most pixels of all images of a scene: 1,024 images of 512 x 512."""

SHARE_HINT = "It is a share, not a percentage: 0.95 keeps the strongest 5%."
INVERT_HINT = "To push the image away from a concept, use inverted=True or invert(name)."


def _as_seeds(value: Any) -> Any:
    """Convert one seed or several, arrays included, to a tuple; the validator checks each."""
    value = value.tolist() if hasattr(value, "tolist") else value
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(map(as_int, value)) if several else (as_int(value),)


def _check_seeds(_: object, __: object, value: tuple[Any, ...]) -> None:
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64:
            raise InvalidValueError("seed", seed, "an integer, at least 0, less than 2**64")
    if not value:
        raise InvalidValueError("seed", value, "an integer, or at least one in a list")


@frozen(kw_only=True, repr=False)
class Scene:
    """The settings that are fixed for a session, and make the image before any edit.

    Attributes:
        prompt: the text that the image shows.
        negative_prompt: replaces the empty text of the unconditional prediction. SEGA measures
            every concept against that prediction, so a negative prompt changes what edits do.
        seeds: one seed for each image, 0 <= seed < 2**64; several make a batch that is edited
            together.
        prompt_embedding, negative_embedding: the digests of the pre-computed embeddings that take
            the place of the prompt and of the negative prompt; None if the words do.
        num_inference_steps: the scheduler's steps, 1 to `MAX_STEPS`. Some schedulers call the
            model more often.
        guidance_scale: the weight of classifier-free guidance, >= 0; values up to 1 (Z-Image: 0)
            turn it off, as in diffusers. Guidance-distilled models take it as an input.
        guidance_rescale: φ, the share to which the guided prediction is rescaled to the standard
            deviation of the text prediction, 0 to 1 (Lin et al., arXiv 2305.08891, Eq. 16).
        clip_skip: the last layers of CLIP that are left out, 1 or more; None: none beyond what
            the model was trained with.
        height, width: the image's size in pixels, 1 to `MAX_SIDE`. All images together have at
            most `MAX_PIXELS`.
        eta: the noise of the DDIM scheduler, 0 to 1; other schedulers ignore it, as in diffusers.
        photograph: the digest of the photographs that the images are made from; None: they are made
            from noise.
        skip: the share of the model calls, from the noise end, that edits leave as they are,
            0 <= skip < 1; 0 unless there is a photograph. The larger it is, the less of the
            composition an edit can change.

    Raises:
        InvalidValueError: a value has the wrong type or is outside its range.
    """

    prompt: str = field(validator=checked_by(check_text, may_be_empty=True))
    negative_prompt: str = field(default="", validator=checked_by(check_text, may_be_empty=True))
    prompt_embedding: str | None = None
    negative_embedding: str | None = None
    seeds: tuple[int, ...] = field(default=(0,), converter=_as_seeds, validator=_check_seeds)
    num_inference_steps: int = field(
        default=50,
        converter=as_int,
        validator=checked_by(check_integer, at_least=1, at_most=MAX_STEPS),
    )
    guidance_scale: float = field(
        default=7.5, converter=as_float, validator=checked_by(check_number, at_least=0)
    )
    guidance_rescale: float = field(
        default=0.0, converter=as_float, validator=checked_by(check_number, at_least=0, at_most=1)
    )
    clip_skip: int | None = field(
        default=None,
        converter=as_int,
        validator=attrs.validators.optional(checked_by(check_integer, at_least=1)),
    )
    height: int = field(
        converter=as_int, validator=checked_by(check_integer, at_least=1, at_most=MAX_SIDE)
    )
    width: int = field(
        converter=as_int, validator=checked_by(check_integer, at_least=1, at_most=MAX_SIDE)
    )
    eta: float = field(
        default=0.0, converter=as_float, validator=checked_by(check_number, at_least=0, at_most=1)
    )
    photograph: str | None = None
    skip: float = field(
        default=0.0, converter=as_float, validator=checked_by(check_number, at_least=0, below=1)
    )

    def __repr__(self) -> str:
        return call_text(self)

    def __attrs_post_init__(self) -> None:
        if self.skip and self.photograph is None:
            raise InvalidValueError(
                "skip",
                self.skip,
                "0 where the images are made from noise",
                "EditSession.from_photo(...) begins from a photograph.",
            )
        pixels = self.height * self.width
        if pixels * len(self.seeds) > MAX_PIXELS:
            raise InvalidValueError(
                "the number of seeds",
                len(self.seeds),
                f"at most {MAX_PIXELS // pixels} of {self.height} x {self.width} pixels",
                "Lower height and width, or use several sessions.",
            )


def _check_mask(what: str, value: object) -> None:
    if not isinstance(value, Mask):
        raise InvalidValueError(
            what,
            value,
            "a Mask, or None",
            "A session makes one: add(mask=), update(mask=), protect().",
        )


@frozen(kw_only=True, repr=False)
class Concept:
    """A semantic direction and how strongly it steers, with the meanings of diffusers.

    Attributes:
        name: the name that edits refer to.
        prompt: the concept in words, a short phrase: "glasses", "a beard".
        embedding: the digest of the pre-computed embeddings that define the concept; None if its
            prompt does.
        opposite: the words that the concept is measured against: the direction leads from them to
            the concept, from "young" to "old". None: it is measured against the unconditional
            prediction, as in SEGA.
        mask: the region that the concept is confined to; None: the whole image.
        scale: s_e, the strength of the direction, >= 0 (diffusers: edit_guidance_scale).
        threshold: λ, the share of latent entries that the concept leaves alone, per channel and
            inside its mask; 0 <= λ < 1, 0.95 keeps the strongest 5% (diffusers: edit_threshold).
        warmup: the first model call, counted from 0, at which the concept is applied; later
            starts change less of the composition (diffusers: edit_warmup_steps).
        cooldown: the first model call at which it is no longer applied; None: never
            (diffusers: edit_cooldown_steps).
        weight: g_i, the share among several concepts, >= 0 (diffusers: edit_weights).
        inverted: whether to push away from the concept (diffusers: reverse_editing_direction).
        enabled: False mutes the concept as if it were removed, and keeps its settings.

    Raises:
        InvalidValueError: a value has the wrong type or is outside its range.
    """

    name: str = field(validator=checked_by(check_text, may_be_empty=False))
    prompt: str = field(validator=checked_by(check_text, may_be_empty=True))
    embedding: str | None = None
    opposite: str | None = field(
        default=None,
        validator=attrs.validators.optional(checked_by(check_text, may_be_empty=False)),
    )
    mask: Mask | None = field(
        default=None, validator=attrs.validators.optional(checked_by(_check_mask))
    )
    scale: float = field(
        default=5.0,
        converter=as_float,
        validator=checked_by(check_number, at_least=0, hint=INVERT_HINT),
    )
    threshold: float = field(
        default=0.9,
        converter=as_float,
        validator=checked_by(check_number, at_least=0, below=1, hint=SHARE_HINT),
    )
    warmup: int = field(
        default=10, converter=as_int, validator=checked_by(check_integer, at_least=0)
    )
    cooldown: int | None = field(
        default=None,
        converter=as_int,
        validator=attrs.validators.optional(checked_by(check_integer, at_least=0)),
    )
    weight: float = field(
        default=1.0,
        converter=as_float,
        validator=checked_by(check_number, at_least=0, hint=INVERT_HINT),
    )
    inverted: bool = field(default=False, converter=as_bool, validator=checked_by(check_flag))
    enabled: bool = field(default=True, converter=as_bool, validator=checked_by(check_flag))

    def __repr__(self) -> str:
        return call_text(self)

    def _repr_html_(self) -> str:
        return html_table(COLUMNS, [_cells(self)])

    def __attrs_post_init__(self) -> None:
        if self.embedding is None and not self.prompt.strip():
            raise InvalidValueError("prompt", self.prompt, "text, not empty")
        if self.embedding is None and self.opposite == self.prompt:
            raise InvalidValueError(
                "opposite",
                self.opposite,
                "other words than the prompt",
                "A direction from words to themselves is zero.",
            )
        if self.cooldown is not None and self.cooldown < self.warmup:
            raise InvalidValueError(
                "cooldown",
                self.cooldown,
                f"None, or at least warmup ({self.warmup})",
                "Lower warmup, or raise cooldown.",
            )


@frozen(kw_only=True, repr=False)
class EditState:
    """The concepts of one point in a session, in the order they were added, and momentum.

    Iterating over a state yields its concepts, and ``"glasses" in state`` tests for a name.

    Attributes:
        concepts: the concepts; no two have the same name.
        momentum_scale: s_m, the share of the momentum that is added to the guidance; 0 to 1, 0
            turns momentum off (diffusers: edit_momentum_scale).
        momentum_beta: β_m, the share of the momentum that is kept from call to call;
            0 <= β_m < 1 (diffusers: edit_mom_beta).
        region: what edits may change; outside it, the latents are those of the unedited render.
            None: the whole image.
    """

    concepts: tuple[Concept, ...] = ()
    momentum_scale: float = field(
        default=0.1, converter=as_float, validator=checked_by(check_number, at_least=0, at_most=1)
    )
    momentum_beta: float = field(
        default=0.4,
        converter=as_float,
        validator=checked_by(
            check_number,
            at_least=0,
            below=1,
            hint="At 1 the momentum would stay zero: to turn it off, set its scale to 0.",
        ),
    )

    region: Mask | None = field(
        default=None, validator=attrs.validators.optional(checked_by(_check_mask))
    )

    def __repr__(self) -> str:
        return call_text(self)

    def _repr_html_(self) -> str:
        momentum = f"momentum {self.momentum_scale:g}, beta {self.momentum_beta:g}"
        region = "" if self.region is None else f"; edits confined to {self.region.share:.0%}"
        if not self.concepts:
            return f"<p>no concepts; {momentum}{region}</p>"
        return html_table(COLUMNS, map(_cells, self), momentum + region)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self.concepts)

    def __contains__(self, name: object) -> bool:
        return any(concept.name == name for concept in self.concepts)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """The masks that the state names: its region's, then its concepts'."""
        found = (self.region, *(concept.mask for concept in self))
        return tuple(mask for mask in found if mask is not None)

    def concept(self, name: str) -> Concept:
        """Return the concept with this name.

        Raises:
            UnknownConceptError: no concept has this name.
        """
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise UnknownConceptError(name, (concept.name for concept in self.concepts))


COLUMNS = ("concept", "prompt", "against", "scale", "threshold", "calls", "weight", "mask", "")
"""The columns of a table of concepts."""


def _cells(concept: Concept) -> tuple[str, ...]:
    """Return a concept's row of such a table; what is usual is left empty."""
    prompt = "embeddings" if concept.embedding is not None else concept.prompt
    end = concept.cooldown
    calls = f"from {concept.warmup}" if end is None else f"{concept.warmup} to {end - 1}"
    return (
        concept.name,
        prompt if prompt != concept.name else "",
        concept.opposite or "",
        f"{concept.scale:g}",
        f"{concept.threshold:g}",
        calls if end != concept.warmup else "none",
        f"{concept.weight:g}" if concept.weight != 1 else "",
        "" if concept.mask is None else f"{concept.mask.share:.0%} of the image",
        ", ".join(["inverted"] * concept.inverted + ["muted"] * (not concept.enabled)),
    )
