"""A script: a scene and the operations on it, as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of

from .. import files as strict
from ..errors import ScriptError, SessionFileError
from ..state import Scene, fields
from .operations import Expect, Operation, Render, Transaction

FORMAT_VERSION = 1

MAX_BYTES = 4 * 2**20
"""The size of the largest script that is read."""

MAX_OPERATIONS = 10_000
"""The largest number of operations in a script, those in transactions included."""


@frozen(kw_only=True)
class ScriptScene:
    """The settings fixed for a session, as in `Scene`; height and width default to the model's."""

    prompt: str = fields.field_like(Scene, "prompt")
    negative_prompt: str = fields.field_like(Scene, "negative_prompt")
    seeds: tuple[int, ...] = fields.field_like(Scene, "seeds")
    num_inference_steps: int = fields.field_like(Scene, "num_inference_steps")
    guidance_scale: float = fields.field_like(Scene, "guidance_scale")
    height: int | None = fields.field_like(Scene, "height", default=None)
    width: int | None = fields.field_like(Scene, "width", default=None)
    eta: float = fields.field_like(Scene, "eta")


def _check_operations(_: object, __: object, value: tuple[Any, ...]) -> None:
    """Check the number of operations, and that a render comes before each `Expect`."""
    rendered, count = False, 0
    for index, one in enumerate(value):
        count += 1 + (len(one.operations) if isinstance(one, Transaction) else 0)
        if isinstance(one, Expect) and not rendered:
            raise ScriptError("there is no render before this expect. Render first.", index)
        rendered = rendered or isinstance(one, Render)
    _check_count(count)


def _check_count(count: int) -> None:
    if count > MAX_OPERATIONS:
        raise ScriptError(f"there are {count} operations; allowed: {MAX_OPERATIONS}.")


@frozen
class Script:
    """A scene and the operations on it, in their order.

    Attributes:
        scene: the scene that the session begins with.
        operations: at most 10,000, those in transactions included.

    Raises:
        ScriptError: there are too many operations, or an `Expect` comes before any `Render`.
    """

    scene: ScriptScene = field(validator=instance_of(ScriptScene))
    operations: tuple[Operation, ...] = field(
        validator=[
            deep_iterable(instance_of(get_args(Operation)), instance_of(tuple)),
            _check_operations,
        ]
    )

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """Read a script's file, of at most 4 MiB. Raises ScriptError."""
        try:
            return cls.parse(strict.read_regular(Path(path), MAX_BYTES))
        except SessionFileError as error:
            raise ScriptError(str(error)) from error

    @classmethod
    def parse(cls, text: str | bytes) -> Script:
        """Read a script's JSON.

        Raises:
            ScriptError: the JSON is not a valid script; the message names the value and the
                operation.
        """
        if len(text) > MAX_BYTES:
            raise ScriptError(f"the script is too large; allowed: {MAX_BYTES} bytes.")
        try:
            document = strict.check_version(strict.parse(text), FORMAT_VERSION)
            # Editors find the schema by this key.
            strict.structure(document.pop("$schema", ""), str, ("$schema",))
            if isinstance(document.get("operations"), list):
                _check_count(len(document["operations"]))  # before each of them is read
            return strict.structure(document, cls)
        except strict.StrictError as error:
            raise _located(error) from None

    def dump(self) -> str:
        """Return the script's JSON, without the values that equal their defaults."""
        document = {
            "format_version": FORMAT_VERSION,
            "scene": self.scene,
            "operations": self.operations,
        }
        return strict.dump(document, indent=2, omit_defaults=True) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the script to a file. Raises ScriptError."""
        try:
            Path(path).write_text(self.dump(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise ScriptError(f"{path} cannot be written: {error.strerror}.") from error


def _located(error: strict.StrictError) -> ScriptError:
    """Convert a reader's error to one with the number of the operation, and of the member."""
    match error.path:
        case ("operations", int(index), "operations", int(member), *rest):
            inner = strict.StrictError(error.problem, tuple(rest))
            return ScriptError(f"member {member}: {inner}.", index)
        case ("operations", int(index), *rest):
            return ScriptError(f"{strict.StrictError(error.problem, tuple(rest))}.", index)
    return ScriptError(f"{error}.")
