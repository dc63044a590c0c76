"""Run a script's operations on a session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from attrs import frozen

from ..errors import ScriptError, SegaSessionError
from ..state import MASK_PREFIX, History, Include, Mode, Scene
from . import operations as ops
from .limits import DEFAULT_LIMITS, Limits
from .outputs import check_render_output, check_save_output, path_inside
from .script import Script

if TYPE_CHECKING:
    from ..render import Render


class Session(Protocol):
    """The methods of `EditSession` that scripts use; other edits are called by their names."""

    @property
    def scene(self) -> Scene:
        """The prompt, seeds and settings."""

    @property
    def history(self) -> History:
        """The history so far."""

    def plan(self, mode: str | Mode) -> int:
        """Count the evaluations that `render` would make now, or more."""

    def render(self, mode: str | Mode, *, keep_outside: bool) -> Render:
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
        outputs: the files that the operation wrote.
    """

    index: int
    description: str
    seconds: float
    render: Render | None = None
    outputs: tuple[Path, ...] = ()


def run_script(
    script: Script,
    session: Session,
    folder: Path,
    limits: Limits = DEFAULT_LIMITS,
    *,
    inputs: Path | None = None,
) -> Iterator[OperationResult]:
    """Run a script's operations one by one, and yield the result of each.

    The limits of operations, pixels and seeds, and the paths of all outputs, are checked before the
    first operation; evaluations are counted before each render.

    Args:
        script: the script.
        session: a new session of the script's scene.
        folder: the folder for outputs; they cannot lead out of it.
        limits: what the script may ask for.
        inputs: the folder that masks are read from; they cannot lead out of it. None: ``folder``.

    Raises:
        ScriptError: the script asks for more than the limits, or an operation failed; the session
            is as the operations before left it.
    """
    limits.check("operations", script.size)
    limits.check_scene(session.scene)
    images = len(session.scene.seeds)
    for index, operation in enumerate(script.operations):
        with _located(index, operation):
            _check_output(operation, folder, images)
    last: Render | None = None
    evaluations = 0
    for index, operation in enumerate(script.operations):
        start = time.perf_counter()
        render: Render | None = None
        outputs: tuple[Path, ...] = ()
        before = session.history
        with _located(index, operation):
            match operation:
                case ops.Render():
                    limits.check("evaluations", evaluations + session.plan(operation.mode))
                    render = last = session.render(
                        operation.mode, keep_outside=operation.keep_outside
                    )
                    evaluations += render.evaluations
                    if operation.output is not None:
                        # Checked again, in case that a link was made meanwhile.
                        target = check_render_output(folder, operation.output, images)
                        outputs = render.save(target)
                case ops.Save():
                    target = check_save_output(folder, operation.output)
                    session.save(target, include=operation.include)
                    outputs = (target,)
                case ops.Expect():
                    _check_evaluations(operation, last)
                case _:
                    _apply(session, operation, folder if inputs is None else inputs)
        seconds = time.perf_counter() - start
        description = _describe(operation, before, session.history)
        yield OperationResult(index, description, seconds, render, outputs)


@contextmanager
def _located(index: int, operation: ops.Operation) -> Iterator[None]:
    """Raise errors as ScriptError with the number of the operation."""
    try:
        yield
    except ScriptError as error:
        raise ScriptError(error.message, index) from error
    except SegaSessionError as error:
        raise ScriptError(f"{operation.op}: {error}", index) from error


def _check_output(operation: ops.Operation, folder: Path, images: int) -> None:
    """Raise ScriptError if an operation must not write where it would."""
    match operation:
        case ops.Render(output=str(name)):
            check_render_output(folder, name, images)
        case ops.Save(output=name):
            check_save_output(folder, name)


def _apply(session: Session, operation: ops.Operation, folder: Path) -> None:
    """Make an edit, or move in the history.

    Args:
        session: the session.
        operation: the operation.
        folder: the one that masks are read from.
    """
    match operation:
        case ops.Transaction():
            with session.transaction(operation.label):
                for edit in operation.operations:
                    _apply(session, edit, folder)
        case ops.Update():
            session.update(operation.name, **_with_mask(operation.fields.given(), folder))
        case ops.Checkout():
            session.checkout(operation.target)
        case _:
            # The others have the names of the session's methods, and their fields the names of
            # the arguments.
            getattr(session, operation.op)(**_with_mask(attrs.asdict(operation), folder))


def _with_mask(arguments: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return arguments in which the mask's file, if there is one, has its full path.

    Raises:
        ScriptError: the path leads out of the folder.
    """
    mask = arguments.get("mask")
    if mask is None or mask.startswith(MASK_PREFIX):
        return arguments
    return {**arguments, "mask": path_inside(folder, mask, "mask")}


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
