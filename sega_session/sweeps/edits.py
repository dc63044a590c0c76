"""The parts of a sweep that all its units share: its edits, and the settings of its scenes."""

from __future__ import annotations

from typing import TypeAlias, get_args

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of

from ..errors import ScriptError, SegaSessionError
from ..scripts import Script
from ..scripts import operations as ops
from ..state import Concept, EditState, History, Scene, check_line, fields

SweepOperation: TypeAlias = ops.Edit | ops.Transaction
"""An operation of a sweep's edit: one that changes the state."""

OPERATIONS = (*get_args(ops.Edit), ops.Transaction)


@frozen(kw_only=True)
class SceneSettings:
    """The settings of a sweep's scenes, as in `Scene`; None is the model's own value."""

    negative_prompt: str = fields.field_like(Scene, "negative_prompt")
    num_inference_steps: int | None = fields.field_like(Scene, "num_inference_steps", default=None)
    guidance_scale: float | None = fields.field_like(Scene, "guidance_scale", default=None)
    guidance_rescale: float = fields.field_like(Scene, "guidance_rescale")
    clip_skip: int | None = fields.field_like(Scene, "clip_skip")
    height: int | None = fields.field_like(Scene, "height", default=None)
    width: int | None = fields.field_like(Scene, "width", default=None)
    eta: float = fields.field_like(Scene, "eta")


@frozen
class SweepEdit:
    """An edit that a sweep makes to every image.

    Attributes:
        name: one line of text, for the table and the contact sheets.
        operations: what is edited, in this order; none: the unedited image. Masks are PNG files as
            text, which `Sweep.load` makes of files.

    Raises:
        InvalidValueError: the name is not one line of text.
    """

    name: str = field(validator=fields.checked_by(check_line))
    operations: tuple[SweepOperation, ...] = field(
        default=(),
        validator=deep_iterable(instance_of(OPERATIONS), instance_of(tuple)),
    )


def edits_of(script: Script) -> tuple[SweepOperation, ...]:
    """Return the edits that lead to the state in which a script ends.

    What it renders and saves is left out, and its moves in the history are followed; every edit
    counts as an entry there, also one that changes nothing.

    Raises:
        ScriptError: a move leads nowhere; has the number of the operation.
    """
    history = History()
    made: dict[int, SweepOperation] = {}
    for index, operation in enumerate(script.operations):
        try:
            match operation:
                case ops.Render() | ops.Save() | ops.Expect():
                    continue
                case ops.Undo():
                    history = history.undo()
                case ops.Redo():
                    history = history.redo()
                case ops.Checkout():
                    history = history.checkout(operation.target)
                case ops.Branch():
                    history = history.with_branch(operation.name)
                case _:
                    # A state like no other, so that there is a new entry.
                    mark = Concept(name=str(index), prompt="any")
                    history = history.commit(EditState(concepts=(mark,)))
                    made[history.current] = operation
        except SegaSessionError as error:
            raise ScriptError(f"{operation.op}: {error}", index) from error
    return tuple(made[entry.id] for entry in history.path(history.current) if entry.id in made)
