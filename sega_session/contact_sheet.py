"""Sheets of labelled images: in rows, or as a grid with headers. Text that does not fit is cut."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from math import ceil
from typing import TypeAlias

from attrs import frozen
from PIL import Image, ImageDraw, ImageFont

TILE, GAP, TEXT = 256, 20, 62
"""Pixels: an image's longer side, the space around it, and the height of the text below it."""

PAPER, INK, PALE, EMPTY = "#ffffff", "#1a1a1a", "#767676", "#e8e8e8"

LARGE, SMALL = 20, 15
"""The sizes of labels and of notes, in pixels."""

LEADING = 1.3
"""The height of a line of text, as a multiple of the text's size."""

ROW_HEADER = 170
"""The largest width of the headers of a grid's rows, in pixels."""

ELLIPSIS = "…"

TYPEFACES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "malgun.ttf",
    "YuGothM.ttc",
)
"""Fonts of Linux, macOS and Windows that have letters beyond ASCII; Pillow's own font has few."""

NO_CHARACTER = "\uffff"
"""A code point that no font has a glyph for; they draw the same box for it as for all others."""

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


@frozen(eq=False)
class Tile:
    """An image with a label and a smaller line below it."""

    image: Image.Image
    label: str
    note: str = ""


@frozen(eq=False)
class _Text:
    """Lines of text of one size and colour."""

    lines: tuple[str, ...]
    font: Font
    size: int
    ink: str = INK

    @property
    def height(self) -> int:
        return len(self.lines) * round(LEADING * self.size)

    @property
    def width(self) -> int:
        return max((ceil(self.font.getlength(line)) for line in self.lines), default=0)

    def draw(self, draw: ImageDraw.ImageDraw, x: int, y: int, anchor: str = "la") -> None:
        """Draw the lines below ``y``; ``anchor`` says what ``x`` is, as in PIL."""
        for number, line in enumerate(self.lines):
            top = y + number * round(LEADING * self.size)
            draw.text((x, top), line, self.ink, self.font, anchor)


def contact_sheet(tiles: Sequence[Tile], columns: int = 4) -> Image.Image:
    """Return the tiles in rows on one sheet, each image scaled to fit `TILE` pixels.

    Args:
        tiles: at least one.
        columns: tiles in a row, 1 or more.
    """
    rows = -(-len(tiles) // columns)
    cell_width, cell_height = TILE + GAP, TILE + TEXT
    width = min(columns, len(tiles)) * cell_width + GAP
    sheet = Image.new("RGB", (width, rows * cell_height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = GAP + column * cell_width, GAP + row * cell_height
        sheet.paste(fitted(tile.image, TILE), (left, top))
        _wrapped(tile.label, LARGE, TILE, 1).draw(draw, left, top + TILE + 4)
        _wrapped(tile.note, SMALL, TILE, 1, PALE).draw(draw, left, top + TILE + 30)
    return sheet


def labelled_grid(
    cells: Sequence[Sequence[Tile | None]],
    columns: Sequence[str],
    rows: Sequence[str],
    *,
    title: str = "",
    tile: int = TILE,
) -> Image.Image:
    """Return a grid of tiles on one sheet, with a header above each column and before each row.

    Headers wrap. The tiles' labels and notes are one line each.

    Args:
        cells: the rows, each with one tile for every column; None stays blank.
        columns: the headers of the columns.
        rows: the headers of the rows; "" for none.
        title: text above the grid; the lines after its first line break are smaller.
        tile: the longer side of an image in pixels, which every image is scaled to.

    Raises:
        ValueError: the cells do not have the rows and columns of the headers.
    """
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(f"cells must be {len(rows)} rows of {len(columns)} tiles")
    large, small = min(LARGE, max(12, tile // 12)), min(SMALL, max(10, tile // 16))
    shown = [one for row in cells for one in row if one is not None]
    images = {one: fitted(one.image, tile) for one in shown}
    cell_width = max((image.width for image in images.values()), default=tile)
    cell_height = max((image.height for image in images.values()), default=tile)
    # The text below the images; no space for it where there is none.
    label_height = round(LEADING * large) if any(one.label for one in shown) else 0
    note_height = round(LEADING * small) if any(one.note for one in shown) else 0

    fitting = max(cell_height // round(LEADING * large), 1)
    beside = [_wrapped(text, large, ROW_HEADER, fitting) for text in rows]
    beside_width = max((text.width for text in beside), default=0)
    left = GAP + (beside_width + GAP // 2 if beside_width else 0)
    width = left + len(columns) * (cell_width + GAP)
    name, _, rest = title.partition("\n")
    above = [_wrapped(name, LARGE, width - 2 * GAP, 3)]
    above += [_wrapped(line, SMALL, width - 2 * GAP, 2, PALE) for line in rest.splitlines()]
    over = [_wrapped(text, large, cell_width, 3) for text in columns]
    title_height = sum(text.height for text in above)
    over_bottom = GAP + title_height + (GAP if title_height else 0)
    over_bottom += max((text.height for text in over), default=0)
    top = over_bottom + GAP // 4
    row_height = cell_height + label_height + note_height + GAP

    sheet = Image.new("RGB", (width, top + len(rows) * row_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for text in above:
        text.draw(draw, GAP, y)
        y += text.height
    for column, text in enumerate(over):
        middle = left + column * (cell_width + GAP) + cell_width // 2
        text.draw(draw, middle, over_bottom - text.height, "ma")
    for row, (text, tiles) in enumerate(zip(beside, cells, strict=True)):
        y = top + row * row_height
        text.draw(draw, left - GAP // 2, y + (cell_height - text.height) // 2, "ra")
        for column, one in enumerate(tiles):
            if one is None:
                continue
            x, image = left + column * (cell_width + GAP), images[one]
            sheet.paste(image, (x + (cell_width - image.width) // 2, y))
            middle = x + cell_width // 2
            below = y + cell_height + GAP // 5
            _wrapped(one.label, large, cell_width, 1).draw(draw, middle, below, "ma")
            note = _wrapped(one.note, small, cell_width, 1, PALE)
            note.draw(draw, middle, below + label_height, "ma")
    return sheet


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Return an image scaled so that its longer side has so many pixels."""
    scale = side / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _font(text: str, size: int) -> Font:
    """Return Pillow's own font, or the first of this machine's that has more of the characters."""
    own = ImageFont.load_default(size)
    if text.isascii():
        return own
    return min((own, *_installed(size)), key=lambda font: sum(_missing(font, text)))


@cache
def _installed(size: int) -> tuple[Font, ...]:
    """Return those of `TYPEFACES` that this machine has."""
    found = []
    for name in TYPEFACES:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


def _missing(font: Font, text: str) -> Iterator[bool]:
    """Yield for each character whether a font lacks it."""
    box = bytes(font.getmask(NO_CHARACTER))
    return (bytes(font.getmask(character)) == box for character in text)


def _wrapped(text: str, size: int, width: int, most: int, ink: str = INK) -> _Text:
    """Return text in at most ``most`` lines of at most ``width`` pixels; the rest is cut."""
    font = _font(text, size)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return _Text(tuple(_cut(line, font, width) for line in lines), font, size, ink)


def _cut(line: str, font: Font, width: int) -> str:
    """Return a line of at most ``width`` pixels, with an ellipsis for what was cut off its end."""
    if font.getlength(line) <= width:
        return line
    fitting = bisect_right(
        range(1, len(line)),
        width,
        key=lambda length: ceil(font.getlength(line[:length] + ELLIPSIS)),
    )
    return line[:fitting].rstrip() + ELLIPSIS
