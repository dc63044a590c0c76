"""Grids of renders: one setting, or two, at several values each.

>>> found = grid(session, x=vary("glasses.scale", [0, 3, 6]), y=vary("seed", range(8)))
>>> found.save("glasses.png")
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from PIL import Image
from tqdm import tqdm

from .contact_sheet import EMPTY, TILE, Tile, labelled_grid
from .errors import (
    IncompleteWarning,
    InvalidValueError,
    NoEffectWarning,
    NotFiniteError,
    OutOfMemoryError,
    SegaSessionWarning,
    redirect_warnings,
    suggest,
    warn_caller,
)
from .files import file_errors
from .models import as_model
from .render import Render
from .sega import Trajectory
from .session import Budgets, Changes, EditSession, changed_scene
from .state import EditState, Exact, Mask, MaskSource, Mode, Scene, as_mode, edits, first_call
from .state.fields import as_bool, check_path, check_text, checked_by

SCENE_FIELDS = tuple(
    name
    for name in Changes.__annotations__
    if name not in (*Budgets.__annotations__, "callback_on_step_end")
)
"""The fields of a scene that a grid can vary, named as for `EditSession`."""

MOMENTUM_FIELDS = ("momentum_scale", "momentum_beta")

FAILURES = (InvalidValueError, NotFiniteError, OutOfMemoryError)
"""The errors of one cell that leave the others possible."""

WORDS = {"num_inference_steps": "steps"}
"""The words of a field in headers, where they are not its name."""

LARGEST_SHEET, SMALLEST_IMAGE = 4096, 64
"""Pixels: images shrink so that a sheet's sides, without text, are no longer; but only so far."""


def _as_values(values: object) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidValueError("values", values, "a list of values", "Put it into a list.")
    found = tuple(values)
    if not found:
        raise InvalidValueError("values", found, "at least one value")
    return found


@frozen
class Vary:
    """A setting and the values that a grid gives it; see `vary`.

    Attributes:
        field: the setting.
        values: at least one value.

    Raises:
        InvalidValueError: there is no value, or the field is not text.
    """

    field: str = attrs.field(validator=checked_by(check_text, may_be_empty=False))
    values: tuple[Any, ...] = attrs.field(converter=_as_values)

    @property
    def labels(self) -> tuple[str, ...]:
        """The headers of the values: "glasses scale 3", "seed 7"."""
        return tuple(_label(self.field, value, n) for n, value in enumerate(self.values, 1))


@frozen(eq=False)
class Cell:
    """A place of a grid.

    Attributes:
        x, y: its values; y is None in a grid of one row.
        render: its images and their cost; None: it was not rendered.
        error: the message of the error that its render failed with; "" for none.
    """

    x: Any
    y: Any
    render: Render | None = None
    error: str = ""


