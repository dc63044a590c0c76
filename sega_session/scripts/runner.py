"""Run a script's operations on a session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from attrs import frozen

from ..errors import ScriptError, SegaSessionError
from ..state import History, Include, Mode
from . import operations as ops
from .outputs import output_path
from .script import Script

if TYPE_CHECKING:
    from ..render import Render


class Session(Protocol):
    """The methods of `EditSession` that scripts use; other edits are called by their names."""

    @property
    def history(self) -> History:
        """The history so far."""

    def render(self, mode: str | Mode) -> Render:
        """Render the current state."""

    def save(self, path: Path, *, include: Include) -> object:
        """Write the session's file."""

    def transaction(self, label: str) -> AbstractContextManager[None]:
        """Make edits as one entry of the history."""

    def update(self, name: str, /, **fields: Any) -> None:
        """Change fields of a concept."""

    def checkout(self, target: int | str) -> None:
        """Go to an entry of the history."""


@frozen(eq=False)
class OperationResult:
    """The result of one operation that was run.

    Attributes:
        index: the number of the operation in the script, counted from 0.
        description: the change that it made, in words.
        seconds: the time that it took.
        render: the render, if the operation made one.
        output: the file, if the operation wrote one.
    """

    index: int
    description: str
    seconds: float
    render: Render | None = None
    output: Path | None = None


def run_script(script: Script, session: Session, folder: Path) -> Iterator[OperationResult]:
    """Run a script's operations one by one, and yield the result of each.

    Args:
        script: the script.
        session: a new session of the script's scene.
        folder: the folder for outputs; they cannot lead out of it.

    Raises:
        ScriptError: an operation failed; the session is as the operations before left it.
    """
    last: Render | None = None
    for index, operation in enumerate(script.operations):
        start = time.perf_counter()
        render = output = None
        before = session.history
        try:
            match operation:
                case ops.Render():
                    render = last = session.render(operation.mode)
                    if operation.output is not None:
                        output = output_path(folder, operation.output)
                        render.save(output)
                case ops.Save():
                    output = output_path(folder, operation.output)
                    session.save(output, include=operation.include)
                case ops.Expect():
                    _check_evaluations(operation, last)
                case _:
                    _apply(session, operation)
        except ScriptError as error:
            raise ScriptError(str(error), index) from error
        except SegaSessionError as error:
            raise ScriptError(f"{operation.op}: {error}", index) from error
        seconds = time.perf_counter() - start
        description = _describe(operation, before, session.history)
        yield OperationResult(index, description, seconds, render, output)


def _apply(session: Session, operation: ops.Operation) -> None:
    """Make an edit, or move in the history."""
    match operation:
        case ops.Transaction():
            with session.transaction(operation.label):
                for edit in operation.operations:
                    _apply(session, edit)
        case ops.Update():
            session.update(operation.name, **operation.fields.given())
        case ops.Checkout():
            session.checkout(operation.target)
        case _:
            # The others have the names of the session's methods, and their fields the names of
            # the arguments.
            getattr(session, operation.op)(**attrs.asdict(operation))


def _check_evaluations(expected: ops.Expect, render: Render | None) -> None:
    evaluations = 0 if render is None else render.evaluations
    if evaluations > expected.at_most:
        raise ScriptError(
            f"the render before took {evaluations} evaluations; allowed: at most "
            f"{expected.at_most}. Were the operations before changed?"
        )


def _describe(operation: ops.Operation, before: History, after: History) -> str:
    """Describe the change that an operation made."""
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
