"""The command `sweep`: render prompts x seeds x edits into a folder, with a table and sheets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from attrs import evolve
from cyclopts import Parameter
from cyclopts.validators import Number
from rich import get_console

from ..errors import SegaSessionError
from .examples import find_sweep
from .loading import Device, DType, load_with_status
from .output import make_folder, progress, say

if TYPE_CHECKING:
    from ..sweeps import UnitResult


def sweep(
    file: Path,
    *,
    out: Path,
    workers: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    ray: str | None = None,
    model: str | None = None,
    device: Device = None,
    dtype: DType = None,
) -> None:
    """Render all prompts x seeds x edits of a sweep into a folder.

    Writes table.csv, which has a row for each image, contact sheets, and the images with what made
    them. A sweep that was ended or extended goes on: only missing images are rendered.

    Parameters
    ----------
    file
        The sweep, a TOML file, or an example's name: portraits.
    out
        The folder for all output; created if it is missing.
    workers
        Render with Ray, with this many workers, each on a device of its own. Needs the extra
        "ray". Default: without Ray, or all devices of the Ray that --ray names.
    ray
        The address of a Ray that runs, or "auto" on one of its machines.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id. Default: the sweep's own, or else the embedded one.
    """
    console = get_console()
    # Imported here, since torch takes seconds that `--help` does not need.
    from ..sweeps import Sweep

    found = Sweep.load(find_sweep(file))
    found = evolve(found, model=model or found.model, dtype=dtype or found.dtype)
    make_folder(out)
    from ..models import load_quietly
    from ..sweeps import finished_images, run_sweep

    done, total = finished_images(found, out), found.num_images
    load: Callable[[], Any] = partial(load_quietly, found.model, device, found.dtype)
    if done < total and workers is None and ray is None:
        pipeline = load_with_status(console, found.model, device, found.dtype)
        load = lambda: pipeline  # noqa: E731

    def on_unit_end(result: UnitResult) -> None:
        nonlocal done
        done += result.images
        show(done, total)
        if not console.is_terminal:
            say(console, f"{done} of {total} images: {result.evaluations} evaluations")

    try:
        with progress(console, "Rendering", "images") as show:
            show(done, total)
            result = run_sweep(
                found,
                out,
                load=load,
                workers=workers,
                ray_address=ray,
                callback_on_unit_end=on_unit_end,
            )
    except KeyboardInterrupt:
        say(console, "Interrupted. The table has what is there; the same command goes on.")
        raise
    say(console, f"{result.images} images, {result.evaluations} evaluations")
    say(console, f"Table: {result.table}")
    if result.sheets:
        say(console, f"Contact sheets: {result.sheets[0].parent}")
    if result.errors:
        raise SegaSessionError(
            f"{result.errors} of {total} images failed; see the column error of {result.table}. "
            f"The first: {result.error} The same command tries them again."
        )