@frozen(eq=False, repr=False)
class Grid:
    """Renders at the values of one or two settings. In a notebook it shows its sheet.

    Attributes:
        x, y: the settings of the columns and of the rows; y is None for one row.
        cells: the rows, each with one cell for every column.
        evaluations: of all renders; those that estimates start from are included, inversions of
            photographs are not.
        scene: the session's scene.
    """

    x: Vary
    y: Vary | None
    cells: tuple[tuple[Cell, ...], ...]
    evaluations: int
    scene: Scene

    def __repr__(self) -> str:
        fields = self.x.field if self.y is None else f"{self.x.field} x {self.y.field}"
        return (
            f"<Grid {fields}, {len(self.x.values)} x {len(self.cells)} cells, "
            f"{len(self._rendered())} rendered, {self.evaluations} evaluations>"
        )

    @property
    def images(self) -> list[list[list[Image.Image]]]:
        """The images by row, column and seed; a cell that was not rendered has none."""
        return [
            [[] if cell.render is None else list(cell.render.images) for cell in row]
            for row in self.cells
        ]

    @property
    def complete(self) -> bool:
        """True if every cell was rendered."""
        return all(cell.render is not None for row in self.cells for cell in row)

    def sheet(self) -> Image.Image:
        """Return all images on one sheet, with the values as headers.

        The images of several seeds are side by side. Below approximate images is `Render.quality`,
        and what their estimated error is; below those of a cell that failed, the error.
        """
        renders = self._rendered()
        exact = all(render.exact for render in renders)
        tiles = [[self._tile(cell, marked=not exact) for cell in row] for row in self.cells]
        shown = [tile.image for row in tiles for tile in row if tile is not None]
        seeds = max((len(render.images) for render in renders), default=1)
        fitting = LARGEST_SHEET // max(seeds * len(self.x.values), len(self.cells))
        side = min(TILE, max(fitting, SMALLEST_IMAGE))
        single = max((max(one.size) for render in renders for one in render.images), default=side)
        whole = max((max(image.size) for image in shown), default=single)
        varied = {self.x.field} if self.y is None else {self.x.field, self.y.field}
        cost = f"{self.evaluations} evaluations"
        count = sum(len(row) for row in self.cells)
        if len(renders) < count:
            cost += f", {len(renders)} of {count} cells rendered"
        return labelled_grid(
            tiles,
            self.x.labels,
            ("",) if self.y is None else self.y.labels,
            title=f"{'' if 'prompt' in varied else self.scene.prompt.strip()}\n{cost}",
            tile=side * whole // single,
        )

    def save(self, path: str | Path) -> Path:
        """Write the sheet to a PNG file, and return its path.

        Raises:
            InvalidValueError: the path does not end in .png.
            SessionFileError: the file cannot be written.
        """
        path = check_path("path", path)
        if path.suffix.lower() != ".png":
            raise InvalidValueError("path", str(path), "a file name that ends in .png")
        with file_errors(path, "cannot be written"):
            self.sheet().save(path)
        return path

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.sheet().save(file, format="png")
        return file.getvalue()

    def _rendered(self) -> list[Render]:
        cells = (cell for row in self.cells for cell in row)
        return [cell.render for cell in cells if cell.render is not None]

    def _blank(self) -> Image.Image:
        """Return an image of the size of a cell's images side by side."""
        blank = Image.new("RGB", (self.scene.width, self.scene.height), EMPTY)
        return _side_by_side([blank] * len(self.scene.seeds))

    def _tile(self, cell: Cell, *, marked: bool) -> Tile | None:
        render = cell.render
        if render is None:
            return Tile(self._blank(), "failed", cell.error) if cell.error else None
        label, note = "", ""
        if marked:
            label = render.quality or "approximate"
        if render.error_estimate is not None:
            note = f"about {100 * max(render.error_estimate):.2g}% off"
        return Tile(_side_by_side(list(render.images)), label, note)


@frozen(eq=False)
class _Place:
    """A cell before it is rendered.

    Attributes:
        x, y: as of `Cell`.
        settings: the values of the varied fields.
        scene: with those of its fields that vary.
        mode: of its render.
    """

    x: Any
    y: Any
    settings: Mapping[str, Any]
    scene: Scene
    mode: Mode

    @property
    def is_estimated(self) -> bool:
        return self.mode != Exact()


@frozen(eq=False)
class _Done:
    """A render, or the error that it failed with.

    Attributes:
        place: its cell; None: estimates start from it.
    """

    place: _Place | None
    render: Render | None
    error: str = ""


def vary(field: str, values: Iterable[Any]) -> Vary:
    """Return a setting with several values, for `grid`.

    Args:
        field: "CONCEPT.FIELD" for a field of a concept, such as "glasses.scale" (those that
            `EditSession.update` takes); "seed", "prompt" and the other fields of the scene that
            `EditSession.another` takes; "mode"; "momentum_scale" or "momentum_beta".
        values: at least one value, in the order of the columns or rows. A seed can be several,
            which make a batch.

    Raises:
        InvalidValueError: there is no value, or the field is not text.
    """
    return Vary(field, values)


