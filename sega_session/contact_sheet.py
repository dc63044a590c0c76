"""A contact sheet: labelled images in rows."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from PIL import Image, ImageDraw, ImageFont

TILE, GAP, TEXT = 256, 20, 62
"""Pixels: an image's longer side, the space around it, and the height of the text below it."""

PAPER, INK, PALE = "#ffffff", "#1a1a1a", "#767676"


@frozen(eq=False)
class Tile:
    """An image with a label and a smaller line below it."""

    image: Image.Image
    label: str
    note: str = ""


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
    label_font, note_font = ImageFont.load_default(20), ImageFont.load_default(15)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        left, top = GAP + column * cell_width, GAP + row * cell_height
        scale = TILE / max(tile.image.size)
        size = round(tile.image.width * scale), round(tile.image.height * scale)
        sheet.paste(tile.image.convert("RGB").resize(size, Image.Resampling.LANCZOS), (left, top))
        draw.text((left, top + TILE + 4), tile.label, INK, label_font)
        draw.text((left, top + TILE + 30), tile.note, PALE, note_font)
    return sheet
