"""Make the pictures of docs/sega.md in docs/images, with the embedded model.

    python tools/docs_pictures.py

Takes a minute on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sega_session import EditSession, load_avatars, recommended
from sega_session.render import Render
from sega_session.state import edits

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SIDE = 256
"""Pixels of a picture, twice those of the model's images."""

SCALES = (1, 2, 3, 4, 6)
THRESHOLDS = (0, 0.5, 0.8, 0.95, 0.99)
WARMUPS = (0, 5, 10, 20, 30)
MARK = (255, 0, 90)
"""The colour of the places where a concept acts."""


def main() -> None:
    """Render all pictures."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    found = recommended(pipeline)
    session = EditSession(pipeline, "a portrait of a person", seed=33, guidance_scale=5)
    write("base", session.render().image)

    session.add("glasses", scale=4, threshold=0.95)
    glasses = session.render()
    write("glasses", glasses.image)
    write("where", marked(session, glasses, "glasses"))
    for field, values in (("scale", SCALES), ("threshold", THRESHOLDS), ("warmup", WARMUPS)):
        for value in values:
            state = edits.update(session.state, "glasses", **{field: value})
            write(f"{field}-{value}", session.render(state=state).image)

    name = "glasses"
    for prompt in ("smile", "hat"):
        settings: dict[str, Any] = found.concepts[prompt].arguments(session.num_calls) if found else {}
        session.add(prompt, **settings)
        name += f"-{prompt}"
        write(name, session.render().image)


def marked(session: EditSession, render: Render, concept: str) -> Image.Image:
    """Return the unedited image in grey, with the places marked where a concept acts."""
    heat = session.heat_map(render, concept)[0].cpu().numpy()
    mask = Image.fromarray((255 * heat).astype(np.uint8)).resize(render.image.size)
    unedited = session.render(state=session.history[0].state).image
    grey = unedited.convert("L").convert("RGB")
    return Image.composite(Image.new("RGB", grey.size, MARK), grey, mask)


def write(name: str, image: Image.Image) -> None:
    """Write a picture, enlarged."""
    large = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    large.save(IMAGES / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main()
