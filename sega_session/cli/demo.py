"""The command `demo`: edit a portrait step by step, and compare each step with one from scratch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from PIL import Image
from rich import get_console
from rich.table import Column, Table

from ..contact_sheet import Tile, contact_sheet
from ..files import file_errors
from .loading import Device, DType, load_with_status
from .output import Force, check_targets, make_folder, progress, say

if TYPE_CHECKING:
    from ..models import Preset, Recommended
    from ..render import Render
    from ..session import EditSession

Edit = Callable[["EditSession"], None]


def demo(
    *,
    out: Path = Path("sega-demo"),
    model: str | None = None,
    prompt: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
) -> None:
    """Edit a portrait step by step: add, reweight, invert, remove.

    Writes one labelled contact sheet and an image of each step, and prints the cost of each step
    beside the cost of the same image rendered from scratch.

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
    sheet, images = out / "contact_sheet.png", [out / f"{number}.png" for number in range(8)]
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
                say(console, f"{image}: {row.label}, {row.evaluations} evaluations")
    seconds = time.perf_counter() - start

    console.print(_table(rows))
    tiles = [Tile(row.image, row.label, f"{row.evaluations} evaluations") for row in rows]
    with file_errors(sheet, "cannot be written"):
        contact_sheet(tiles).save(sheet)
    say(console, f"{len(rows)} edits of “{prompt}”, each rendered twice, in {seconds:.0f} s.")
    say(console, f"Images: {sheet}, {images[0].name} to {images[-1].name}")


@frozen(eq=False)
class Row:
    """The image of one edit and its cost, with and without recorded predictions.

    Attributes:
        label: the edit, in words.
        image: the image after the edit.
        evaluations, seconds: the cost of the render that reuses recorded predictions.
        scratch_evaluations, scratch_seconds: the cost of the same render from scratch.
    """

    label: str
    image: Image.Image
    evaluations: int
    seconds: float
    scratch_evaluations: int
    scratch_seconds: float


def demo_edits(presets: Mapping[str, Preset]) -> tuple[tuple[str, Edit], ...]:
    """Return the demo's edits with their labels.

    Args:
        presets: settings for the concepts "glasses", "beard" and "smile" at least.
    """

    def add(prompt: str, scale: float | None = None) -> tuple[str, Edit]:
        preset = presets[prompt]
        preset = preset if scale is None else evolve(preset, scale=scale)
        return f"add {prompt}", lambda s: s.add(prompt, **preset.arguments(s.num_calls))

    strong = presets["beard"].scale
    weak = strong / 2
    return (
        ("base", lambda s: None),
        add("glasses"),
        add("beard", scale=weak),
        (f"beard {weak:g} to {strong:g}", lambda s: s.reweight("beard", scale=strong)),
        add("smile"),
        ("invert smile", lambda s: s.invert("smile")),
        ("remove beard", lambda s: s.remove("beard")),
        ("remove smile", lambda s: s.remove("smile")),
    )


def run_demo(
    pipeline: Any, prompt: str, settings: Recommended, on_progress: Callable[[int, int], None]
) -> Iterator[Row]:
    """Make every edit in two sessions, one of which records nothing; yield each edit's row.

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
    edits = demo_edits(settings.concepts)
    total = 2 * len(edits) * session.num_calls
    done = 0

    def timed(one: EditSession) -> tuple[Render, float]:
        nonlocal done
        start = time.perf_counter()
        render = one.render(
            callback_on_step_end=lambda _, call, *__: on_progress(done + call + 1, total)
        )
        done += one.num_calls
        on_progress(done, total)
        return render, time.perf_counter() - start

    for label, edit in edits:
        edit(scratch)
        edit(session)
        again, scratch_seconds = timed(scratch)
        render, seconds = timed(session)
        yield Row(
            label, render.image, render.evaluations, seconds, again.evaluations, scratch_seconds
        )


def _table(rows: list[Row]) -> Table:
    table = Table(
        Column("edit", no_wrap=True),
        Column("evaluated", justify="right"),
        Column("seconds", justify="right"),
        Column("from scratch", justify="right"),
        Column("seconds", justify="right"),
        caption="evaluated: conditions (prompt, empty prompt, concepts), each once per model call",
    )
    for row in rows:
        table.add_row(
            row.label,
            str(row.evaluations),
            f"{row.seconds:.2f}",
            str(row.scratch_evaluations),
            f"{row.scratch_seconds:.2f}",
        )
    return table
