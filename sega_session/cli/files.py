"""What the commands for scripts and session files do: run, info, render, export-script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ..files import file_errors
from ..saving.document import Document, read_document
from ..scripts.runner import Ran, run, script_of
from ..scripts.script import Script
from .contact_sheet import Tile, contact_sheet

if TYPE_CHECKING:
    from ..session import EditSession


def load(console: Console, model: str | None, device: str | None, dtype: str | None) -> Any:
    """A pipeline, loaded without the libraries' own bars and advice; None: the embedded one."""
    with console.status("Loading the model"):
        # Imported here, since torch and diffusers take seconds that `--help` need not wait for;
        # transformers first, because diffusers makes it speak of torchvision.
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        import diffusers
        import torch

        diffusers.logging.set_verbosity_error()
        diffusers.logging.disable_progress_bar()
        from ..models.loading import AVATARS, load_pipeline

        precision = getattr(torch, dtype) if dtype else None
        pipeline = load_pipeline(model or str(AVATARS), device=device, dtype=precision)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def run_script(console: Console, script: Script, session: EditSession, out: Path) -> None:
    """Run a script, and write its outputs, a contact sheet, the session and a report.

    Where an operation fails, what was done before it is written all the same.

    Raises:
        ScriptError: an operation failed.
        SessionFileError: something cannot be written.
    """
    columns = (
        TextColumn("Running"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("operations"),
        TimeElapsedColumn(),
    )
    done: list[Ran] = []
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=len(script.operations))
            for one in run(script, session, out):
                done.append(one)
                progress.advance(task)
    finally:
        console.print(_table(done))
        sheet, report = out / "contact_sheet.png", out / "report.json"
        tiles = list(_tiles(done))
        if tiles:
            with file_errors(sheet, "cannot be written"):
                contact_sheet(tiles).save(sheet)
        with file_errors(report, "cannot be written"):
            report.write_text(json.dumps(_report(done), indent=2, ensure_ascii=False) + "\n")
        console.print(Text(f"{session.save(out / 'session.safetensors')}"))
        if tiles:
            console.print(Text(f"Pictures: {sheet}"))


def _table(done: list[Ran]) -> Table:
    table = Table(
        Column("", justify="right"),
        "operation",
        Column("evaluated", justify="right"),
        Column("seconds", justify="right"),
        "written",
    )
    for one in done:
        evaluations = "" if one.render is None else str(one.render.evaluations)
        written = "" if one.output is None else one.output.name
        table.add_row(
            str(one.index), Text(one.what), evaluations, f"{one.seconds:.2f}", Text(written)
        )
    return table


def _tiles(done: list[Ran]) -> Iterator[Tile]:
    for one in done:
        if one.render is not None:
            label = one.output.stem if one.output else f"operation {one.index}"
            for image in one.render.images:
                yield Tile(image, label, f"{one.render.evaluations} evaluations")


def _report(done: list[Ran]) -> dict[str, Any]:
    """What a run did and what it took."""
    operations = []
    for one in done:
        told: dict[str, Any] = {"index": one.index, "operation": one.what}
        told["seconds"] = round(one.seconds, 3)
        if one.render is not None:
            told |= {"mode": one.render.mode, "evaluations": one.render.evaluations}
        if one.output is not None:
            told["output"] = one.output.name
        operations.append(told)
    return {
        "seconds": round(sum(one.seconds for one in done), 3),
        "evaluations": sum(told.get("evaluations", 0) for told in operations),
        "operations": operations,
    }


def about(file: Path) -> Group:
    """What a session's file holds, for the eye; the model is not needed.

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
    """How many pictures a file holds, and the predictions that led to them."""
    pictures = sum(document.calls in one.latents for one in document.recorded)
    predictions = sum(len(run.calls) for one in document.recorded for run in one.predictions)
    images = len(document.scene.seeds)
    return f"{pictures} renders, {predictions * images} evaluations"


def exported(file: Path) -> Script:
    """The script that makes a session file's history again; the model is not needed.

    Raises:
        SessionFormatError, SessionFileError: the file cannot be read as a session's.
        ScriptError: a concept is defined by embeddings.
    """
    document = read_document(file)
    return script_of(document.scene, document.history)