def grid(
    session: EditSession,
    *,
    x: Vary,
    y: Vary | None = None,
    mode: str | Mode = "exact",
    callback_on_cell_end: Callable[[Cell], object] | None = None,
    progress: bool = True,
) -> Grid:
    """Render the current state at every value of one setting, or of two.

    Cells of the session's own scene are rendered with its recordings and add to them. Each other
    scene has a session of its own with the same budgets, one after the other. In all of them,
    cells that share model calls follow each other. The session's history, its current state and
    the state that its estimates start from stay as they are.

    Approximate modes start from the current state, which is rendered exactly first in each scene.
    If "mode" varies, they start from the unedited state instead, and not from the session's
    recordings, so that no image is exact only because it was recorded.

    ^C ends the grid, which then has the cells that are done.

    >>> grid(session, x=vary("glasses.scale", [0, 3, 6]), y=vary("seed", range(8)))

    Args:
        session: the session; its concepts are those that can vary.
        x: the setting of the columns, made by `vary`.
        y: the setting of the rows; None: one row.
        mode: the mode of every render, as for `EditSession.render`, unless "mode" varies.
        callback_on_cell_end: called with each `Cell` when it is done. Raising from it ends the
            grid with that error.
        progress: False hides the progress bar, which counts cells and is the pipeline's own:
            ``pipeline.set_progress_bar_config(disable=True)`` hides it too. Photographs that are
            inverted again, for another seed for example, show their own.

    Raises:
        InvalidValueError: an unknown field, or a value outside its range. Nothing was rendered.
        UnknownConceptError: the session has no concept of that name.
        ModelChangedError: the model was changed since the session began.

    Warns:
        IncompleteWarning: ^C, or cells failed; see `Cell.error`.
        PromptTruncatedWarning: the end of a prompt does not fit the text encoder.
    """
    if callback_on_cell_end is not None and not callable(callback_on_cell_end):
        raise InvalidValueError("callback_on_cell_end", callback_on_cell_end, "a function, or None")
    with redirect_warnings(_ignore):
        # Edits that another thread makes meanwhile do not change the grid.
        origin = session.copy()
        origin.close()
    rows = _places(origin, x, y, as_mode(mode))
    places = [place for row in rows for place in row]
    _check(origin, places)
    done: dict[_Place, Cell] = {}
    evaluations = 0
    with (
        _bar(session, len(places), shown=progress) as bar,
        suppress(KeyboardInterrupt),
        closing(_renders(session, origin, places)) as renders,
    ):
        for one in renders:
            evaluations += 0 if one.render is None else one.render.evaluations
            if one.place is not None:
                cell = done[one.place] = Cell(one.place.x, one.place.y, one.render, one.error)
                bar.update()
                if callback_on_cell_end is not None:
                    callback_on_cell_end(cell)
    cells = tuple(tuple(done.get(one, Cell(one.x, one.y)) for one in row) for row in rows)
    found = Grid(x, y, cells, evaluations, origin.scene)
    _warn_of_missing(found)
    return found


# Before anything is rendered.


def _places(
    origin: EditSession, x: Vary, y: Vary | None, mode: Mode
) -> tuple[tuple[_Place, ...], ...]:
    """Return the cells by row. Raises InvalidValueError."""
    varied = [("x", x)] if y is None else [("x", x), ("y", y)]
    for axis, one in varied:
        if not isinstance(one, Vary):
            hint = f'{axis}=vary("seed", [7, 8])'
            raise InvalidValueError(axis, one, f"a setting with values, such as {hint}")
        _check_field(origin, one)
    if y is not None and y.field == x.field:
        raise InvalidValueError("y", y.field, "another field than x varies")

    def place(value: Any, other: Any) -> _Place:
        settings = {x.field: value} | ({} if y is None else {y.field: other})
        of_scene = {field: settings[field] for field in SCENE_FIELDS if field in settings}
        return _Place(
            value,
            other,
            {field: _source(origin, field, one) for field, one in settings.items()},
            changed_scene(origin.scene, of_scene),
            as_mode(settings.get("mode", mode)),
        )

    others = (None,) if y is None else y.values
    return tuple(tuple(place(value, other) for value in x.values) for other in others)


def _check_field(origin: EditSession, varied: Vary) -> None:
    """Raise InvalidValueError unless a field can vary; its values are checked elsewhere."""
    field = varied.field
    name, dot, _ = field.rpartition(".")
    known = (*SCENE_FIELDS, "mode", *MOMENTUM_FIELDS)
    if dot:
        origin.state.concept(name)
    elif field not in known:
        raise InvalidValueError(
            "field",
            field,
            f'"CONCEPT.FIELD", or one of {", ".join(known)}',
            f"Try {field + '.scale'!r}." if field in origin else suggest(field, known),
        )
    if field == "seed" and any(value is None for value in varied.values):
        raise InvalidValueError(
            "seed", None, "an integer, or several", "another(seed=None).seeds draws one."
        )


def _source(origin: EditSession, field: str, value: Any) -> Any:
    """Return a value; in place of a mask of the session its pixels, which other sessions take."""
    is_mask = field.endswith(".mask") and isinstance(value, Mask)
    return origin.mask_pixels(value) if is_mask else value


