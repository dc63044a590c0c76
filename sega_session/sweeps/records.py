"""The record of a unit: the outcome of each of its edits, written when all images are there."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

from .. import files as strict
from ..errors import InvalidValueError, SessionFileError
from .storing import write_file

FORMAT_VERSION = 1

MAX_BYTES = 4 * 2**20
"""The size of the largest record that is read."""

_DIGEST = re.compile(r"([0-9a-f]{32})?")


@frozen(kw_only=True)
class Record:
    """The outcome of a unit, by edit.

    Attributes:
        prompt, seeds: the unit's, for people who read the file.
        modes: the mode of each edit's images, as in `Render.mode`.
        evaluations, seconds: the cost of each edit's render, for one image; 0 if the images were
            there before, without a record.
        errors: the reason if an edit failed; "" else.
        digests: the names of the images of the first edit, one for each seed, then of the others;
            "" for images that failed.

    Raises:
        InvalidValueError: the numbers of values do not fit together, or a digest is none.
    """

    prompt: str
    seeds: tuple[int, ...]
    modes: tuple[str, ...]
    evaluations: tuple[int, ...]
    seconds: tuple[float, ...]
    errors: tuple[str, ...]
    digests: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        edits = len(self.modes)
        by_edit = (self.evaluations, self.seconds, self.errors)
        if {*map(len, by_edit)} != {edits} or len(self.digests) != edits * len(self.seeds):
            raise InvalidValueError("digests", len(self.digests), "one for each edit and seed")
        for one in self.digests:
            if not _DIGEST.fullmatch(one):
                raise InvalidValueError("digests", one, "32 hexadecimal digits")

    @property
    def finished(self) -> bool:
        """True if no edit failed."""
        return not any(self.errors)

    def of_edit(self, edit: int) -> tuple[str, ...]:
        """Return the names of an edit's images, one for each seed."""
        count = len(self.seeds)
        return self.digests[edit * count : (edit + 1) * count]


def image_file(digest: str) -> str:
    """Return the path of an image in a sweep's folder, with / between its parts."""
    # Folders of a hundred thousand files are slow on shared disks.
    return f"images/{digest[:2]}/{digest}.png"


def record_path(out: Path, key: str) -> Path:
    """Return the path of a unit's record."""
    return out / f"units/{key[:2]}/{key}.json"


def read_record(out: Path, key: str) -> Record | None:
    """Return the record of a unit; None: there is none, or a damaged one.

    Args:
        out: the sweep's folder.
        key: the unit's.

    Raises:
        SessionFileError: the record cannot be read.
    """
    try:
        content = strict.read_regular(record_path(out, key), MAX_BYTES)
        return strict.structure(strict.check_version(strict.parse(content), FORMAT_VERSION), Record)
    except strict.StrictError:
        return None
    except SessionFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def write_record(out: Path, key: str, record: Record) -> None:
    """Write the record of a unit, whole or not at all. Raises SessionFileError."""
    document = {"format_version": FORMAT_VERSION, **strict.unstructure(record)}
    content = strict.dump(document).encode()
    write_file(record_path(out, key), lambda file: file.write(content))
