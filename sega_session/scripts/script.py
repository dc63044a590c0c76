"""A script: a scene and the operations on it, as one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, get_args

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of

from .. import files as strict
from ..errors import InvalidValueError, ScriptError, SessionFileError
from ..saving import image_paths
from ..state import Fit, Scene, fields
from .limits import DEFAULT_LIMITS, Limits
from .operations import Expect, Operation, Render, Save, Transaction
from .outputs import check_output

FORMAT_VERSION = 3
"""The version that is written."""

MAX_BYTES = 4 * 2**20
"""The size of the largest script that is read."""


def _from_1_to_2(document: dict[str, Any]) -> dict[str, Any]:
    """Write what was the same for all models: 50 steps, a guidance scale of 7.5, a warm-up of 10.

    Values of the wrong type stay, since they are refused when the migrated document is read.
    """

    def migrate(operation: Any) -> Any:
        if not isinstance(operation, dict):
            return operation
        migrated = {"warmup": 10, **operation} if operation.get("op") == "add" else operation
        return migrate_list(migrated)

    def migrate_list(owner: dict[str, Any]) -> dict[str, Any]:
        inner = owner.get("operations")
        return {**owner, "operations": [*map(migrate, inner)]} if type(inner) is list else owner

    migrated = migrate_list(document)
    if isinstance(migrated.get("scene"), dict):
        were = {"num_inference_steps": 50, "guidance_scale": 7.5}
        migrated["scene"] = {**were, **migrated["scene"]}
    return migrated


MIGRATIONS: Mapping[int, strict.Migration] = MappingProxyType({1: _from_1_to_2, 2: dict})
"""For each older version, the function that turns a document of it into one of the next.

Version 2 had no photographs, so its documents mean the same in version 3.
"""


def _check_photographs(what: str, value: tuple[str, ...]) -> None:
    if not value:
        raise InvalidValueError(what, value, "at least one file")
    for one in value:
        check_output(what, one, suffix=PurePosixPath(one).suffix or ".png")


@frozen(kw_only=True)
class ScriptPhotograph:
    """The photographs that a session begins from, as for `EditSession.from_photo`.

    Attributes:
        files: one for each image, relative to the folder that the script is in.
        digest: of their pixels at the scene's size; other pixels are refused. None: any are taken.
        fit: how they are brought to the scene's size.
        skip: the share of the model calls that edits leave as they are, 0 <= skip < 1.
    """

    files: tuple[str, ...] = field(
        validator=[
            deep_iterable(instance_of(str), instance_of(tuple)),
            fields.checked_by(_check_photographs),
        ]
    )
    digest: str | None = None
    fit: Fit = field(
        default="crop", validator=fields.checked_by(fields.check_choice, get_args(Fit))
    )
    skip: float = fields.field_like(Scene, "skip", default=0.15)


@frozen(kw_only=True)
class ScriptScene:
    """The settings fixed for a session, as in `Scene`; None is the model's own value."""

    prompt: str = fields.field_like(Scene, "prompt")
    negative_prompt: str = fields.field_like(Scene, "negative_prompt")
    seeds: tuple[int, ...] = fields.field_like(Scene, "seeds")
    num_inference_steps: int | None = fields.field_like(Scene, "num_inference_steps", default=None)
    guidance_scale: float | None = fields.field_like(Scene, "guidance_scale", default=None)
    guidance_rescale: float = fields.field_like(Scene, "guidance_rescale")
    clip_skip: int | None = fields.field_like(Scene, "clip_skip")
    height: int | None = fields.field_like(Scene, "height", default=None)
    width: int | None = fields.field_like(Scene, "width", default=None)
    eta: float = fields.field_like(Scene, "eta")
    photograph: ScriptPhotograph | None = None


def _check_operations(_: object, __: object, value: tuple[Any, ...]) -> None:
    """Check that a render comes before each `Expect`."""
    rendered = False
    for index, one in enumerate(value):
        if isinstance(one, Expect) and not rendered:
            raise ScriptError("there is no render before this expect. Render first.", index)
        rendered = rendered or isinstance(one, Render)


@frozen
class Script:
    """A scene and the operations on it, in their order.

    Attributes:
        scene: the scene that the session begins with.
        operations: the operations. How many a script may have when it is read or run is one of
            `Limits`.

    Raises:
        ScriptError: an `Expect` comes before any `Render`.
    """

    scene: ScriptScene = field(validator=instance_of(ScriptScene))
    operations: tuple[Operation, ...] = field(
        validator=[
            deep_iterable(instance_of(get_args(Operation)), instance_of(tuple)),
            _check_operations,
        ]
    )

    @property
    def size(self) -> int:
        """The number of operations, those in transactions included."""
        inner = (len(one.operations) for one in self.operations if isinstance(one, Transaction))
        return len(self.operations) + sum(inner)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files that the operations write, relative to the folder of a run."""
        found: list[Path] = []
        for one in self.operations:
            match one:
                case Render(output=str(name)):
                    found += image_paths(Path(name), len(self.scene.seeds))
                case Save(output=name):
                    found.append(Path(name))
        return tuple(found)

    @classmethod
    def load(cls, path: str | Path, limits: Limits = DEFAULT_LIMITS) -> Script:
        """Read a script's file, of at most 4 MiB. Raises ScriptError; see `parse`."""
        try:
            return cls.parse(
                strict.read_regular(fields.check_path("path", path), MAX_BYTES), limits
            )
        except SessionFileError as error:
            raise ScriptError(str(error)) from error
        except ScriptError as error:
            raise ScriptError(error.message, error.index, path) from None

    @classmethod
    def parse(cls, text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> Script:
        """Read a script's JSON.

        Args:
            text: the JSON, of at most 4 MiB.
            limits: how many operations the script may have.

        Raises:
            ScriptError: the JSON is not a valid script, or has too many operations; the message
                names the value and the operation.
        """
        if len(text) > MAX_BYTES:
            raise ScriptError(f"the script is too large; allowed: {MAX_BYTES} bytes.")
        try:
            document = strict.check_version(strict.parse(text), FORMAT_VERSION, MIGRATIONS)
            # Editors find the schema by this key.
            strict.structure(document.pop("$schema", ""), str, ("$schema",))
            if isinstance(document.get("operations"), list):
                limits.check("operations", _count(document["operations"]))  # before they are read
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
        text = strict.dump(document, indent=2, omit_defaults=True)
        return "".join(map(_escape, text)) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the script to a file, completely or not at all. Raises ScriptError."""
        path, text = fields.check_path("path", path), self.dump().encode()
        try:
            with strict.locked(path) as target:
                strict.replace_file(target, lambda file: file.write(text))
        except SessionFileError as error:
            raise ScriptError(str(error)) from error


def _escape(one: str) -> str:
    """Return a character of JSON, escaped if it would control the terminal that shows it.

    Outside of strings, JSON is printable but for its line breaks.
    """
    return one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1]


def _count(operations: list[Any]) -> int:
    """Return the number of operations in a script's JSON, those in transactions included."""
    inner = (one.get("operations") for one in operations if isinstance(one, dict))
    return len(operations) + sum(len(one) for one in inner if isinstance(one, list))


def _located(error: strict.StrictError) -> ScriptError:
    """Convert a reader's error to one with the number of the operation, and of the member."""
    match error.path:
        case ("operations", int(index), "operations", int(member), *rest):
            inner = strict.StrictError(error.problem, tuple(rest))
            return ScriptError(f"member {member}: {inner}.", index)
        case ("operations", int(index), *rest):
            return ScriptError(f"{strict.StrictError(error.problem, tuple(rest))}.", index)
    return ScriptError(f"{error}.")
