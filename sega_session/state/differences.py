"""The difference between two edit states, in words."""

from __future__ import annotations

import attrs

from ..errors import printable
from .masks import Mask
from .values import Concept, EditState

FLAGS = {
    "inverted": ("no longer inverted", "inverted"),
    "enabled": ("disabled", "enabled"),
}
"""The words for a flag that became False and for one that became True."""


def diff(before: EditState, after: EditState) -> str:
    """Describe the changes from one state to another: "beard: scale 5 -> 8; glasses inverted".

    The words are one printable line, as the labels of a history are.
    """
    old = {concept.name: concept for concept in before}
    new = {concept.name: concept for concept in after}
    names = renamed(before, after)
    removed = [name for name in old if name not in new and name not in names]
    added = [name for name in new if name not in old and name not in names.values()]
    words = [f"{name} renamed to {other}" for name, other in names.items()]
    words += [f"{name} removed" for name in removed]
    for name, concept in old.items():
        words += _changes(concept, new[name]) if name in new else []
    words += [f"{name} added" for name in added]
    kept = [concept.name for concept in before if concept.name in new]
    if kept != [concept.name for concept in after if concept.name in old]:
        words.append("order changed")
    for what in ("scale", "beta"):
        one, other = (getattr(state, f"momentum_{what}") for state in (before, after))
        if one != other:
            words.append(f"momentum {what} {one:g} -> {other:g}")
    if before.region != after.region:
        region = after.region
        words.append(
            f"edits confined to {'all' if region is None else f'{region.share:.0%}'} of the image"
        )
    return printable("; ".join(words)) or "no change"


def renamed(before: EditState, after: EditState) -> dict[str, str]:
    """Return the new names, by the old ones, of the concepts whose name alone changed."""
    old, new = ({concept.name for concept in state} for state in (before, after))
    # Looked up by everything but the name: a comparison of all pairs takes a minute for 500.
    added: dict[Concept, list[str]] = {}
    for concept in after:
        if concept.name not in old:
            added.setdefault(attrs.evolve(concept, name="any"), []).append(concept.name)
    found: dict[str, str] = {}
    for concept in before:
        if concept.name not in new and (names := added.get(attrs.evolve(concept, name="any"))):
            found[concept.name] = names.pop(0)
    return found


def _changes(one: Concept, other: Concept) -> list[str]:
    """Describe the changes of a concept, one phrase a field."""
    words = []
    for attribute in attrs.fields(Concept):
        old, new = getattr(one, attribute.name), getattr(other, attribute.name)
        if old == new:
            continue
        if attribute.name == "mask":
            words.append(f"{one.name}: mask {_mask_change(old, new)}")
        elif attribute.name in FLAGS:
            words.append(f"{one.name} {FLAGS[attribute.name][new]}")
        else:
            words.append(f"{one.name}: {attribute.name} {_format(old)} -> {_format(new)}")
    return words


def _mask_change(old: Mask | None, new: Mask | None) -> str:
    if new is None:
        return "removed"
    return f"{'changed' if old else 'added'}, {new.share:.0%} of the image"


def _format(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
