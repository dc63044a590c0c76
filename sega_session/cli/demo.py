"""The command `demo`: edit a portrait step by step, and compare each step with one from scratch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen
from PIL import Image, ImageDraw, ImageFont
from rich import get_console
from rich.table import Column, Table

from ..contact_sheet import fitted
from ..files import file_errors
from .loading import Device, DType, load_with_status
from .output import Force, check_targets, make_folder, progress, say

if TYPE_CHECKING:
    from ..models import Preset, Recommended
    from ..render import Render
    from ..session import EditSession

Edit = Callable[["EditSession"], None]

STEPS = 8
"""The number of steps, each of which makes an image."""

TILE, GAP, TEXT, BAR = 320, 24, 84, 10
"""Pixels of the sheet: an image's side, the space around it, the text and the bar below it."""

PAPER, INK, PALE, TRACK, FILL = "#ffffff", "#1b1d22", "#5a606b", "#dfe3ea", "#1f5fd0"


def demo(
    *,
    out: Path = Path("sega-demo"),
    model: str | None = None,
    prompt: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
) -> None:
    """Edit a portrait step by step: add, remove, disable, undo.

    Writes one labelled contact sheet and an image of each step, and prints the cost of each step
    beside the cost of an image of the same edits rendered from scratch.

    Parameters
    ----------
    out
        The folder for the images; created if it is missing.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id. Default: the embedded one.
    prompt
        The prompt of the base image. Default: a portrait that suits the checkpoint.
    """
    console = get_console()
    make_folder(out)
    sheet, images = out / "contact_sheet.png", [out / f"{number}.png" for number in range(STEPS)]
    check_targets([*images, sheet], force=force)
    pipeline = load_with_status(console, model, device, dtype)
    from ..models import recommended_or_published

    settings = recommended_or_published(pipeline)
    prompt = settings.prompt if prompt is None else prompt
    start = time.perf_counter()
    rows: list[Row] = []
    with progress(console, "Editing", "model calls") as show:
        for image, row in zip(images, run_demo(pipeline, prompt, settings, show), strict=True):
            with file_errors(image, "cannot be written"):
                row.image.save(image)
            rows.append(row)
            if not console.is_terminal:
                say(console, f"{image}: {row.label}, {row.cost}")
    seconds = time.perf_counter() - start

    console.print(_table(rows))
    with file_errors(sheet, "cannot be written"):
        demo_sheet(rows).save(sheet)
    say(console, f"{len(rows)} images of “{prompt}”, each rendered twice, in {seconds:.0f} s.")
    say(console, f"Images: {sheet}, {images[0].name} to {images[-1].name}")


@frozen(eq=False)
class Row:
    """The image of one step and its cost, with and without recorded predictions.

    Attributes:
        label: the edit, in words.
        image: the image after the edit.
        quality: see `Render.quality`; "approximate" where no error was estimated.
        evaluations, seconds: the cost of the render that reuses recorded predictions.
        scratch_evaluations, scratch_seconds: the cost of an exact render from scratch.
    """

    label: str
    image: Image.Image
    quality: str
    evaluations: int
    seconds: float
    scratch_evaluations: int
    scratch_seconds: float

    @property
    def cost(self) -> str:
        """The evaluations, in words."""
        return f"{self.evaluations} of {self.scratch_evaluations} evaluations"


@frozen(eq=False)
class Step:
    """A step of the demo.

    Attributes:
        label: the edit, in words.
        edit: makes it in a session.
        mode: of the render after it.
    """

    label: str
    edit: Edit
    mode: str = "exact"


def demo_steps(presets: Mapping[str, Preset]) -> tuple[Step, ...]:
    """Return the steps.

    Args:
        presets: settings for "glasses" and "smile", and for "blue hair" or "beard".
    """
    third = "blue hair" if "blue hair" in presets else "beard"

    def add(prompt: str) -> Step:
        preset = presets[prompt]
        return Step(f"add {prompt}", lambda s: s.add(prompt, **preset.arguments(s.num_calls)))

    def undo_twice(session: EditSession) -> None:
        session.undo()
        session.undo()

    return (
        Step("base", lambda s: None),
        add("glasses"),
        add("smile"),
        add(third),
        Step("remove glasses", lambda s: s.remove("glasses"), "anchored"),
        Step("disable smile", lambda s: s.disable("smile"), "anchored"),
        Step("undo twice", undo_twice),
        Step("back to the base", lambda s: s.checkout(0)),
    )


