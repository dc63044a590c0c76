"""Units of a sweep: a group of seeds of one prompt, rendered with all edits in one session."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from attrs import asdict, evolve, frozen
from PIL import Image

from .. import files as strict
from ..errors import SegaSessionError, SessionFileError, printable
from ..models import ModelIdentity, as_model, identify
from ..saving import Provenance, png_text
from ..scripts import Limits, Script, ScriptScene, run_script
from ..session import EditSession
from ..state import Anchored, EditState, Exact, ModeName, Scene, as_mode
from .records import Record, image_file, read_record, write_record
from .storing import write_file
from .sweep import Sweep

Names: TypeAlias = Callable[[str], tuple[Provenance, ...]]
"""Returns the provenance of each image of a batch in a mode."""

EXACT = str(Exact())

LIMITS = Limits(operations=10**6, pixels=2**60, seeds=10**6)
"""The limits of the edits, which `Sweep` and `Scene` have checked."""

MAX_ERROR = 300
"""The longest text of an error that is recorded, in characters."""


@frozen
class Unit:
    """The images that are rendered in one session: a group of seeds of one prompt, with all edits.

    Attributes:
        index: its number in the sweep, counted from 0.
        prompt: the prompt.
        seeds: the seeds.
        key: a digest of all that its images depend on; names its record.
    """

    index: int
    prompt: str
    seeds: tuple[int, ...]
    key: str


@frozen(kw_only=True)
class UnitResult:
    """The outcome of a unit, in small values.

    Attributes:
        index: the number of the unit.
        images: the images, failed ones included.
        evaluations: the evaluations that were made for them; see `Render.evaluations`.
        seconds: the time that they took.
        errors: the images that failed.
        error: the reason if the whole unit failed; "" else.
    """

    index: int
    images: int
    evaluations: int
    seconds: float
    errors: int
    error: str = ""


def units_of(sweep: Sweep, model: str | None = None) -> Iterator[Unit]:
    """Yield the units of a sweep, in order.

    Args:
        sweep: the sweep.
        model: the digest of the model that it is run with; None: the sweep names it.
    """
    named = [sweep.model, sweep.dtype] if model is None else [model]
    shared = strict.dump((*named, sweep.scene, sweep.mode, sweep.edits))
    digest = hashlib.sha256(shared.encode()).hexdigest()
    for index, (prompt, seeds) in enumerate(sweep.groups()):
        own = strict.dump((digest, prompt, seeds))
        yield Unit(index, prompt, seeds, hashlib.sha256(own.encode()).hexdigest()[:32])


def record_of(sweep: Sweep, unit: Unit, out: Path) -> Record | None:
    """Return the record of a unit; None: there is none that fits it.

    Raises:
        SessionFileError: the record cannot be read.
    """
    record = read_record(out, unit.key)
    if record is None or (record.seeds, len(record.modes)) != (unit.seeds, len(sweep.edits)):
        return None
    return record


def run_unit(sweep: Sweep, unit: Unit, pipeline: Any, out: Path) -> UnitResult:
    """Render a unit's images into a sweep's folder, then write its record.

    A unit that is finished is left as it is; images that are there already are not rendered again.
    An edit that fails is recorded, and the others go on.

    Args:
        sweep: the sweep.
        unit: one of its units.
        pipeline: as for `EditSession`.
        out: the sweep's folder.

    Raises:
        SessionFileError: a file cannot be written.
    """
    former = record_of(sweep, unit, out)
    if former is not None and former.finished:
        return _result(unit, former)
    try:
        columns = _columns(sweep, unit, pipeline, out)
    except SessionFileError:
        raise
    # Of any kind: one unit of many must not end the others.
    except Exception as error:
        return fail_unit(sweep, unit, _explain(error), out)
    return _finish(unit, columns if former is None else _with_costs(columns, former), out)


def fail_unit(sweep: Sweep, unit: Unit, reason: str, out: Path) -> UnitResult:
    """Record that a unit failed as a whole; it runs again when the sweep is run again.

    Args:
        sweep: the sweep.
        unit: one of its units.
        reason: the error in words.
        out: the sweep's folder.

    Raises:
        SessionFileError: the record cannot be written.
    """
    failed = _failed(unit, reason)
    result = _finish(unit, [failed] * len(sweep.edits), out)
    return evolve(result, error=failed.error)


@frozen(kw_only=True)
class Column:
    """The outcome of one edit of a unit; see `Record`."""

    mode: str = ""
    evaluations: int = 0
    seconds: float = 0.0
    error: str = ""
    digests: tuple[str, ...]


def _columns(sweep: Sweep, unit: Unit, pipeline: Any, out: Path) -> list[Column]:
    """Render a unit's edits in one session, and write their images."""
    model = identify(as_model(pipeline))
    scene = ScriptScene(prompt=unit.prompt, seeds=unit.seeds, **asdict(sweep.scene))
    columns = []
    with EditSession.from_scene(scene, pipeline) as session:
        for edit in sweep.edits:
            try:
                state = _edited(session, Script(scene, edit.operations))
                names = partial(_provenances, session.scene, state, model)
                found = _found(names, sweep.mode, out)
                columns.append(found or _rendered(session, state, sweep.mode, names, out))
            except SessionFileError:
                raise
            except Exception as error:
                columns.append(_failed(unit, _explain(error)))
    return columns


