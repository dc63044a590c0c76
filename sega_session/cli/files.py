"""The commands for scripts and session files: `run`, `info`, `render`, `export-script`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ..contact_sheet import Tile, contact_sheet
from ..files import file_errors
from ..saving import Document, read_document
from ..scripts import OperationResult, Script, run_script, script_from_history
from .loading import Device, DType, load_with_status

if TYPE_CHECKING:
    from ..session import EditSession


def run(
    script: Path,
    *,
    out: Path,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
) -> None:
    """Run a scripted edit history.

    Writes the script's outputs, and beside them contact_sheet.png, session.safetensors and
    report.json, which has the evaluations and times.

    Parameters
    ----------
    script
        The script, a JSON file.
    out
        The folder for all output; created if it is missing.
    model
        A checkpoint in diffusers' layout, a directory or a Hugging Face hub id. Default: the
        embedded one.
    """
    console = Console()
    read = Script.load(script)
    out.mkdir(parents=True, exist_ok=True)
    pipeline = load_with_status(console, model, device, dtype)
    from ..session import EditSession

    run_and_report(console, read, EditSession.from_scene(read.scene, pipeline), out)


def info(file: Path) -> None:
    """Print the contents of a session file: scene, concepts, history, sizes.

    Parameters
    ----------
    file
        A file that a session was saved to.
    """
    Console().print(describe(file))


def render(
    file: Path,
    *,
    out: Path,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
) -> None:
    """Render a session file's current state to a PNG file.

    Parameters
    ----------
    file
        A file that a session was saved to.
    out
        The image's file, ending in .png; of several seeds, each image gets a number.
    model
        The checkpoint that the session was made with, a directory or a Hugging Face hub id.
        Default: the embedded one.
    """
    console = Console()
    pipeline = load_with_status(console, model, device, dtype)
    from ..session import EditSession

    rendered = EditSession.load(file, pipeline).render()
    for path in rendered.save(out):
        console.print(Text(f"{path}: {rendered.evaluations} evaluations"))


def export_script(file: Path, *, out: Path | None = None) -> None:
    """Write a session file's history as a script, which makes the same history again.

    Parameters
    ----------
    file
        A file that a session was saved to.
    out
        The script's file. Default: printed.
    """
    document = read_document(file)
    script = script_from_history(document.scene, document.history)
    if out is None:
        sys.stdout.write(script.dump())
    else:
        script.save(out)


def run_and_report(console: Console, script: Script, session: EditSession, out: Path) -> None:
    """Run a script, and write its outputs, a contact sheet, the session and a report.

    If an operation fails, the results of those before it are still written.

    Raises:
        ScriptError: an operation failed.
        SessionFileError: a file cannot be written.
    """
    columns = (
        TextColumn("Running"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("operations"),
        TimeElapsedColumn(),
    )
    results: list[OperationResult] = []
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=len(script.operations))
            for result in run_script(script, session, out):
                results.append(result)
                progress.advance(task)
    finally:
        console.print(_table(results))
        sheet, report = out / "contact_sheet.png", out / "report.json"
        tiles = list(_tiles(results))
        if tiles:
            with file_errors(sheet, "cannot be written"):
                contact_sheet(tiles).save(sheet)
        with file_errors(report, "cannot be written"):
            report.write_text(json.dumps(_report(results), indent=2, ensure_ascii=False) + "\n")
        console.print(Text(f"{session.save(out / 'session.safetensors')}"))
        if tiles:
            console.print(Text(f"Contact sheet: {sheet}"))


def _table(results: list[OperationResult]) -> Table:
    table = Table(
        Column("", justify="right"),
        "operation",
        Column("evaluated", justify="right"),
        Column("seconds", justify="right"),
        "written",
    )
    for one in results:
        evaluations = "" if one.render is None else str(one.render.evaluations)
        written = "" if one.output is None else one.output.name
        table.add_row(
            str(one.index), Text(one.description), evaluations, f"{one.seconds:.2f}", Text(written)
        )
    return table


def _tiles(results: list[OperationResult]) -> Iterator[Tile]:
    for one in results:
        if one.render is not None:
            label = one.output.stem if one.output else f"operation {one.index}"
            for image in one.render.images:
                yield Tile(image, label, f"{one.render.evaluations} evaluations")


def _report(results: list[OperationResult]) -> dict[str, Any]:
    """Return the operations of a run and their costs, for report.json."""
    operations = []
    for one in results:
        entry: dict[str, Any] = {"index": one.index, "operation": one.description}
        entry["seconds"] = round(one.seconds, 3)
        if one.render is not None:
            entry |= {"mode": one.render.mode, "evaluations": one.render.evaluations}
        if one.output is not None:
            entry["output"] = one.output.name
        operations.append(entry)
    return {
        "seconds": round(sum(one.seconds for one in results), 3),
        "evaluations": sum(entry.get("evaluations", 0) for entry in operations),
        "operations": operations,
    }


def describe(file: Path) -> Group:
    """Return the contents of a session's file for printing; the model is not needed.

    Raises:
        SessionFormatError, SessionFileError: the file cannot be read as a session's.
    """
    document = read_document(file)
    scene, model, state = document.scene, document.model, document.history.state
    facts = Table.grid(padding=(0, 2))
    rows = {
        "prompt": scene.prompt,
        "negative prompt": scene.negative_prompt,
        "seeds": ", ".join(map(str, scene.seeds)),
        "size": f"{scene.width} x {scene.height}",
        "steps": f"{scene.num_inference_steps} ({model.sampler})",
        "guidance scale": f"{scene.guidance_scale:g}",
        "momentum": f"{state.momentum_scale:g}, beta {state.momentum_beta:g}",
        "model": f"{model.digest[:12]}, {model.dtype}",
        "written with": ", ".join(f"{name} {one}" for name, one in document.versions.items()),
        "recorded": _recorded(document),
        "file": f"{file.stat().st_size / 1e6:.2f} MB",
    }
    for what, value in rows.items():
        if value:
            facts.add_row(Text(what, style="dim"), Text(value))
    concepts = Table("concept", "scale", "threshold", "warm-up", "", title_justify="left")
    for one in state:
        flags = ["inverted"] * one.inverted + ["disabled"] * (not one.enabled)
        concepts.add_row(
            *(Text(one.name), f"{one.scale:g}", f"{one.threshold:g}", str(one.warmup)),
            ", ".join(flags),
        )
    parts = [facts, concepts] if state.concepts else [facts]
    return Group(*parts, Text(str(document.history)))


def _recorded(document: Document) -> str:
    """Return the numbers of recorded renders and of recorded evaluations, in words."""
    renders = sum(document.calls in one.latents for one in document.recorded)
    predictions = sum(len(run.calls) for one in document.recorded for run in one.predictions)
    images = len(document.scene.seeds)
    return f"{renders} renders, {predictions * images} evaluations"
