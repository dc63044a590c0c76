"""The contact sheets of a sweep: a row for each seed, a column for each edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

from PIL import Image

from ..contact_sheet import Tile, labelled_grid
from ..errors import printable
from ..files import file_errors
from ..state import IMAGE_BOMBS, IMAGE_DAMAGE
from .storing import write_file
from .sweep import Sweep
from .table import Row, read_rows
from .units import EXACT, Unit

FOLDER = "sheets"

ROWS, COLUMNS = 16, 12
"""The most rows and columns of a sheet."""

MAX_SHEETS = 32
"""The most sheets; they show the first images of a long sweep."""

TILE = 160
"""The longer side of an image on a sheet, in pixels."""

BLANK = "#eeeeee"
"""The colour in the place of an image that failed."""

_NAME = re.compile(r"(\d{4})\.png")


def write_sheets(sweep: Sweep, units: Iterable[Unit], out: Path) -> tuple[Path, ...]:
    """Write contact sheets of the images that are there, and remove those of a longer sweep.

    Args:
        sweep: the sweep.
        units: its units, in order.
        out: its folder.

    Returns:
        The paths of the sheets, at most `MAX_SHEETS`.

    Raises:
        SessionFileError: a record cannot be read, or a sheet cannot be written.
    """
    paths: list[Path] = []
    for sheet in islice(_sheets(sweep, units, out), MAX_SHEETS):
        paths.append(out / FOLDER / f"{len(paths) + 1:04}.png")
        _write(sheet, paths[-1])
    folder = out / FOLDER
    with file_errors(folder, "cannot be cleared"):
        for path in folder.iterdir() if folder.is_dir() else ():
            found = _NAME.fullmatch(path.name)
            if found is not None and int(found[1]) > len(paths):
                path.unlink(missing_ok=True)
    return tuple(paths)


def _write(sheet: Image.Image, path: Path) -> None:
    write_file(path, lambda file: sheet.save(file, format="png"))


def _sheets(sweep: Sweep, units: Iterable[Unit], out: Path) -> Iterator[Image.Image]:
    """Yield the sheets, those of each prompt for themselves."""
    edits = len(sweep.edits)
    for prompt, rows in groupby(read_rows(sweep, units, out), key=lambda row: row.prompt):
        while block := [*islice(rows, ROWS * edits)]:
            by_seed = [block[start : start + edits] for start in range(0, len(block), edits)]
            for first in range(0, edits, COLUMNS):
                shown = [one[first : first + COLUMNS] for one in by_seed]
                yield _sheet(prompt, shown, out)


def _sheet(prompt: str, rows: Sequence[Sequence[Row]], out: Path) -> Image.Image:
    return labelled_grid(
        [[_tile(one, out) for one in row] for row in rows],
        [printable(one.edit) for one in rows[0]],
        [f"seed {row[0].seed}" for row in rows],
        title=printable(prompt),
        tile=TILE,
    )


def _tile(row: Row, out: Path) -> Tile | None:
    """Return an image with its mode if it is not exact; None if its file was removed."""
    if row.error:
        return Tile(Image.new("RGB", (TILE, TILE), BLANK), "", "failed")
    with suppress(*IMAGE_DAMAGE, *IMAGE_BOMBS), Image.open(out / row.file, formats=["PNG"]) as file:
        image = file.convert("RGB")
        # Whole images would fill the memory.
        image.thumbnail((TILE, TILE))
        return Tile(image, "", "" if row.mode == EXACT else row.mode)
    return None
