"""Make the pictures of the demo in examples/: its sheet, and sliders as they move.

    make .venv/installed && .venv/bin/python tools/demo_pictures.py

Takes two minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from PIL import Image, ImageDraw, ImageFont

from sega_session import EditSession, Render, load_avatars
from sega_session.cli.demo import FILL, INK, PALE, PAPER, TRACK, demo_sheet, run_demo
from sega_session.models import recommended_or_published

EXAMPLES = Path(__file__).parent.parent / "examples"

SCALES: Mapping[str, tuple[float, ...]] = {
    "smile": (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4),
    "glasses": (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4),
    "blue hair": (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6),
}
"""The scales that each slider passes, one a frame; the last is the recommended one."""

REACH = 6
"""The scale at a slider's right end."""

FRAME, PAUSE, END = 140, 1200, 2500
"""Milliseconds that a frame is shown: while a slider moves, when it was released, at the end."""

FINER, SIDE, MARGIN, ROW, LABEL = 2, 384, 20, 34, 104
"""How much larger frames are drawn, and pixels of the image, margins, lines and labels."""


@frozen(eq=False)
class Frame:
    """A frame: the image, and the sliders below it.

    Attributes:
        render: the image and its cost.
        scratch: the evaluations of such an image from scratch.
        moved: the concept whose slider is moved; None at the beginning.
        milliseconds: how long it is shown.
    """

    render: Render
    scratch: int
    moved: str | None
    milliseconds: int


def main() -> None:
    """Write demo.png and slider.webp."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    settings = recommended_or_published(pipeline)
    rows = run_demo(pipeline, settings.prompt, settings, lambda done, total: None)
    demo_sheet([*rows]).save(EXAMPLES / "demo.png", optimize=True)
    frames = [*slide(pipeline)]
    frames[-1] = evolve(frames[-1], milliseconds=END)
    first, *rest = [draw(frame) for frame in frames]
    first.save(
        EXAMPLES / "slider.webp",
        save_all=True,
        append_images=rest,
        duration=[frame.milliseconds for frame in frames],
        loop=0,
        quality=85,
        method=6,
    )


def slide(pipeline: Any) -> Iterator[Frame]:
    """Move one slider after the other: estimates while it moves, and the exact image then."""
    settings = recommended_or_published(pipeline)
    session = EditSession(
        pipeline, settings.prompt, seed=settings.seed, guidance_scale=settings.guidance_scale
    )
    calls = session.num_calls
    yield Frame(session.render(), 2 * calls, None, PAUSE)
    for name, scales in SCALES.items():
        arguments = settings.concepts[name].arguments(calls)
        session.add(name, **arguments | {"scale": scales[0]})
        scratch = (2 + len(session)) * calls
        for scale in scales:
            session.reweight(name, scale=scale)
            yield Frame(session.render("anchored"), scratch, name, FRAME)
        yield Frame(session.render(), scratch, name, PAUSE)


def draw(frame: Frame) -> Image.Image:
    """Return the picture of a frame."""
    scales = {concept.name: concept.scale for concept in frame.render.state}
    size = SIDE + 2 * MARGIN, SIDE + 3 * MARGIN + (len(SCALES) + 2) * ROW
    picture = Image.new("RGB", (FINER * size[0], FINER * size[1]), PAPER)
    canvas = ImageDraw.Draw(picture)
    font = ImageFont.load_default(17 * FINER)

    def write(x: int, y: int, text: str, colour: str, anchor: str = "lm") -> None:
        canvas.text((FINER * x, FINER * y), text, colour, font, anchor=anchor)

    def line(left: float, right: float, y: int, colour: str, half: int = 4) -> None:
        box = FINER * left, FINER * (y - half), FINER * right, FINER * (y + half)
        canvas.rounded_rectangle(box, FINER * half, colour)

    image = frame.render.image.resize((FINER * SIDE, FINER * SIDE), Image.Resampling.LANCZOS)
    picture.paste(image, (FINER * MARGIN, FINER * MARGIN))
    left, right = MARGIN + LABEL, MARGIN + SIDE - 48
    y = SIDE + 2 * MARGIN + ROW // 2
    for name in SCALES:
        colour = FILL if name == frame.moved else PALE
        at = left + (right - left) * scales.get(name, 0) / REACH
        write(MARGIN, y, name, INK)
        line(left, right, y, TRACK, half=3)
        line(left, at, y, colour, half=3)
        line(at - 8, at + 8, y, colour, half=8)
        write(MARGIN + SIDE, y, f"{scales.get(name, 0):g}", PALE, "rm")
        y += ROW
    most = (2 + len(SCALES)) * (frame.scratch // (2 + len(frame.render.state.concepts)))
    y += 6
    line(MARGIN, MARGIN + SIDE * frame.scratch / most, y, TRACK)
    if frame.render.evaluations:
        line(MARGIN, MARGIN + SIDE * frame.render.evaluations / most, y, FILL)
    y += ROW - 8
    cost = f"{frame.render.evaluations} of {frame.scratch} evaluations"
    write(MARGIN, y, cost, PALE)
    write(MARGIN + SIDE, y, frame.render.quality or "approximate", PALE, "rm")
    return picture.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
