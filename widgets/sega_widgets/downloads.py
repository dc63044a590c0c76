"""Renders as files to download."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any
from zipfile import ZIP_STORED, ZipFile

from attrs import frozen

from sega_session import Render
from sega_session.contact_sheet import Tile, contact_sheet

from .captions import describe_image, measure_accuracy

LONGEST = 60
"""The most characters of a prompt in the name of a file."""

NOTE = 34
"""The most characters below an image on a contact sheet."""


@frozen
class Download:
    """A file to download.

    Attributes:
        name: its name, with an ending.
        type: its media type.
        data: its bytes.
    """

    name: str
    type: str
    data: bytes


def download_png(render: Render, number: int) -> Download:
    """Return one image as `Render.save` writes it.

    Args:
        render: any render with PIL images.
        number: the index of the image.

    Raises: as `Render.save` does.
    """
    return Download(_image_name(render, number), "image/png", _encode_all(render)[number])


def download_zip(render: Render) -> Download:
    """Return all images, as `Render.save` writes them, in a ZIP file. Raises as it does."""
    file = BytesIO()
    # PNG files are compressed already.
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for number, png in enumerate(_encode_all(render)):
            archive.writestr(_image_name(render, number), png)
    return Download(f"{_stem(render)}.zip", "application/zip", file.getvalue())


def download_sheet(render: Render) -> Download:
    """Return all images on one contact sheet, each with its seed and its edits or its accuracy."""
    images: Any = render.images
    prompt, seeds = render.made_by.scene.prompt, render.made_by.scene.seeds
    edits = describe_image("", render.state).removeprefix("; ") or prompt
    tiles = []
    for number, (image, seed) in enumerate(zip(images, seeds, strict=True)):
        note = edits if render.exact else measure_accuracy(render, number).label
        tiles.append(Tile(image, f"seed {seed}", shorten(note, NOTE, placeholder="...")))
    file = BytesIO()
    contact_sheet(tiles).save(file, "PNG")
    return Download(f"{_stem(render)}-sheet.png", "image/png", file.getvalue())


def _encode_all(render: Render) -> list[bytes]:
    with TemporaryDirectory() as folder:
        return [path.read_bytes() for path in render.save(Path(folder) / "image.png")]


def _stem(render: Render) -> str:
    """Return the begin of a file's name: the prompt, and whether the image is a preview."""
    words = re.sub(r"\W+", "-", render.made_by.scene.prompt.lower())[:LONGEST].strip("-_")
    return (words or "image") + ("" if render.exact else "-preview")


def _image_name(render: Render, number: int) -> str:
    seeds = render.made_by.scene.seeds
    # Seeds may repeat.
    place = f"-{number + 1}" if len(seeds) > 1 else ""
    return f"{_stem(render)}{place}-seed-{seeds[number]}.png"
