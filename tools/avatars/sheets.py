"""Write contact sheets with base images above edited ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_CAPTION_HEIGHT = 16


def _strip(images: NDArray[np.float32]) -> Image.Image:
    """Place float (count, H, W, 3) in [0, 1] side by side."""
    return Image.fromarray((np.concatenate(list(images), axis=1) * 255).round().astype(np.uint8))


def save_sheet(rows: list[tuple[str, NDArray[np.float32]]], path: Path) -> None:
    """Write captioned rows of images; a row without a caption has no gap above it."""
    strips = [(caption, _strip(images)) for caption, images in rows]
    heights = [strip.height + (_CAPTION_HEIGHT if caption else 0) for caption, strip in strips]
    sheet = Image.new("RGB", (max(strip.width for _, strip in strips), sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    y = 0
    for (caption, strip), height in zip(strips, heights, strict=True):
        draw.text((2, y + 2), caption, fill="black")
        sheet.paste(strip, (0, y + height - strip.height))
        y += height
    sheet.save(path, quality=80)
