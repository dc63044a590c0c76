"""Scripts at work: run on a session, and made from a session's history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from attrs import frozen

from ..errors import ScriptError, SegaSessionError
from ..state import Concept, EditState, Entry, History, Include, Mode, Scene, diff, edits, renamed
from . import operations as ops
from .script import Script, ScriptScene, output_path

if TYPE_CHECKING:
    from ..render import Render


class Session(Protocol):
    """What a script needs of an `EditSession`; edits are called by their names."""

    @property
    def history(self) -> History:
        """Every state so far."""

    def render(self, mode: str | Mode) -> Render:
        """Draw the current state."""

    def save(self, path: Path, *, include: Include) -> object:
        """Write the session's file."""

    def transaction(self, label: str) -> AbstractContextManager[None]:
        """Make edits one entry."""

    def update(self, name: str, /, **fields: Any) -> None:
        """Change fields of a concept."""

    def checkout(self, target: int | str) -> None:
        """Go to an entry."""


@frozen(eq=False)
class Ran:
    """An operation that was run.

    Attributes:
        index: its number in the script.
        what: what it did, in words.
        seconds: how long it took.
        render: the picture, where it drew one.
        output: the file, where it wrote one.
    """

    index: int
    what: str
    seconds: float
    render: Render | None = None
    output: Path | None = None


def run(script: Script, session: Session, folder: Path) -> Iterator[Ran]:
    """Run a script's operations one by one on a session of its scene.

    Args:
        folder: where outputs go; they cannot lead out of it.

    Raises:
        ScriptError: an operation failed; the session is as the operations before left it.
    """
    drawn: Render | None = None
    for index, operation in enumerate(script.operations):
        start = time.perf_counter()
        render = output = None
        before = session.history
        try:
            match operation:
                case ops.Render():
                    render = drawn = session.render(operation.mode)
                    if operation.output is not None:
                        output = output_path(folder, operation.output)
                        render.save(output)
                case ops.Save():
                    output = output_path(folder, operation.output)
                    session.save(output, include=operation.include)
                case ops.Expect():
                    _expect(operation, drawn)
                case _:
                    _move(session, operation)
        except ScriptError as error:
            raise ScriptError(str(error), index) from error
        except SegaSessionError as error:
            raise ScriptError(f"{operation.op}: {error}", index) from error
        what = _words(operation, before, session.history)
        yield Ran(index, what, time.perf_counter() - start, render, output)


def _move(session: Session, operation: ops.Operation) -> None:
    """Make an edit, or a move in the history."""
    match operation:
        case ops.Transaction():
            with session.transaction(operation.label):
                for edit in operation.operations:
                    _move(session, edit)
        case ops.Update():
            session.update(operation.name, **operation.fields.given())
        case ops.Checkout():
            session.checkout(operation.target)
        case _:
            # The others are called like the session's methods, and their fields like the
            # arguments.
            getattr(session, operation.op)(**attrs.asdict(operation))


def _expect(expected: ops.Expect, drawn: Render | None) -> None:
    evaluations = 0 if drawn is None else drawn.evaluations
    if evaluations > expected.at_most:
        raise ScriptError(
            f"the render before took {evaluations} evaluations; allowed: at most "
            f"{expected.at_most}. Were the operations before changed?"
        )


def _words(operation: ops.Operation, before: History, after: History) -> str:
    """What an operation did."""
    match operation:
        case ops.Render():
            return f"render {operation.mode}"
        case ops.Save():
            return f"save {operation.include}"
        case ops.Expect():
            return f"expect at most {operation.at_most} evaluations"
        case ops.Branch():
            return f"branch {operation.name}"
        case ops.Undo() | ops.Redo() | ops.Checkout():
            return f"{operation.op}: {after.entry.label}"
    return after.entry.label if len(after) > len(before) else "no change"