def run_demo(
    pipeline: Any, prompt: str, settings: Recommended, on_progress: Callable[[int, int], None]
) -> Iterator[Row]:
    """Make every edit in two sessions, one of which records nothing; yield each step's row.

    Args:
        pipeline: the pipeline of both sessions.
        prompt: the prompt of the base image.
        settings: the seed, the guidance scale and the settings of concepts.
        on_progress: called with the number of model calls done and their total; calls that need
            no evaluation count as done.
    """
    from ..session import EditSession

    scratch, session = (
        EditSession(
            pipeline,
            prompt,
            seed=settings.seed,
            guidance_scale=settings.guidance_scale,
            cache_bytes=cache_bytes,
        )
        for cache_bytes in (0, 2**30)
    )
    steps = demo_steps(settings.concepts)
    total = 2 * len(steps) * session.num_calls
    done = 0

    def timed(one: EditSession, mode: str) -> tuple[Render, float]:
        nonlocal done
        start = time.perf_counter()
        render = one.render(
            mode, callback_on_step_end=lambda _, call, *__: on_progress(done + call + 1, total)
        )
        done += one.num_calls
        on_progress(done, total)
        return render, time.perf_counter() - start

    for step in steps:
        step.edit(scratch)
        step.edit(session)
        again, scratch_seconds = timed(scratch, "exact")
        render, seconds = timed(session, step.mode)
        yield Row(
            label=step.label,
            image=render.image,
            quality=render.quality or "approximate",
            evaluations=render.evaluations,
            seconds=seconds,
            scratch_evaluations=again.evaluations,
            scratch_seconds=scratch_seconds,
        )


def demo_sheet(rows: Sequence[Row], columns: int = 4) -> Image.Image:
    """Return the images on one sheet, each above a bar of its cost.

    A bar is as long as the cost from scratch, and filled as far as the session evaluated.

    Args:
        rows: the steps, in order.
        columns: images in a row.
    """
    lines = -(-len(rows) // columns)
    across, down = TILE + GAP, TILE + TEXT + GAP
    size = columns * across + GAP, lines * down + 2 * GAP
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(24), ImageFont.load_default(18)
    most = max(row.scratch_evaluations for row in rows)
    for index, row in enumerate(rows):
        line, column = divmod(index, columns)
        left, top = GAP + column * across, GAP + line * down
        sheet.paste(fitted(row.image, TILE), (left, top))
        draw.text((left, top + TILE + 8), row.label, INK, large)
        draw.text((left + TILE, top + TILE + 13), row.quality, PALE, small, anchor="ra")
        sheet.paste(_bar(row, TILE / most), (left, top + TILE + 44))
        draw.text((left, top + TILE + 60), row.cost, PALE, small)
    total = sum(row.evaluations for row in rows)
    scratch = sum(row.scratch_evaluations for row in rows)
    note = (
        f"Filled: predictions that the session evaluated, {total:,} in all. "
        f"Bars: those of each image from scratch, {scratch:,} in all."
    )
    draw.text((GAP, lines * down + GAP), note, PALE, small)
    return sheet


def _bar(row: Row, unit: float) -> Image.Image:
    """Return a bar with ``unit`` pixels for an evaluation."""
    # Drawn larger and scaled down, for smooth ends.
    finer = 4
    bar = Image.new("RGB", (finer * TILE, finer * BAR), PAPER)
    draw = ImageDraw.Draw(bar)
    for evaluations, colour in ((row.scratch_evaluations, TRACK), (row.evaluations, FILL)):
        if evaluations:
            box = 0, 0, round(finer * evaluations * unit) - 1, finer * BAR - 1
            draw.rounded_rectangle(box, finer * BAR // 2, colour)
    return bar.resize((TILE, BAR), Image.Resampling.LANCZOS)


def _table(rows: list[Row]) -> Table:
    table = Table(
        Column("edit", no_wrap=True),
        Column("image"),
        Column("evaluated", justify="right"),
        Column("seconds", justify="right"),
        Column("from scratch", justify="right"),
        Column("seconds", justify="right"),
        caption="evaluated: conditions (prompt, empty prompt, concepts), each once per model call",
    )
    for row in rows:
        table.add_row(
            row.label,
            row.quality,
            str(row.evaluations),
            f"{row.seconds:.2f}",
            str(row.scratch_evaluations),
            f"{row.scratch_seconds:.2f}",
        )
    return table
