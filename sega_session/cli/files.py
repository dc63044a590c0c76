"""The commands for scripts and session files: `run`, `info`, `render`, `export-script`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from cyclopts.validators import Path as PathValidator
from PIL import Image
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from ..contact_sheet import Tile, contact_sheet
from ..errors import printable
from ..files import file_errors
from ..saving import (
    Document,
    check_carried,
    image_paths,
    read_document,
    read_masks,
    read_photograph,
    read_provenance,
)
from ..scripts import (
    DEFAULT_LIMITS,
    Limits,
    OperationResult,
    Script,
    photograph_files,
    run_script,
    script_from_history,
)
from ..state import EditState, History, Scene
from .examples import find_script
from .loading import Device, DType, load_with_status
from .output import Force, about, check_targets, make_folder, progress, say

if TYPE_CHECKING:
    from ..session import EditSession

Limit = Annotated[int, Parameter(validator=Number(gte=1))]
PngFile = Annotated[Path, Parameter(validator=PathValidator(ext="png"))]


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
    console = Console()
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


def info(file: Path) -> None:
    """Print the contents of a session file or an image: scene, concepts, history, sizes.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to.
    """
    with about(file):
        Console().print(describe(file))


def render(
    file: Path,
    *,
    out: PngFile,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
) -> None:
    """Render the current state of a session file, or that of an image, to a PNG file.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to.
    out
        The image's file, ending in .png; of several seeds, each image gets a number.
    model
        The checkpoint that the session was made with: a directory, a .safetensors file or a
        Hugging Face hub id. Default: the embedded one.
    """
    console = Console()
    with about(file):
        scene, _ = _read(file)
        check_targets(image_paths(out, len(scene.seeds)), force=force)
        pipeline = load_with_status(console, model, device, dtype)
        from ..session import EditSession

        begin = EditSession.from_image if _is_image(file) else EditSession.load
        rendered = begin(file, pipeline).render()
        for path in rendered.save(out):
            say(console, f"{path}: {rendered.evaluations} evaluations")


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
        scene, history = _read(file)
        masks = read_masks(file) if any(state.masks for state in history.states()) else {}
        # Without a render, running the script would show nothing.
        script = script_from_history(scene, history, masks, "image.png")
        photographs = None if _is_image(file) else read_photograph(file)
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


def _is_image(file: Path) -> bool:
    return file.suffix.lower() == ".png"


def _read(file: Path) -> tuple[Scene, History]:
    """Return the scene and the history of a session's file, or of an image's only edit.

    Raises:
        SessionFormatError: the file holds neither, or the image lacks tensors it was made with.
        SessionFileError: the file cannot be read.
    """
    if not _is_image(file):
        document = read_document(file)
        return document.scene, document.history
    made, _ = read_provenance(file)
    check_carried(made)
    return made.scene, History().commit(made.state, "from an image")


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


def describe(file: Path) -> Group:
    """Return the contents of a session's file or of an image for printing; no model is needed.

    Raises:
        SessionFormatError, SessionFileError: the file cannot be read.
    """
    if _is_image(file):
        made, index = read_provenance(file)
        own = {
            "image": f"{index + 1} of {len(made.scene.seeds)}, {made.mode}",
            "model": made.model[:12],
            "made with": ", ".join(made.given),
        }
        return _describe(file, made.scene, made.sampler, made.state, own)
    document = read_document(file)
    own = {
        "model": f"{document.model.digest[:12]}, {document.model.dtype}",
        "written with": ", ".join(f"{name} {one}" for name, one in document.versions.items()),
        "recorded": _recorded(document),
    }
    history = document.history
    found = _describe(file, document.scene, document.model.sampler, history.state, own)
    return Group(found, Text(str(history)))


def _describe(
    file: Path, scene: Scene, sampler: str, state: EditState, own: dict[str, str]
) -> Group:
    """Return a scene, a state, and what else a file holds, for printing."""
    rows = {
        "prompt": scene.prompt,
        "negative prompt": scene.negative_prompt,
        "seeds": ", ".join(map(str, scene.seeds)),
        "size": f"{scene.width} x {scene.height}",
        "steps": f"{scene.num_inference_steps} ({sampler})",
        "guidance scale": f"{scene.guidance_scale:g}",
        "guidance rescale": f"{scene.guidance_rescale:g}" if scene.guidance_rescale else "",
        "clip skip": "" if scene.clip_skip is None else str(scene.clip_skip),
        "photograph": ""
        if scene.photograph is None
        else f"{scene.photograph}, skip {scene.skip:g}",
        "momentum": f"{state.momentum_scale:g}, beta {state.momentum_beta:g}",
        **own,
        "file": f"{file.stat().st_size / 1e6:.2f} MB",
    }
    facts = Table.grid(padding=(0, 2))
    for what, value in rows.items():
        if value:
            facts.add_row(Text(what, style="dim"), Text(printable(value)))
    if not state.concepts:
        return Group(facts)
    concepts = Table("concept", "scale", "threshold", "warm-up", "", title_justify="left")
    for one in state:
        flags = [] if one.opposite is None else [f"against {printable(one.opposite)}"]
        flags += [] if one.mask is None else [f"in {one.mask.share:.0%} of the image"]
        flags += ["inverted"] * one.inverted + ["disabled"] * (not one.enabled)
        concepts.add_row(
            *(Text(printable(one.name)), f"{one.scale:g}", f"{one.threshold:g}", str(one.warmup)),
            Text(", ".join(flags)),
        )
    return Group(facts, concepts)


def _recorded(document: Document) -> str:
    """Return the numbers of recorded renders and of recorded evaluations, in words."""
    renders = sum(document.calls in one.latents for one in document.recorded)
    predictions = sum(len(run.calls) for one in document.recorded for run in one.predictions)
    images = len(document.scene.seeds)
    return f"{renders} renders, {predictions * images} evaluations"
