"""Sheets of labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image, ImageFont

from sega_session import contact_sheet as sheets
from sega_session.contact_sheet import Tile, contact_sheet, labelled_grid

LONG = "a very long description of the settings of these images " * 20
RED, BLUE = "#ff0000", "#0000ff"


def square(colour: str, width: int = 32, height: int = 32) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def pixels(sheet: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(sheet)


def box(sheet: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the pixels of a colour, which fill a rectangle."""
    found = (pixels(sheet) == colour).all(axis=-1)
    columns, rows = np.flatnonzero(found.any(axis=0)), np.flatnonzero(found.any(axis=1))
    width, height = len(columns), len(rows)
    assert found.sum() == width * height
    return int(columns[0]), int(rows[0]), width, height


def test_a_grid_has_its_images_in_rows_and_columns() -> None:
    sheet = labelled_grid(
        [[Tile(square(RED), ""), None], [None, Tile(square(BLUE, 32, 16), "")]],
        ["a", "b"],
        ["one", "two"],
        title="a title",
        tile=100,
    )
    left, top, *size = box(sheet, (255, 0, 0))
    other_left, other_top, *other_size = box(sheet, (0, 0, 255))
    assert (size, other_size) == ([100, 100], [100, 50])
    assert other_left - left == other_top - top == 120
    # The places without a tile are blank.
    assert (pixels(sheet)[top : top + 100, other_left : other_left + 100] == 255).all()
    assert (pixels(sheet)[other_top : other_top + 100, left : left + 100] == 255).all()


@pytest.mark.parametrize("text", [LONG, "x" * 2000, "猫" * 50])
def test_text_stays_where_it_belongs(text: str) -> None:
    tile = Tile(square(RED), text, text)
    plain = labelled_grid([[Tile(square(RED), "x", "x")]], ["x"], [""], tile=100)
    sheet = labelled_grid([[tile, tile]] * 2, [text, text], [text, text], title=text, tile=100)
    found = pixels(sheet)
    red = (found == (255, 0, 0)).all(axis=-1)
    rows = np.flatnonzero(red.any(axis=1))
    columns = np.flatnonzero(red.any(axis=0))
    # Between the columns, and at the edges of the sheet, is nothing; a letter may jut out a little.
    gap = [one for one in range(columns[0], columns[-1]) if not red[:, one].any()]
    assert len(gap) == 20
    headers = slice(rows[0] - 30, None)
    assert (found[headers, gap[2:-2]] == 255).all()
    assert (found[:, -15:] == 255).all()
    assert (found[:, :15] == 255).all()
    # The text takes some lines at most, and some of the width.
    assert sheet.height < 3 * plain.height + 200
    assert sheet.width < 3 * plain.width + 200


def test_headers_wrap() -> None:
    one = labelled_grid([[None]], ["glasses"], [""], tile=100)
    two = labelled_grid([[None]], ["glasses scale 3.25"], [""], tile=100)
    assert two.height > one.height
    assert two.width == one.width


def test_there_is_no_space_for_what_is_not_there() -> None:
    bare = labelled_grid([[Tile(square(RED), "")]], [""], [""], tile=100)
    noted = labelled_grid([[Tile(square(RED), "rough", "12% off")]], ["a"], ["b"], tile=100)
    assert bare.width == 140
    assert noted.width > bare.width
    assert noted.height > bare.height


def test_the_lines_of_a_title_are_kept() -> None:
    one = labelled_grid([[None]], [""], [""], title="a portrait", tile=200)
    two = labelled_grid([[None]], [""], [""], title="a portrait\n12 evaluations", tile=200)
    only = labelled_grid([[None]], [""], [""], title="\n12 evaluations", tile=200)
    assert only.height < one.height < two.height


def test_cells_without_a_header_are_refused() -> None:
    with pytest.raises(ValueError, match="cells must be 1 rows of 2 tiles"):
        labelled_grid([[None]], ["a", "b"], ["c"])
    with pytest.raises(ValueError, match="cells must be 2 rows of 1 tiles"):
        labelled_grid([[None]], ["a"], ["c", "d"])


def test_long_labels_of_a_contact_sheet_are_cut() -> None:
    tiles = [Tile(square(RED), LONG, LONG)] * 2
    found = pixels(contact_sheet(tiles))
    assert (found[:, 20 + 256 : 40 + 256] == 255).all()
    short = pixels(contact_sheet([Tile(square(RED), "a", "b")] * 2))
    assert short.shape == found.shape


def family(text: str) -> str | None:
    """Return the name of the font that a text is drawn with."""
    font = sheets._font(text, 20)  # noqa: SLF001
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font.getname()[0]


def test_letters_that_pillows_font_lacks_are_drawn_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dejavu = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    monkeypatch.setattr(sheets, "TYPEFACES", ("no such font.ttf", str(dejavu)))
    sheets._installed.cache_clear()  # noqa: SLF001
    try:
        with_letters = pixels(contact_sheet([Tile(square(RED), "Größe")]))
        boxes = pixels(contact_sheet([Tile(square(RED), "Gr\uffff\uffffe")]))
        fonts = {text: family(text) for text in ("grow", "Größe", "猫")}
    finally:
        sheets._installed.cache_clear()  # noqa: SLF001
    assert (with_letters != boxes).any()
    # Where no font has a character, Pillow's own draws a box for it.
    assert fonts == {"grow": "Aileron", "Größe": "DejaVu Sans", "猫": "Aileron"}
