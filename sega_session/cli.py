"""The `sega-session` command. Exit codes: 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from .errors import SegaSessionError

if TYPE_CHECKING:
    from .demo import Row

app = App(name="sega-session", help="Edit images along concepts, and keep what was computed.")


@app.command
def demo(
    *,
    out: Path = Path("sega-demo"),
    model: str | None = None,
    prompt: str | None = None,
    device: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
) -> None:
    """Edit a portrait step by step: add, reweight, invert, remove.

    Writes one labelled contact sheet and a picture of each step, and prints what each step took,
    beside the same picture computed from scratch.

    Parameters
    ----------
    out
        The folder for the pictures; made if it is missing.
    model
        A checkpoint in diffusers' layout, a directory or a Hugging Face hub id. Default: the
        embedded one.
    prompt
        What the base picture shows. Default: a portrait that suits the checkpoint.
    device
        Where the model runs, "cpu" or "cuda". Default: CUDA if there is any.
    dtype
        The model's precision. Default: float16 on CUDA, else float32.
    """
    console = Console()
    out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be made
    with console.status("Loading the model"):
        # Imported here, since torch and diffusers take seconds that `--help` need not wait for.
        _quiet_libraries()
        import torch

        from .contact_sheet import Tile, contact_sheet
        from .demo import run, settings_for
        from .models import AVATARS, load_pipeline

        model = model or str(AVATARS)
        pipeline = load_pipeline(
            model, device=device, dtype=getattr(torch, dtype) if dtype else None
        )
        pipeline.set_progress_bar_config(disable=True)
    settings = settings_for(model)
    prompt = settings.prompt if prompt is None else prompt

    columns = (
        TextColumn("Editing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("model calls"),
        TimeRemainingColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        rows = run(
            pipeline,
            prompt,
            settings,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    seconds = time.perf_counter() - start

    _print_table(console, rows)
    for number, row in enumerate(rows):
        row.image.save(out / f"{number}.png")
    tiles = [Tile(row.image, row.label, f"{row.evaluations} evaluations") for row in rows]
    contact_sheet(tiles).save(out / "contact_sheet.png")
    console.print(f"{len(rows)} edits of “{prompt}”, each drawn twice, in {seconds:.0f} s.")
    console.print(f"Pictures: {out}{os.sep}contact_sheet.png, 0.png to {len(rows) - 1}.png")


def _print_table(console: Console, rows: list[Row]) -> None:
    table = Table(
        Column("edit", no_wrap=True),
        Column("evaluated", justify="right"),
        Column("seconds", justify="right"),
        Column("from scratch", justify="right"),
        Column("seconds", justify="right"),
        caption="evaluated: branches (prompt, empty prompt, concepts), each once a model call",
    )
    for row in rows:
        table.add_row(
            row.label,
            str(row.evaluations),
            f"{row.seconds:.2f}",
            str(row.scratch_evaluations),
            f"{row.scratch_seconds:.2f}",
        )
    console.print(table)


def _quiet_libraries() -> None:
    """Keep loading bars and advice for developers out of a command's output."""
    import transformers

    # Before diffusers is imported, which makes transformers speak of torchvision.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    import diffusers

    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()


def main() -> None:
    """Run the command; an error is one line on stderr."""
    try:
        app()
    except (SegaSessionError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