def _check(origin: EditSession, places: Iterable[_Place]) -> None:
    """Raise InvalidValueError unless all cells can be rendered, as far as that can be foreseen.

    Scenes that differ in their seeds only are as good as each other.
    """
    alike: dict[Scene, list[_Place]] = {}
    for place in places:
        alike.setdefault(_without_seeds(place.scene), []).append(place)
    for scene, inside in alike.items():
        own = scene == _without_seeds(origin.scene)
        probe = origin if own else _probe(origin, inside[0].scene)
        with redirect_warnings(_ignore):
            for place in inside:
                _state(probe, probe.state, place.settings)


def _without_seeds(scene: Scene) -> Scene:
    return attrs.evolve(scene, seeds=(0,) * len(scene.seeds))


def _probe(origin: EditSession, scene: Scene) -> EditSession:
    """Return a session of another scene, without its photographs, whose inversion takes long.

    Raises:
        InvalidValueError: the model, the photographs, or what the edits name do not fit the scene.
    """
    own = origin.scene
    if own.photograph is not None:
        if len(scene.seeds) != len(own.seeds):
            raise InvalidValueError(
                "seed", scene.seeds, f"one for all photographs, or {len(own.seeds)}, one for each"
            )
        if (scene.height, scene.width) != origin.size:
            raise InvalidValueError(
                "height and width",
                (scene.height, scene.width),
                f"those of the photographs, {origin.size}",
            )
    warnings: list[SegaSessionWarning] = []
    with redirect_warnings(warnings.append):
        probe = origin.another(attrs.evolve(scene, photograph=None, skip=0.0), edits="state")
    for warning in warnings:
        # Of concepts without effect the user knows, and the cells may change them.
        if not isinstance(warning, NoEffectWarning):
            warn_caller(str(warning), type(warning))
    return probe


# The states of cells.


def _state(session: EditSession, state: EditState, settings: Mapping[str, Any]) -> EditState:
    """Return a state with a cell's settings. Raises InvalidValueError.

    Args:
        session: a session of the grid's own if masks vary, which are added to it.
        state: the state to start from.
        settings: the values of the varied fields.
    """
    concepts: dict[str, dict[str, Any]] = {}
    for field, value in settings.items():
        name, dot, of_concept = field.rpartition(".")
        if dot:
            is_mask = of_concept == "mask" and value is not None
            concepts.setdefault(name, {})[of_concept] = _mask(session, value) if is_mask else value
        elif field in MOMENTUM_FIELDS:
            state = attrs.evolve(state, **{field: value})
    for name, fields in concepts.items():
        state = edits.update(state, name, **fields)
    return state


def _mask(session: EditSession, source: MaskSource) -> Mask | None:
    """Add a mask to a session of the grid's own, whose current state stays. Return its name."""
    before = session.history.current
    session.protect(source)
    mask = session.state.region
    session.checkout(before)
    return mask


def _in_order(session: EditSession, states: Mapping[_Place, EditState]) -> list[_Place]:
    """Return cells so that those that share model calls follow each other, estimates first.

    A walk through the tree of latents' names, depth first: what a render leaves in a full cache is
    what the next one needs.
    """
    calls = session.num_calls
    first = first_call(session.scene, calls)
    names = {place: Trajectory.of(state, calls, first).names for place, state in states.items()}
    seen: dict[str, int] = {}
    for one in names.values():
        for name in one:
            seen.setdefault(name, len(seen))

    def rank(place: _Place) -> tuple[bool, list[int]]:
        return not place.is_estimated, [seen[name] for name in names[place]]

    return sorted(states, key=rank)


# Rendering.


def _renders(
    session: EditSession, origin: EditSession, places: Sequence[_Place]
) -> Generator[_Done]:
    """Render all cells, scene by scene.

    Args:
        session: renders what is exact and of its own scene.
        origin: a copy of it from before, whose current state is the grid's, without recordings.
        places: the cells.
    """
    scenes: dict[Scene, list[_Place]] = {}
    for place in places:
        scenes.setdefault(place.scene, []).append(place)
    yield from _own_renders(session, origin, scenes.pop(origin.scene, []))
    for scene, inside in scenes.items():
        yield from _renders_of(partial(origin.another, scene, edits="state"), inside)


