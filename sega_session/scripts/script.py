"""A scripted edit history: a scene and what is done to it, as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from attrs import field, frozen
from attrs.validators import deep_iterable, instance_of

from .. import files as strict
from ..errors import ScriptError
from ..files import StrictError
from ..state.edits import Scene
from .operations import OUTPUT, Expect, Operation, Render, Transaction, like

FORMAT_VERSION = 1

MAX_BYTES = 4 * 2**20
"""The largest script that is read."""

MAX_OPERATIONS = 10_000
"""The most operations of a script, those in transactions included."""


@frozen(kw_only=True)
class ScriptScene:
    """What is fixed for the session, as in `Scene`; a height or width of None is the model's."""

    prompt: str = like(Scene, "prompt")
    negative_prompt: str = like(Scene, "negative_prompt")
    seeds: tuple[int, ...] = like(Scene, "seeds")
    num_inference_steps: int = like(Scene, "num_inference_steps")
    guidance_scale: float = like(Scene, "guidance_scale")
    height: int | None = like(Scene, "height", default=None)
    width: int | None = like(Scene, "width", default=None)
    eta: float = like(Scene, "eta")


def _operations(_: object, __: object, value: tuple[Any, ...]) -> None:
    """Check what no operation knows alone: how many there are, and what `expect` speaks of."""
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
        scene: what the session begins with.
        operations: at most 10,000, those in transactions included.

    Raises:
        ScriptError: too many operations, or an `Expect` before any `Render`.
    """

    scene: ScriptScene = field(validator=instance_of(ScriptScene))
    operations: tuple[Operation, ...] = field(
        validator=[deep_iterable(instance_of(get_args(Operation)), instance_of(tuple)), _operations]
    )

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """Read a script's file, of at most 4 MiB. Raises ScriptError."""
        try:
            with open(path, "rb") as file:
                return cls.parse(file.read(MAX_BYTES + 1))
        except OSError as error:
            raise ScriptError(f"{path} cannot be read: {error.strerror}.") from error

    @classmethod
    def parse(cls, text: str | bytes) -> Script:
        """Read a script's JSON.

        Raises:
            ScriptError: anything about it is wrong; the message says what and where.
        """
        if len(text) > MAX_BYTES:
            raise ScriptError(f"the script is too large; allowed: {MAX_BYTES} bytes.")
        try:
            document = strict.check_version(strict.parse(text), FORMAT_VERSION)
            # Editors read the schema from here.
            strict.structure(document.pop("$schema", ""), str, ("$schema",))
            if isinstance(document.get("operations"), list):
                _check_count(len(document["operations"]))  # before each is looked at
            return strict.structure(document, cls)
        except StrictError as error:
            raise _located(error) from None

    def dump(self) -> str:
        """The script's JSON, without what equals its default."""
        document = {
            "format_version": FORMAT_VERSION,
            "scene": self.scene,
            "operations": self.operations,
        }
        return strict.dump(document, indent=2, omit_defaults=True) + "\n"

    def save(self, path: str | Path) -> None:
        """Write a script's file. Raises ScriptError."""
        try:
            Path(path).write_text(self.dump(), encoding="utf-8", newline="\n")
        except OSError as error:
            raise ScriptError(f"{path} cannot be written: {error.strerror}.") from error


def output_path(folder: Path, name: str) -> Path:
    """Where an operation's output goes; folders on the way are made.

    Args:
        folder: what all outputs stay inside, links followed.
        name: an operation's ``output``.

    Raises:
        ScriptError: the name leads out of the folder, by a link for example, or a folder cannot
            be made.
    """
    shown = strict.shorten(name)
    try:
        root = folder.resolve()
        path = (root / name).resolve() if OUTPUT.fullmatch(name) else root
        if root in path.parents:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise ScriptError(f"output {shown} has no place in {folder}: {error}.") from error
    raise ScriptError(f"output {shown} leads out of {folder}. Use another name, or folder.")


def _located(error: StrictError) -> ScriptError:
    """A reader's error with the number of the operation, and of the member in a transaction."""
    match error.path:
        case ("operations", int(index), "operations", int(member), *rest):
            inner = StrictError(error.problem, tuple(rest))
            return ScriptError(f"member {member}: {inner}.", index)
        case ("operations", int(index), *rest):
            return ScriptError(f"{StrictError(error.problem, tuple(rest))}.", index)
    return ScriptError(f"{error}.")