def _with_costs(columns: Sequence[Column], former: Record) -> list[Column]:
    """Return columns with the costs that are recorded for images that were there before."""
    costs = zip(former.evaluations, former.seconds, strict=True)
    return [
        evolve(one, evaluations=evaluations, seconds=seconds)
        if not one.seconds and one.digests == former.of_edit(number)
        else one
        for number, (one, (evaluations, seconds)) in enumerate(zip(columns, costs, strict=True))
    ]


def _edited(session: EditSession, script: Script) -> EditState:
    """Return the state that a script's edits lead to from the unedited image."""
    session.checkout(0)
    # Its masks are text, so no folder is read.
    for _ in run_script(script, session, Path(), LIMITS):
        pass
    return session.state


def _provenances(
    scene: Scene, state: EditState, model: ModelIdentity, mode: str
) -> tuple[Provenance, ...]:
    """Return the provenance of each image of a batch, as that of an image rendered alone.

    Its noise is that of its seed, whatever the other seeds are.
    """
    return tuple(
        Provenance(
            scene=evolve(scene, seeds=(seed,)),
            state=state,
            mode=mode,
            sampler=model.sampler,
            model=model.digest,
        )
        for seed in scene.seeds
    )


def _digest(provenance: Provenance) -> str:
    return hashlib.sha256(strict.dump(provenance).encode()).hexdigest()[:32]


def _found(names: Names, mode: ModeName | Anchored, out: Path) -> Column | None:
    """Return the images of an edit if all are there, exact ones or those of the mode."""
    for one in dict.fromkeys((EXACT, str(as_mode(mode)))):
        digests = tuple(map(_digest, names(one)))
        if all((out / image_file(digest)).is_file() for digest in digests):
            return Column(mode=one, digests=digests)
    return None


def _rendered(
    session: EditSession,
    state: EditState,
    mode: ModeName | Anchored,
    names: Names,
    out: Path,
) -> Column:
    """Render a state and write its images."""
    start = time.perf_counter()
    evaluations = 0
    if as_mode(mode) != Exact():
        # What the other modes start from. It is recorded after the first time.
        session.checkout(0)
        evaluations += session.render(output_type="latent", progress=False).evaluations
    render = session.render(mode, state=state, progress=False)
    evaluations += render.evaluations
    images = len(render.images)
    seconds = (time.perf_counter() - start) / images
    shown = EXACT if render.exact else render.mode
    digests = []
    for image, provenance in zip(render.images, names(shown), strict=True):
        digests.append(_digest(provenance))
        _write_image(out / image_file(digests[-1]), image, provenance)
    return Column(
        mode=shown,
        evaluations=evaluations // images,
        seconds=round(seconds, 4),
        digests=tuple(digests),
    )


def _write_image(path: Path, image: Image.Image, provenance: Provenance) -> None:
    """Write an image with its provenance unless it is there. Raises SessionFileError."""
    if not path.is_file():
        text = png_text(provenance, 0)
        write_file(path, lambda file: image.save(file, format="png", pnginfo=text))


def _failed(unit: Unit, reason: str) -> Column:
    return Column(error=reason[:MAX_ERROR] or "failed", digests=("",) * len(unit.seeds))


def _explain(error: Exception) -> str:
    """Return an error in one line, with its class if it is not one of this package."""
    kind = "" if isinstance(error, SegaSessionError) else f"{type(error).__name__}: "
    return printable(f"{kind}{error}")


def _finish(unit: Unit, columns: Sequence[Column], out: Path) -> UnitResult:
    """Write a unit's record and return its result. Raises SessionFileError."""
    record = Record(
        prompt=unit.prompt,
        seeds=unit.seeds,
        modes=tuple(one.mode for one in columns),
        evaluations=tuple(one.evaluations for one in columns),
        seconds=tuple(one.seconds for one in columns),
        errors=tuple(one.error for one in columns),
        digests=tuple(chain.from_iterable(one.digests for one in columns)),
    )
    write_record(out, unit.key, record)
    return _result(unit, record)


def _result(unit: Unit, record: Record) -> UnitResult:
    images = len(unit.seeds)
    return UnitResult(
        index=unit.index,
        images=len(record.digests),
        evaluations=images * sum(record.evaluations),
        seconds=images * sum(record.seconds),
        errors=images * sum(map(bool, record.errors)),
    )