def _own_renders(
    session: EditSession, origin: EditSession, places: Sequence[_Place]
) -> Iterator[_Done]:
    """Render the cells of the session's own scene; see `_renders`."""
    estimated = [place for place in places if place.is_estimated]
    exact = [place for place in places if not place.is_estimated]
    if any("mode" in place.settings for place in estimated):
        yield from _renders_of(partial(_without_recordings, origin), estimated, origin.state)
    elif estimated:
        # Here too, so that the session has it recorded; that it fails is told by the copy.
        with suppress(*FAILURES):
            base = session.render(state=origin.state, output_type="latent", progress=False)
            yield _Done(None, base)
        yield from _renders_of(partial(_copy, session, origin), estimated, origin.state)
    if any(field.endswith(".mask") for place in exact for field in place.settings):
        yield from _renders_of(partial(_copy, session, origin), exact, origin.state)
    else:
        yield from _renders_of(lambda: nullcontext(session), exact, origin.state)


def _copy(session: EditSession, origin: EditSession) -> EditSession:
    """Return a copy of the session, with its recordings, in the state of the origin."""
    other = session.copy()
    other.checkout(origin.history.current)
    return other


def _without_recordings(origin: EditSession) -> EditSession:
    """Return a copy in which nothing is recorded but the photographs' inversion, made again."""
    other = origin.copy()
    other.refresh_model()
    return other


def _renders_of(
    begin: Callable[[], AbstractContextManager[EditSession]],
    places: Sequence[_Place],
    state: EditState | None = None,
) -> Iterator[_Done]:
    """Render cells of one scene in one session.

    Args:
        begin: returns the session, of the grid's own if there are estimates or masks.
        places: the cells.
        state: the state that the cells change; None: the session's.
    """
    if not places:
        return
    try:
        with redirect_warnings(_ignore):
            opened = begin()
        with opened as session:
            with redirect_warnings(_ignore):
                before = session.state if state is None else state
                states = {one: _state(session, before, one.settings) for one in places}
            estimated = [place for place in places if place.is_estimated]
            if estimated:
                if "mode" in estimated[0].settings:
                    session.checkout(0)
                # Of the current state, so that estimates start from it.
                yield _Done(None, session.render(output_type="latent", progress=False))
            for place in _in_order(session, states):
                try:
                    render = session.render(place.mode, state=states[place], progress=False)
                except FAILURES as error:
                    yield _Done(place, None, str(error))
                else:
                    yield _Done(place, render)
    except FAILURES as error:
        yield from [_Done(place, None, str(error)) for place in places]


def _bar(session: EditSession, total: int, *, shown: bool) -> AbstractContextManager[Any]:
    """Return the pipeline's progress bar over all cells, or a hidden one."""
    silent: AbstractContextManager[Any] = tqdm(total=total, disable=True)
    return as_model(session.pipeline).progress_bar(total) if shown else silent


def _warn_of_missing(found: Grid) -> None:
    """Warn of cells that were not rendered."""
    cells = [cell for row in found.cells for cell in row]
    missing = [cell for cell in cells if cell.render is None]
    if not missing:
        return
    count = f"{len(cells) - len(missing)} of {len(cells)} cells were rendered"
    error = next((cell.error for cell in missing if cell.error), "")
    reason = f"the first error is: {error}" if error else "^C ended the grid. Call it again."
    warn_caller(f"{count}; {reason}", IncompleteWarning)


def _ignore(_: SegaSessionWarning) -> None:
    """Take a warning that the user was given before, or that does not concern the cells."""


# The sheet.


def _label(field: str, value: Any, number: int) -> str:
    """Return the header of a field's value, the value of this number."""
    name, _, of_concept = field.rpartition(".")
    what = WORDS.get(field, of_concept.replace("_", " "))
    if field == "mode":
        return str(value)
    if field == "prompt":
        return f"“{value}”"
    if isinstance(as_bool(value), bool):
        return f"{name} {what if value else f'not {what}'}"
    if field == "seed" and isinstance(value, Iterable):
        return f"seeds {', '.join(map(str, value))}"
    return f"{name} {what} {_short(value, number)}".strip()


def _short(value: Any, number: int) -> str:
    """Return a value in a few letters; a number stands for one that has none, such as a mask."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return f"“{value}”"
    if isinstance(value, Real):
        return str(value) if isinstance(value, Integral) else f"{float(value):g}"
    return str(number)


def _side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Return images of one size in a row, on white."""
    if len(images) == 1:
        return images[0]
    width, height = images[0].size
    gap = max(width // 32, 1)
    row = Image.new("RGB", (len(images) * (width + gap) - gap, height), "white")
    for index, image in enumerate(images):
        row.paste(image, (index * (width + gap), 0))
    return row
