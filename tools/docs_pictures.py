"""Make the pictures of docs/sega.md in docs/images, with the embedded model.

    python tools/docs_pictures.py

Takes a minute on two cores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sega_session import EditSession, load_avatars, recommended
from sega_session.render import Render
from sega_session.state import edits

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SIDE = 256
"""Pixels of a picture, twice those of the model's images."""

SERIES = (
    ("curly hair", "scale", (1, 2, 3, 4, 6)),
    ("blue hair", "threshold", (0, 0.5, 0.8, 0.9, 0.99)),
    ("curly hair", "warmup", (0, 5, 10, 20, 30)),
)
"""A concept, one of its fields, and the values that it is shown with."""

MARK = (255, 0, 90)
"""The colour of the places where a concept acts."""


def main() -> None:
    """Render all pictures."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    found = recommended(pipeline)
    assert found is not None
    session = EditSession(pipeline, found.prompt, seed=found.seed, guidance_scale=5)

    def add(concept: str) -> None:
        session.add(concept, **found.concepts[concept].arguments(session.num_calls))

    write("base", session.render().image)
    for concept, field, values in SERIES:
        add(concept)
        session.render()
        for value in values:
            state = edits.update(session.state, concept, **{field: value})
            write(f"{field}-{value}", session.render(state=state).image)
        session.remove(concept)

    name = ""
    for concept in ("glasses", "smile", "blue hair"):
        add(concept)
        name += f"-{concept.replace(' ', '-')}"
        render = session.render()
        write(name[1:], render.image)
        if concept == "glasses":
            write("where", marked(session, render, concept))


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
