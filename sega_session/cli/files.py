"""The commands for scripts: `run` and `export-script`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from PIL import Image
from rich import get_console
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ..contact_sheet import Tile, contact_sheet
from ..errors import printable
from ..files import file_errors
from ..saving import read_masks, read_photograph
from ..scripts import (
    DEFAULT_LIMITS,
    Limits,
    OperationResult,
    Script,
    photograph_files,
    run_script,
    script_from_history,
)
from .examples import find_script
from .loading import Device, DType, load_with_status
from .opening import is_image, read_file
from .output import Force, about, check_targets, make_folder, progress, say

if TYPE_CHECKING:
    from ..session import EditSession

Limit = Annotated[int, Parameter(validator=Number(gte=1))]


def run(
    script: Path,
    *,
    out: Path,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
    max_operations: Limit = DEFAULT_LIMITS.operations,
    max_evaluations: Limit = DEFAULT_LIMITS.evaluations,
    max_pixels: Limit = DEFAULT_LIMITS.pixels,
    max_seeds: Limit = DEFAULT_LIMITS.seeds,
) -> None:
    """Run a scripted edit history.

    Writes the script's outputs, and beside them contact_sheet.png, session.safetensors and
    report.json, which has the evaluations and times.

    Parameters
    ----------
    script
        The script, a JSON file, or an example's name: avatars; with a checkpoint of Stable
        Diffusion 1.x also boulevard, castle, cat, face.
    out
        The folder for all output; created if it is missing.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id. Default: the embedded one.
    max_operations
        The operations that the script may have.
    max_evaluations
        The evaluations that its renders may take together.
    max_pixels
        The pixels that all images of one render may have together.
    max_seeds
        The seeds that its scene may have.
    """
    console = get_console()
    limits = Limits(
        operations=max_operations,
        evaluations=max_evaluations,
        pixels=max_pixels,
        seeds=max_seeds,
    )
    path = find_script(script)
    read = Script.load(path, limits)
    make_folder(out)
    check_targets(_targets(read, out), force=force)
    pipeline = load_with_status(console, model, device, dtype)
    from ..session import EditSession

    with about(script):
        session = EditSession.from_script(read, pipeline, path.parent, limits)
        run_and_report(console, read, session, out, limits, path.parent)


def export_script(file: Path, *, out: Path | None = None, force: Force = False) -> None:
    """Write a session file's history as a script, which makes it again and renders its state.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to.
    out
        The script's file; the photographs that it needs are written beside it. Default: printed.
    """
    with about(file):
        scene, history = read_file(file)
        masks = read_masks(file) if any(state.masks for state in history.states()) else {}
        # Without a render, running the script would show nothing.
        script = script_from_history(scene, history, masks, "image.png")
        photographs = None if is_image(file) else read_photograph(file)
    if out is None:
        sys.stdout.write(script.dump())
        return
    images = {}
    if photographs is not None:
        names = photograph_files(len(photographs))
        images = {out.with_name(name): one for name, one in zip(names, photographs, strict=True)}
    check_targets([out, *images], force=force)
    script.save(out)
    for path, pixels in images.items():
        with file_errors(path, "cannot be written"):
            Image.fromarray(pixels).save(path)


def run_and_report(
    console: Console,
    script: Script,
    session: EditSession,
    out: Path,
    limits: Limits,
    inputs: Path | None = None,
) -> None:
    """Run a script, and write its outputs, a contact sheet, the session and a report.

    If an operation fails, the results of those before it are still written. Masks are read from
    ``inputs``, or else from ``out``.

    Raises:
        ScriptError: the script asks for more than the limits, or an operation failed.
        SessionFileError: a file cannot be written.
    """
    results: list[OperationResult] = []
    try:
        with progress(console, "Running", "operations") as show:
            show(0, len(script.operations))
            for result in run_script(script, session, out, limits, inputs=inputs):
                results.append(result)
                show(len(results), len(script.operations))
                if result.render is not None and not console.is_terminal:
                    say(console, f"{_name(result)}: {result.render.evaluations} evaluations")
    finally:
        if results:
            console.print(_table(results))
            _report_results(console, results, session, out)


def _report_results(
    console: Console, results: list[OperationResult], session: EditSession, out: Path
) -> None:
    """Write the contact sheet, the report and the session."""
    sheet, report = out / "contact_sheet.png", out / "report.json"
    tiles = list(_tiles(results))
    if tiles:
        with file_errors(sheet, "cannot be written"):
            contact_sheet(tiles).save(sheet)
    with file_errors(report, "cannot be written"):
        report.write_text(json.dumps(_report(results), indent=2, ensure_ascii=False) + "\n")
    say(console, str(session.save(out / "session.safetensors")))
    if tiles:
        say(console, f"Contact sheet: {sheet}")


def _targets(script: Script, out: Path) -> list[Path]:
    """Return the files that a run writes; the script's own may need folders that it makes."""
    own = ("contact_sheet.png", "session.safetensors", "report.json")
    there = (out / path for path in script.outputs if os.path.lexists(out / path))
    return [*(out / name for name in own), *there]


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
        written = printable(", ".join(path.name for path in one.outputs))
        table.add_row(
            str(one.index), Text(one.description), evaluations, f"{one.seconds:.2f}", Text(written)
        )
    return table


def _name(one: OperationResult) -> str:
    """Return the name of a render's first image, or of its operation."""
    return one.outputs[0].name if one.outputs else f"operation {one.index}"


def _tiles(results: list[OperationResult]) -> Iterator[Tile]:
    for one in results:
        if one.render is not None:
            names = [path.stem for path in one.outputs] or [f"operation {one.index}"]
            for number, image in enumerate(one.render.images):
                label = names[min(number, len(names) - 1)]
                yield Tile(image, label, f"{one.render.evaluations} evaluations")


def _report(results: list[OperationResult]) -> dict[str, Any]:
    """Return the operations of a run and their costs, for report.json."""
    operations = []
    for one in results:
        entry: dict[str, Any] = {"index": one.index, "operation": one.description}
        entry["seconds"] = round(one.seconds, 3)
        if one.render is not None:
            entry |= {"mode": one.render.mode, "evaluations": one.render.evaluations}
        if one.outputs:
            entry["outputs"] = [path.name for path in one.outputs]
        operations.append(entry)
    return {
        "seconds": round(sum(one.seconds for one in results), 3),
        "evaluations": sum(entry.get("evaluations", 0) for entry in operations),
        "operations": operations,
    }
