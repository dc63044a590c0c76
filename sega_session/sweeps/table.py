"""The table of a sweep: one row for each image, made from the units' records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from attrs import astuple, fields, frozen

from .records import Record, image_file
from .storing import write_file
from .sweep import Sweep
from .units import EXACT, Unit, record_of

TABLE = "table.csv"
"""The table's name in the sweep's folder."""


@frozen(kw_only=True)
class Row:
    """An image of a sweep; the attributes are the columns of the table.

    Attributes:
        prompt, seed, edit: what it shows; `edit` is the edit's name.
        file: its path in the sweep's folder; "" if it failed.
        mode: the mode of its render, as in `Render.mode`; "" if it failed.
        exact: "true" or "false": whether nothing was estimated or replayed; "" if it failed.
        evaluations, seconds: the cost of its render.
        digest: of all that the image depends on; "" if it failed.
        error: the reason if it failed; "" else.
    """

    prompt: str
    seed: int
    edit: str
    file: str
    mode: str
    exact: str
    evaluations: int
    seconds: float
    digest: str
    error: str


@frozen(kw_only=True)
class Totals:
    """The sums of a table.

    Attributes:
        images: the images that are there.
        errors: the images that failed.
        error: the reason of the first of these; "" if there is none.
    """

    images: int
    errors: int
    error: str


def read_rows(sweep: Sweep, units: Iterable[Unit], out: Path) -> Iterator[Row]:
    """Yield the rows of all units that have a record: by seed, and for each seed by edit.

    Args:
        sweep: the sweep.
        units: its units, in order.
        out: its folder.

    Raises:
        SessionFileError: a record cannot be read.
    """
    for unit in units:
        record = record_of(sweep, unit, out)
        if record is not None:
            yield from _rows(sweep, unit, record)


def _rows(sweep: Sweep, unit: Unit, record: Record) -> Iterator[Row]:
    count = len(unit.seeds)
    for place, seed in enumerate(unit.seeds):
        for number, edit in enumerate(sweep.edits):
            digest, mode = record.digests[number * count + place], record.modes[number]
            yield Row(
                prompt=unit.prompt,
                seed=seed,
                edit=edit.name,
                file=image_file(digest) if digest else "",
                mode=mode,
                exact=str(mode == EXACT).lower() if digest else "",
                evaluations=record.evaluations[number],
                seconds=record.seconds[number],
                digest=digest,
                error=record.errors[number],
            )


def write_table(sweep: Sweep, units: Iterable[Unit], out: Path) -> Totals:
    """Write the table, whole or not at all.

    Args: as for `read_rows`.

    Raises:
        SessionFileError: a record cannot be read, or the table cannot be written.
    """
    images = errors = 0
    first = ""

    def write(file: BinaryIO) -> None:
        nonlocal images, errors, first
        text = io.TextIOWrapper(file, "utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(one.name for one in fields(Row))
        for row in read_rows(sweep, units, out):
            writer.writerow(astuple(row))
            images, errors = images + bool(row.file), errors + bool(row.error)
            first = first or row.error
        text.flush()
        text.detach()  # the file is closed by its owner

    write_file(out / TABLE, write)
    return Totals(images=images, errors=errors, error=first)
