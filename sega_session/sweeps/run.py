"""`run_sweep`: run the units that are not finished, then write the table and the contact sheets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import frozen

from ..errors import InvalidValueError
from ..files import make_folder
from ..models import as_model, identify, load_quietly
from ..state.fields import check_path
from .in_process import run_here
from .sheets import write_sheets
from .sweep import Sweep
from .table import TABLE, write_table
from .units import Unit, UnitResult, record_of, units_of


@frozen(kw_only=True, repr=False)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        units: the units that ran now; the others were finished before.
        images: the images in the table.
        errors: the images that failed; they are tried again when the sweep is run again.
        error: the reason of the first of these; "" if there is none.
        evaluations: the evaluations of the units that ran now; see `Render.evaluations`.
        table: the path of the table, a CSV file.
        sheets: the paths of the contact sheets, PNG files.
    """

    units: int
    images: int
    errors: int
    error: str
    evaluations: int
    table: Path
    sheets: tuple[Path, ...]

    def __repr__(self) -> str:
        return (
            f"<SweepResult {self.images} images, {self.errors} failed, {self.units} units and "
            f"{self.evaluations} evaluations now: {self.table}>"
        )


def run_sweep(
    sweep: Sweep | str | Path,
    out: str | Path,
    *,
    pipeline: Any = None,
    load: Callable[[], Any] | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    callback_on_unit_end: Callable[[UnitResult], object] | None = None,
) -> SweepResult:
    """Render a sweep into a folder: images, a table and contact sheets.

    What is finished in the folder already stays, so a sweep that was ended or extended goes on:
    only missing images are rendered. An edit or a unit that fails is in the table with its error,
    and is tried again when the sweep is run again. On Ctrl+C, or another error, the table of
    what is there is written before the error is raised.

    >>> run_sweep("portraits.toml", "results", pipeline=load_avatars())

    Args:
        sweep: the sweep, or the path of its file.
        out: the folder for all results; created if it is missing. With Ray, all machines must
            share it.
        pipeline: a pipeline for a sweep in this process; None: the one that ``load`` returns.
        load: returns the pipeline that the sweep's `model` and `dtype` name, which tell finished
            units of one model from those of another; it is called in each worker, and with Ray
            must be picklable. None: `load_pipeline` is called.
        workers: the number of Ray's workers, each with a device of its own; None: all devices of
            the Ray at ``ray_address``, or no Ray if that is None too.
        ray_address: the address of a Ray that runs, "auto" for one that this machine is part of;
            None: with ``workers``, one is started on this machine.
        callback_on_unit_end: called with the result of each unit that ran. Raising from it ends the
            sweep.

    Raises:
        ScriptError: the sweep's file cannot be read.
        InvalidValueError: a pipeline together with Ray or ``load``.
        SessionFileError: a file cannot be written or read.

    And what ``load`` raises.
    """
    sweep = sweep if isinstance(sweep, Sweep) else Sweep.load(sweep)
    out = check_path("out", out)
    if pipeline is not None and (load, workers, ray_address) != (None, None, None):
        raise InvalidValueError(
            "pipeline",
            type(pipeline).__name__,
            "None with load=, workers= or ray_address=",
            "Pipelines do not travel to workers; pass load=, or name the model in the sweep.",
        )
    make_folder(out)
    model = None if pipeline is None else identify(as_model(pipeline)).digest
    units = partial(units_of, sweep, model)
    if load is None:
        load = partial(load_quietly, sweep.model, None, sweep.dtype)
    done = evaluations = 0
    try:
        pending = (one for one in units() if not _is_finished(sweep, one, out))
        with closing(_results(sweep, pending, out, pipeline, load, workers, ray_address)) as found:
            for result in found:
                done, evaluations = done + 1, evaluations + result.evaluations
                if callback_on_unit_end is not None:
                    callback_on_unit_end(result)
    except BaseException:
        write_table(sweep, units(), out)
        raise
    totals = write_table(sweep, units(), out)
    return SweepResult(
        units=done,
        images=totals.images,
        errors=totals.errors,
        error=totals.error,
        evaluations=evaluations,
        table=out / TABLE,
        sheets=write_sheets(sweep, units(), out),
    )


def finished_images(sweep: Sweep, out: Path) -> int:
    """Return the number of images of the units that are finished in a folder.

    Raises:
        SessionFileError: a record cannot be read.
    """
    finished = (one for one in units_of(sweep) if _is_finished(sweep, one, out))
    return len(sweep.edits) * sum(len(one.seeds) for one in finished)


def _is_finished(sweep: Sweep, unit: Unit, out: Path) -> bool:
    record = record_of(sweep, unit, out)
    return record is not None and record.finished


def _results(
    sweep: Sweep,
    pending: Iterator[Unit],
    out: Path,
    pipeline: Any,
    load: Callable[[], Any],
    workers: int | None,
    ray_address: str | None,
) -> Generator[UnitResult]:
    """Yield the results of the units that are not finished; load nothing if there are none."""
    for first in pending:
        units = chain([first], pending)
        if workers is None and ray_address is None:
            pipeline = load() if pipeline is None else pipeline
            yield from run_here(sweep, units, out, pipeline)
        else:
            # Ray is an extra, which need not be installed.
            from .ray_engine import run_on_ray  # noqa: PLC0415

            yield from run_on_ray(sweep, units, out, load, workers=workers, address=ray_address)
