"""The commands that render images: `edit`, `render` and `grid`."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich import get_console
from rich.console import Console

from ..saving import image_paths
from .loading import Device, DType, load_with_status
from .opening import (
    EditOptions,
    SceneOptions,
    apply_edits,
    as_options,
    count_images,
    open_file,
    open_session,
    watch,
)
from .options import Axis, ModeOption, PngFile, SessionFile, parse_axis, parsed
from .output import FAILED, INTERRUPTED, Force, about, check_targets, progress, say

if TYPE_CHECKING:
    from ..render import Render
    from ..session import EditSession
    from ..state import ModeName

AXIS = "FIELD=VALUE,VALUE,..."

GRID_OPTIONS = {"num_inference_steps": "steps"}
"""The words for fields that errors name, where those of a grid's axes are others."""

Columns = Annotated[
    Axis,
    parsed(
        parse_axis,
        AXIS,
        "The values of the columns. The field is a concept's, such as glasses.scale, or prompt, "
        "seed, steps, mode or another of the scene. Integers can be a range, as in seed=0..7; "
        "texts are separated by |.",
    ),
]
Rows = Annotated[Axis | None, parsed(parse_axis, AXIS, "The values of the rows. Default: one row.")]


def edit(
    file: Path | None = None,
    *,
    out: PngFile,
    scene: SceneOptions | None = None,
    edits: EditOptions | None = None,
    mode: ModeOption = "exact",
    save: SessionFile | None = None,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
) -> None:
    """Edit an image along concepts, and render it to a PNG file.

    For example:

        sega-session edit --seed 7 --add glasses:4 --add smile --out a.png

    Each edit is an entry of the history. The image can be edited again: the PNG file holds its
    scene and concepts, and what `--save` writes holds the history and what was computed, too.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to. Another
        prompt, seed or setting makes another image with the same edits. Default: a new image.
    out
        The image's file, ending in .png; of several seeds, each image gets a number.
    save
        The file that the session is saved to, ending in .safetensors. Default: none.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id; for a file, the one that it was made with. Default: the embedded one.
    """
    console = get_console()
    scene, edits = scene or SceneOptions(), edits or EditOptions()
    outputs = [*image_paths(out, count_images(file, scene.seed)), *([save] if save else ())]
    check_targets(outputs, force=force)
    session = _open(console, file, scene, edits, model, device, dtype)
    _write_render(console, session, mode, out)
    if save is not None:
        say(console, str(session.save(save)))


def render(
    file: Path,
    *,
    out: PngFile,
    at: int | str | None = None,
    mode: ModeOption = "exact",
    seed: int | None = None,
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
    at
        The entry of the history to render: its number, as info shows it, or a branch's name.
        Default: the current one.
    seed
        Another seed for the same edits. Default: the file's.
    model
        The checkpoint that the session was made with: a directory, a .safetensors file or a
        Hugging Face hub id. Default: the embedded one.
    """
    console = get_console()
    check_targets(image_paths(out, count_images(file, seed)), force=force)
    session = open_file(file, load_with_status(console, model, device, dtype))
    if at is not None:
        with about(file):
            session.checkout(at)
    if seed is not None:
        with as_options(), progress(console, "Inverting", "model calls") as show:
            session = session.another(seed=seed, callback_on_step_end=watch(show))
    _write_render(console, session, mode, out)


def grid(
    file: Path | None = None,
    *,
    x: Columns,
    y: Rows = None,
    out: PngFile,
    scene: SceneOptions | None = None,
    edits: EditOptions | None = None,
    mode: ModeOption = "exact",
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
    force: Force = False,
) -> None:
    """Render one image for each pair of values, and write them to one labelled sheet.

    For example:

        sega-session grid --add hat --x hat.scale=0,3,6 --y seed=0..7 --out a.png

    Images that are estimates say so. The file that the command begins from does not change.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to. Default: a
        new image.
    out
        The sheet's file, ending in .png.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id; for a file, the one that it was made with. Default: the embedded one.
    """
    console = get_console()
    check_targets([out], force=force)
    scene, edits = scene or SceneOptions(), edits or EditOptions()
    session = _open(console, file, scene, edits, model, device, dtype)
    from .. import grids

    columns, rows = len(x.values), 1 if y is None else len(y.values)
    with progress(console, "Rendering", "images") as show, as_options(GRID_OPTIONS):
        done = count(1)
        show(0, columns * rows)
        found = grids.grid(
            session,
            x=grids.vary(x.field, x.values),
            y=None if y is None else grids.vary(y.field, y.values),
            mode=mode,
            callback_on_cell_end=lambda _: show(next(done), columns * rows),
            progress=False,
        )
    cells = [cell for row in found.cells for cell in row]
    renders = [cell.render for cell in cells if cell.render is not None]
    if renders:
        found.save(out)
        kind = "exact" if all(one.exact for one in renders) else "approximate ones marked"
        say(console, f"{out}: {columns} x {rows} images, {kind}, {found.evaluations} evaluations")
    if not found.complete:
        # A warning has said what is missing.
        sys.exit(FAILED if any(cell.error for cell in cells) else INTERRUPTED)


def check_source(
    file: Path | None = None, *, scene: SceneOptions | None = None, **_: object
) -> None:
    """Raise ValueError if a command is given a file and a photograph."""
    if file is not None and scene is not None and scene.photo is not None:
        raise ValueError("A file has images of its own: leave out --photo, or the file.")


def _open(
    console: Console,
    file: Path | None,
    scene: SceneOptions,
    edits: EditOptions,
    model: str | None,
    device: str | None,
    dtype: str | None,
) -> EditSession:
    """Load a model, and return the session that the options describe."""
    pipeline = load_with_status(console, model, device, dtype)
    from ..models import recommended_or_published

    settings = recommended_or_published(pipeline)
    with progress(console, "Inverting", "model calls") as show:
        session = open_session(file, scene, pipeline, settings, show)
    apply_edits(session, edits, settings)
    return session


def _write_render(console: Console, session: EditSession, mode: ModeName, out: Path) -> None:
    """Render a session's current state, write the images, and print one line about them."""
    with progress(console, "Rendering", "model calls") as show:
        rendered = session.render(mode, callback_on_step_end=watch(show))
    paths = rendered.save(out)
    files = str(paths[0]) if len(paths) == 1 else f"{paths[0]} to {paths[-1].name}"
    say(console, f"{files}: {_describe(rendered)}, {rendered.evaluations} evaluations")


def _describe(rendered: Render) -> str:
    """Return the mode of a render, and how near its images are to the exact ones."""
    mode = rendered.mode.partition("(")[0]
    words = {"close": ", close to the exact image", "rough": ", a rough estimate"}
    return mode + ("" if rendered.exact else words.get(rendered.quality or "", ", approximate"))
