"""`Sweep`: what is rendered, in which scenes, with which edits."""

# ruff: noqa: RUF009 - `field_like` returns a field, not a default.

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self, get_args

from attrs import field, frozen
from attrs.validators import instance_of, optional

from .. import files as strict
from ..errors import InvalidValueError, ScriptError, SessionFileError
from ..scripts import operations as ops
from ..state import Anchored, ModeName, Scene, fields
from .document import read_document
from .edits import SceneSettings, SweepEdit

MAX_SEEDS = 10**6
MAX_EDITS = 1_000
MAX_UNIT = 10_000
"""The most seeds of a sweep, the most edits, and the most images of a unit."""

DType = Literal["float32", "float16", "bfloat16"]

_RANGE = re.compile(r"(\d{1,20})-(\d{1,20})")


def _as_tuple(value: Any) -> Any:
    """Convert several values to a tuple; text is one value."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _as_seeds(value: Any) -> Any:
    """Convert seeds, or a range of them such as "0-63", to a tuple."""
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        value = range(int(found[1]), int(found[2]) + 1)
    # Checked here, since a longer range would fill the memory.
    return value if isinstance(value, range) and len(value) > MAX_SEEDS else _as_tuple(value)


def _check_seeds(what: str, value: Any) -> None:
    if isinstance(value, range) or (isinstance(value, tuple) and len(value) > MAX_SEEDS):
        raise InvalidValueError(what, value, f"at most {MAX_SEEDS} of them")
    if not isinstance(value, tuple) or not value:
        raise InvalidValueError(what, value, 'at least one integer, or a range such as "0-63"')
    Scene(prompt="", seeds=value, height=1, width=1)
    _check_distinct(what, value)


def _seeds_of(text: str) -> list[int]:
    """Return the seeds of a range in a file. Raises StrictError."""
    seeds = _as_seeds(text)
    try:
        _check_seeds("seeds", seeds)
    except InvalidValueError as error:
        raise strict.StrictError(str(error).removesuffix(".")) from None
    return list(seeds)


def _check_prompts(what: str, value: Any) -> None:
    if not isinstance(value, tuple) or not value:
        raise InvalidValueError(what, value, "at least one text in a list")
    for one in value:
        fields.check_text(what, one, may_be_empty=True)
    _check_distinct(what, value)


def _check_edits(what: str, value: Any) -> None:
    if not isinstance(value, tuple) or not 0 < len(value) <= MAX_EDITS:
        count = len(value) if isinstance(value, tuple) else value
        raise InvalidValueError(what, count, f"1 to {MAX_EDITS} edits in a list")
    for one in value:
        if not isinstance(one, SweepEdit):
            raise InvalidValueError(what, one, "a SweepEdit each")
    _check_distinct(f"the names of {what}", [one.name for one in value])


def _check_distinct(what: str, values: Iterable[Any]) -> None:
    seen = set()
    for one in values:
        if one in seen:
            raise InvalidValueError(what, one, "each of them once", "It is there twice.")
        seen.add(one)


@frozen(kw_only=True, repr=False)
class Sweep:
    """Images of all prompts x seeds x edits, in this order.

    Its file is in TOML and has these attributes as keys; `docs/sweeps.md` describes it.

    Attributes:
        prompts: the prompts, each once.
        seeds: the seeds, each once; a range such as "0-63" has both its ends.
        seeds_together: the seeds of a unit, which are rendered as one batch. More use a large
            device better, and need more memory.
        edits: the edits; every one is made to the unedited image.
        scene: the settings of all scenes.
        mode: the mode of all renders. Those of other modes than "exact" start from the exact
            render of the unedited image.
        model: a checkpoint, as for `load_pipeline`; None: the embedded one.
        dtype: the model's precision; None: that of `load_pipeline`.

    Raises:
        InvalidValueError: a value is outside its range.
    """

    prompts: tuple[str, ...] = field(
        converter=_as_tuple, validator=fields.checked_by(_check_prompts)
    )
    seeds: tuple[int, ...] = field(converter=_as_seeds, validator=fields.checked_by(_check_seeds))
    seeds_together: int = field(
        default=1,
        converter=fields.as_int,
        validator=fields.checked_by(fields.check_integer, at_least=1),
    )
    edits: tuple[SweepEdit, ...] = field(
        converter=_as_tuple, validator=fields.checked_by(_check_edits)
    )
    scene: SceneSettings = field(factory=SceneSettings, validator=instance_of(SceneSettings))
    mode: ModeName | Anchored = fields.field_like(ops.Render, "mode")
    model: str | None = field(
        default=None, validator=optional(fields.checked_by(fields.check_text, may_be_empty=False))
    )
    dtype: DType | None = field(
        default=None,
        validator=optional(fields.checked_by(fields.check_choice, get_args(DType))),
    )

    def __attrs_post_init__(self) -> None:
        largest = MAX_UNIT // len(self.edits)
        if min(self.seeds_together, len(self.seeds)) > largest:
            raise InvalidValueError(
                "seeds_together",
                self.seeds_together,
                f"at most {largest} with {len(self.edits)} edits, {MAX_UNIT} images in a unit",
            )

    def __repr__(self) -> str:
        return (
            f"<Sweep {len(self.prompts)} prompts x {len(self.seeds)} seeds x {len(self.edits)} "
            f"edits: {self.num_images} images in {self.num_units} units>"
        )

    @property
    def num_units(self) -> int:
        """The number of units: groups of seeds of one prompt."""
        return len(self.prompts) * -(-len(self.seeds) // self.seeds_together)

    @property
    def num_images(self) -> int:
        """The number of images."""
        return len(self.prompts) * len(self.seeds) * len(self.edits)

    def groups(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the prompt and the seeds of each unit, in order."""
        for prompt in self.prompts:
            for start in range(0, len(self.seeds), self.seeds_together):
                yield prompt, self.seeds[start : start + self.seeds_together]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a sweep's file, of at most 4 MiB.

        Scripts and masks that it names are read from its folder; they cannot lead out of it.

        Raises:
            ScriptError: the file cannot be read, or does not describe a sweep; the message names
                the place.
        """
        path = fields.check_path("path", path)
        try:
            document = read_document(path)
            if isinstance(document.get("seeds"), str):
                document["seeds"] = _seeds_of(document["seeds"])
            return strict.structure(document, cls)
        except strict.StrictError as error:
            raise ScriptError(f"{error}.", file=path) from None
        except SessionFileError as error:
            raise ScriptError(str(error)) from error