def script_of(scene: Scene, history: History) -> Script:
    """A script that makes this history: the same entries, ids, labels, branches and place.

    Raises:
        ScriptError: a concept is defined by embeddings, which a script does not hold.
    """
    made: list[ops.Operation] = []
    at = 0
    for entry in history.entries[1:]:
        parent = history.entries[entry.parent or 0]
        if parent.id != at:
            made.append(ops.Checkout(target=parent.id))
        made.append(_operation(parent.state, entry))
        at = entry.id
    for name, there in history.branches.items():
        made += [ops.Checkout(target=there), ops.Branch(name=name)]
    # Where redo goes: the deepest forks first, since a visit decides for all entries above it.
    children = [child for child in history.visited if child is not None]
    depths = {child: len(history.path(child)) for child in children}
    made += [ops.Checkout(target=c) for c in sorted(children, key=depths.__getitem__, reverse=True)]
    if history.branch is None:
        made.append(ops.Checkout(target=history.current))
    else:
        # The current entry is the branch's last one, or one on the way to it.
        made.append(ops.Checkout(target=history.branch))
        way = history.path(history.branches[history.branch])
        made += [ops.Undo()] * (len(way) - len(history.path(history.current)))
    return Script(ScriptScene(**attrs.asdict(scene)), tuple(made))


def _operation(before: EditState, entry: Entry) -> ops.Operation:
    """What leads to an entry: an edit, or a transaction of several."""
    found = tuple(_edits(before, entry.state))
    if len(found) == 1 and entry.label == diff(before, entry.state):
        return found[0]
    return ops.Transaction(label=entry.label, operations=found)


def _edits(before: EditState, after: EditState) -> Iterator[ops.Edit]:
    """The edits that lead from one state to another."""
    state = before
    for old, new in renamed(before, after).items():
        yield ops.Update(name=old, fields=ops.Fields(name=new))
        state = edits.update(state, old, name=new)
    target = [concept.name for concept in after]
    kept = [concept.name for concept in state if concept.name in target]
    # What stands after the first one that is out of its place is added again.
    in_place = takewhile(lambda pair: pair[0] == pair[1], zip(kept, target, strict=False))
    stay = len(list(in_place))
    for concept in state:
        if concept.name not in kept[:stay]:
            yield ops.Remove(name=concept.name)
        elif concept != after.concept(concept.name):
            yield _change(concept, after.concept(concept.name))
    for concept in after.concepts[stay:]:
        yield from _addition(concept)
    scale, beta = after.momentum_scale, after.momentum_beta
    if (scale, beta) != (before.momentum_scale, before.momentum_beta):
        yield ops.Momentum(
            scale=None if scale == before.momentum_scale else scale,
            beta=None if beta == before.momentum_beta else beta,
        )


def _change(old: Concept, new: Concept) -> ops.Edit:
    """The edit that changes a concept, the plainest there is."""
    name = old.name
    given = {
        field.name: getattr(new, field.name)
        for field in attrs.fields(Concept)
        if getattr(new, field.name) != getattr(old, field.name)
    }
    if given.keys() == {"inverted"}:
        return ops.Invert(name=name)
    if given.keys() == {"enabled"}:
        return ops.Enable(name=name) if new.enabled else ops.Disable(name=name)
    if given.keys() <= {"scale", "weight"}:
        return ops.Reweight(name=name, **given)
    return ops.Update(name=name, fields=ops.Fields(**given))


def _addition(concept: Concept) -> Iterator[ops.Edit]:
    if concept.embedding is not None:
        raise ScriptError(
            f"the concept {concept.name!r} is defined by embeddings, which a script does not hold. "
            "Save the session's file instead."
        )
    fields: dict[str, Any] = attrs.asdict(concept)
    del fields["embedding"], fields["enabled"]
    name = None if concept.name == concept.prompt else concept.name
    yield ops.Add(**{**fields, "name": name})
    if not concept.enabled:
        yield ops.Disable(name=concept.name)
