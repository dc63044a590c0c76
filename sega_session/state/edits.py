"""The edits of a session as pure functions from one `EditState` to the next.

An edit that is refused raises an error; the state it was given never changes.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..errors import DuplicateConceptError, InvalidValueError, suggest
from .masks import Mask
from .values import Concept, EditState


def add(state: EditState, concept: Concept) -> EditState:
    """Append a concept. Raises DuplicateConceptError if another has its name."""
    if concept.name in state:
        raise DuplicateConceptError(concept.name)
    return attrs.evolve(state, concepts=(*state.concepts, concept))


def remove(state: EditState, name: str) -> EditState:
    """Remove a concept. Raises UnknownConceptError."""
    concept = state.concept(name)
    return attrs.evolve(state, concepts=tuple(c for c in state if c is not concept))


def update(state: EditState, name: str, /, **fields: Any) -> EditState:
    """Change fields of a concept, which keeps its place in the order.

    Args:
        state: the state to start from.
        name: the name of the concept.
        fields: new values of any fields of `Concept` except ``embedding``.

    Raises:
        UnknownConceptError: no concept has this name.
        DuplicateConceptError: ``fields`` renames it to the name of another concept.
        InvalidValueError: a field is unknown, or a value outside its range.
    """
    concept = state.concept(name)
    known = [f.name for f in attrs.fields(Concept) if f.name != "embedding"]
    for unknown in fields.keys() - known:
        raise InvalidValueError(
            "field", unknown, f"one of {', '.join(known)}", suggest(unknown, known)
        )
    if "prompt" in fields and concept.embedding is not None:
        raise InvalidValueError(
            "prompt",
            fields["prompt"],
            f"none, since {name!r} is defined by embeddings",
            "Remove the concept and add one by its prompt.",
        )
    changed = attrs.evolve(concept, **fields)
    if changed.name != name and changed.name in state:
        raise DuplicateConceptError(changed.name)
    return attrs.evolve(state, concepts=tuple(changed if c is concept else c for c in state))


def momentum(
    state: EditState, *, scale: float | None = None, beta: float | None = None
) -> EditState:
    """Set momentum's scale s_m, its decay β_m, or both; None keeps the current value."""
    return attrs.evolve(
        state,
        momentum_scale=state.momentum_scale if scale is None else scale,
        momentum_beta=state.momentum_beta if beta is None else beta,
    )


def protect(state: EditState, region: Mask | None) -> EditState:
    """Set the region that edits may change; None: the whole image."""
    return attrs.evolve(state, region=region)


def only(state: EditState, name: str) -> EditState:
    """Set the scale of all concepts but one to 0.

    The others still count where the weights of concepts are normalised, so the guidance of such
    states, one for each concept, adds up to that of the whole. Raises UnknownConceptError.
    """
    kept = state.concept(name)
    return attrs.evolve(
        state, concepts=tuple(c if c is kept else attrs.evolve(c, scale=0.0) for c in state)
    )
