"""Make a script from a session's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from ..errors import ScriptError
from ..saving import image_paths
from ..state import (
    Concept,
    EditState,
    Entry,
    History,
    Mask,
    Pixels,
    Scene,
    data_url,
    diff,
    edits,
    renamed,
)
from . import operations as ops
from .script import Script, ScriptPhotograph, ScriptScene


def script_from_history(
    scene: Scene,
    history: History,
    masks: Mapping[str, Pixels] = MappingProxyType({}),
    output: str | None = None,
) -> Script:
    """Return a script that makes a history again: entries, ids, labels, branches and position.

    It does not hold the photographs of a session, and names files that do; see `photograph_files`.

    Args:
        scene: the scene of the history's session.
        history: the history.
        masks: the pixels of the masks that its concepts name, by digest.
        output: the PNG file that the script renders the current state to at its end; None: it
            renders nothing.

    Raises:
        ScriptError: a concept or a prompt is defined by embeddings, or has a mask for each image of
            a batch, which a script does not hold.
    """
    settings = attrs.asdict(scene)
    digest, skip = settings.pop("photograph"), settings.pop("skip")
    if digest is not None:
        files = photograph_files(len(scene.seeds))
        settings["photograph"] = ScriptPhotograph(files=files, digest=digest, skip=skip)
    for words, embedding in (
        ("prompt", settings.pop("prompt_embedding")),
        ("negative prompt", settings.pop("negative_embedding")),
    ):
        _check_words(f"the {words}", embedding)
    steps = [*_entries(history, masks), *_branches(history), *_visits(history), *_position(history)]
    steps += [] if output is None else [ops.Render(output=output)]
    return Script(ScriptScene(**settings), tuple(steps))


def photograph_files(images: int) -> tuple[str, ...]:
    """Return the files that the script of a session with photographs names, beside its own."""
    return tuple(str(path) for path in image_paths(Path("photograph.png"), images))


def _entries(history: History, masks: Mapping[str, Pixels]) -> Iterator[ops.Operation]:
    """Yield the operations that add the entries, in the order of creation."""
    current = 0
    for entry in history.entries[1:]:
        parent = history.entries[entry.parent or 0]
        if parent.id != current:
            yield ops.Checkout(target=parent.id)
        yield _operation(parent.state, entry, masks)
        current = entry.id


def _branches(history: History) -> Iterator[ops.Operation]:
    """Yield the operations that start the branches at their ends."""
    for name, end in history.branches.items():
        yield ops.Checkout(target=end)
        yield ops.Branch(name=name)


def _visits(history: History) -> Iterator[ops.Operation]:
    """Yield the visits that decide where redo goes.

    The deepest come first, since a visit decides for all entries above it.
    """
    children = [child for child in history.visited if child is not None]
    depths = {child: len(history.path(child)) for child in children}
    for child in sorted(children, key=depths.__getitem__, reverse=True):
        yield ops.Checkout(target=child)


def _position(history: History) -> Iterator[ops.Operation]:
    """Yield the operations that go to the current entry."""
    if history.branch is None:
        yield ops.Checkout(target=history.current)
        return
    # The current entry is at the branch's end, or on the path to it.
    yield ops.Checkout(target=history.branch)
    path = history.path(history.branches[history.branch])
    for _ in range(len(path) - len(history.path(history.current))):
        yield ops.Undo()


def _operation(before: EditState, entry: Entry, masks: Mapping[str, Pixels]) -> ops.Operation:
    """Return the operation that leads to an entry: an edit, or a transaction of several."""
    found = tuple(_edits(before, entry.state, masks))
    if len(found) == 1 and entry.label == diff(before, entry.state):
        return found[0]
    return ops.Transaction(label=entry.label, operations=found)


def _edits(before: EditState, after: EditState, masks: Mapping[str, Pixels]) -> Iterator[ops.Edit]:
    """Yield the edits that lead from one state to another."""
    state = before
    for old, new in renamed(before, after).items():
        yield ops.Update(name=old, fields=ops.Fields(name=new))
        state = edits.update(state, old, name=new)
    target = [concept.name for concept in after]
    kept = [concept.name for concept in state if concept.name in target]
    # From the first concept that is out of its place on, concepts are removed and added again.
    in_place = takewhile(lambda pair: pair[0] == pair[1], zip(kept, target, strict=False))
    stay = len(list(in_place))
    for concept in state:
        if concept.name not in kept[:stay]:
            yield ops.Remove(name=concept.name)
        elif concept != after.concept(concept.name):
            yield _change(concept, after.concept(concept.name), masks)
    for concept in after.concepts[stay:]:
        yield from _addition(concept, masks)
    scale, beta = after.momentum_scale, after.momentum_beta
    if (scale, beta) != (before.momentum_scale, before.momentum_beta):
        yield ops.Momentum(
            scale=None if scale == before.momentum_scale else scale,
            beta=None if beta == before.momentum_beta else beta,
        )
    if after.region != before.region:
        yield ops.Protect(mask=_mask_text("its edits", after.region, masks))


def _change(old: Concept, new: Concept, masks: Mapping[str, Pixels]) -> ops.Edit:
    """Return the simplest edit that changes a concept. Raises ScriptError for embeddings."""
    _check_words(f"the concept {new.name!r}", new.embedding)
    name = old.name
    given = {
        field.name: getattr(new, field.name)
        for field in attrs.fields(Concept)
        if getattr(new, field.name) != getattr(old, field.name)
    }
    if "mask" in given:
        given["mask"] = _mask_text(repr(new.name), new.mask, masks)
    if given.keys() == {"inverted"}:
        return ops.Invert(name=name)
    if given.keys() == {"enabled"}:
        return ops.Enable(name=name) if new.enabled else ops.Disable(name=name)
    if given.keys() <= {"scale", "weight"}:
        return ops.Reweight(name=name, **given)
    return ops.Update(name=name, fields=ops.Fields(**given))


def _addition(concept: Concept, masks: Mapping[str, Pixels]) -> Iterator[ops.Edit]:
    """Yield the edits that add a concept. Raises ScriptError for one defined by embeddings."""
    _check_words(f"the concept {concept.name!r}", concept.embedding)
    fields: dict[str, Any] = attrs.asdict(concept, recurse=False)
    del fields["embedding"], fields["enabled"]
    fields["mask"] = _mask_text(repr(concept.name), concept.mask, masks)
    name = None if concept.name == concept.prompt else concept.name
    yield ops.Add(**{**fields, "name": name})
    if not concept.enabled:
        yield ops.Disable(name=concept.name)


def _mask_text(what: str, mask: Mask | None, masks: Mapping[str, Pixels]) -> str | None:
    """Return a mask as text. Raises ScriptError if it is not known, or of a batch."""
    if mask is None:
        return None
    pixels = masks.get(mask.digest)
    if pixels is None or len(pixels) > 1:
        reason = "is not in the file" if pixels is None else "has a picture for each image"
        raise ScriptError(
            f"the mask of {what} {reason}, and a script holds one picture. Save the "
            "session's file instead."
        )
    return data_url(pixels)


def _check_words(what: str, embedding: str | None) -> None:
    """Raise ScriptError if something is defined by embeddings."""
    if embedding is not None:
        raise ScriptError(
            f"{what} is defined by embeddings, which a script does not hold. "
            "Save the session's file instead."
        )
