"""The `sega-session` command. Exit codes: 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from ..errors import SegaSessionError
from ..scripts import Script
from . import files as cli_files
from . import jupyter as cli_jupyter
from .files import load

if TYPE_CHECKING:
    from .demo import Row

app = App(
    name="sega-session",
    help="Edit images along concepts, and keep what was computed.",
    help_epilogue="An error is one line; with --debug it is a traceback.",
)

DType = Literal["float32", "float16", "bfloat16"]
Port = Annotated[int | None, Parameter(validator=Number(gte=1, lte=65535))]


@app.command
def demo(
    *,
    out: Path = Path("sega-demo"),
    model: str | None = None,
    prompt: str | None = None,
    device: str | None = None,
    dtype: DType | None = None,
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
    pipeline = load(console, model, device, dtype)
    from .contact_sheet import Tile, contact_sheet
    from .demo import run, settings_for

    settings = settings_for(pipeline)
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


@app.command(name="run")
def run_script_file(
    script: Path,
    *,
    out: Path,
    model: str | None = None,
    device: str | None = None,
    dtype: DType | None = None,
) -> None:
    """Run a scripted edit history.

    Writes what the script says, and beside it contact_sheet.png, session.safetensors and
    report.json, which has the evaluations and times.

    Parameters
    ----------
    script
        The script, a JSON file.
    out
        The folder for all output; made if it is missing.
    model
        A checkpoint in diffusers' layout, a directory or a Hugging Face hub id. Default: the
        embedded one.
    device
        Where the model runs, "cpu" or "cuda". Default: CUDA if there is any.
    dtype
        The model's precision. Default: float16 on CUDA, else float32.
    """
    console = Console()
    read = Script.load(script)
    out.mkdir(parents=True, exist_ok=True)
    pipeline = load(console, model, device, dtype)
    from ..session import EditSession

    cli_files.run_script(console, read, EditSession.of_scene(read.scene, pipeline), out)


@app.command
def info(file: Path) -> None:
    """Print what a session file holds: scene, concepts, history, sizes.

    Parameters
    ----------
    file
        A file that a session was saved to.
    """
    Console().print(cli_files.about(file))


@app.command
def render(
    file: Path,
    *,
    out: Path,
    model: str | None = None,
    device: str | None = None,
    dtype: DType | None = None,
) -> None:
    """Draw a session file's current state to a PNG file.

    Parameters
    ----------
    file
        A file that a session was saved to.
    out
        The picture's file, ending in .png; of several seeds, each picture gets a number.
    model
        The checkpoint that the session was made with, a directory or a Hugging Face hub id.
        Default: the embedded one.
    device
        Where the model runs, "cpu" or "cuda". Default: CUDA if there is any.
    dtype
        The model's precision. Default: float16 on CUDA, else float32.
    """
    console = Console()
    pipeline = load(console, model, device, dtype)
    from ..session import EditSession

    picture = EditSession.load(file, pipeline).render()
    for path in picture.save(out):
        console.print(Text(f"{path}: {picture.evaluations} evaluations"))


@app.command
def export_script(file: Path, *, out: Path | None = None) -> None:
    """Write a session file's history as a script, which makes the same history again.

    Parameters
    ----------
    file
        A file that a session was saved to.
    out
        The script's file. Default: printed.
    """
    script = cli_files.exported(file)
    if out is None:
        sys.stdout.write(script.dump())
    else:
        script.save(out)


@app.command
def lab(folder: Path = Path("sega-examples"), *, port: Port = None, browser: bool = True) -> None:
    """Open the example notebooks in JupyterLab; Ctrl+C ends it.

    Parameters
    ----------
    folder
        Where the notebooks are copied to, unless they are there; made if it is missing.
    port
        Where JupyterLab listens, on this machine only. Default: 8888, or a free one after it.
    browser
        Open it in a browser.
    """
    sys.exit(cli_jupyter.open_lab(folder, port, browser=browser))


def _scene_or_file(
    file: Path | None = None, *, prompt: str | None = None, seed: int | None = None, **_: object
) -> None:
    if file is not None and (prompt is not None or seed is not None):
        raise ValueError(
            "A session file has a prompt and seeds of its own: leave out --prompt "
            "and --seed, or the file."
        )


@app.command(name="app", validator=_scene_or_file)
def open_app(
    file: Path | None = None,
    *,
    model: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: DType | None = None,
    port: Port = None,
    browser: bool = True,
) -> None:
    """Open the panel as a page in the browser; Ctrl+C ends it.

    The page's address has a token, without which nobody gets in. It saves to the folder that the
    command is started in; loading the page again begins anew.

    Parameters
    ----------
    file
        A file that a session was saved to. Default: a new session.
    model
        A checkpoint in diffusers' layout, a directory or a Hugging Face hub id; for a file, the
        one that the session was made with. Default: the embedded one.
    prompt
        What a new session's picture shows. Default: a portrait that suits the checkpoint.
    seed
        A new session's seed. Default: one that suits the checkpoint.
    device
        Where the model runs, "cpu" or "cuda". Default: CUDA if there is any.
    dtype
        The model's precision. Default: float16 on CUDA, else float32.
    port
        Where the page is served, on this machine only. Default: any free one.
    browser
        Open the page in a browser; its address is printed anyway.
    """
    arguments = {"prompt": prompt, "seed": seed, "device": device, "dtype": dtype}
    sys.exit(cli_jupyter.open_page(file, model, arguments, port, browser=browser))


def main() -> None:
    """Run the command; an error is one line on stderr, or a traceback with --debug."""
    arguments = [one for one in sys.argv[1:] if one != "--debug"]
    try:
        app(arguments)
    except (SegaSessionError, OSError) as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
