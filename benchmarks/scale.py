"""Measure how the cost of a session grows: with concepts, steps, images, pixels, history and cache.

    python benchmarks/scale.py            # everything, 5 minutes
    python benchmarks/scale.py --quick    # small sizes, once; writes only to --output

The session's own work is measured: CPU time (`time.process_time`, one thread) less the CPU time of
the model's calls, since other processes disturb wall time. Times are medians of repetitions, each
in a shuffled order of sizes and in a session of its own. Images and pixels are measured with a
small U-Net of random weights, everything else with `FakeModel`.

For every operation the exponent of its growth is fitted: the slope of log(time) over log(size), by
least squares over the upper half of the sizes, where constant parts weigh least. It is compared
with the slope that the operation should have; a measured slope may be lower, since constant parts
remain.

Last, with the embedded checkpoint: the distance of exact renders from a render from scratch if all
recorded tensors that they reuse were kept in half precision. That is no option of the product; the
script rounds what the cache returns.

Writes scale.json, scale.md and scale.png.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import matplotlib as mpl
import numpy as np
import torch
from attrs import frozen
from diffusers import UNet2DConditionModel
from fidelity import copy_state, pixels, settings
from speed import machine
from torch import Tensor

from sega_session import EditSession, load_avatars
from sega_session.engine import TrajectoryStore, measure
from sega_session.models import Request, collate
from sega_session.sega import Trajectory
from sega_session.testing import FakeModel

PROMPT = "a portrait of a person"
REPETITIONS = 5
TIMES = 20
"""How often an operation of some microseconds is called for one sample."""

SLACK = 0.2
"""How far a measured slope may be over the expected one: noise, and the caches of the CPU."""

ONE, SD = 4 * 8 * 8 * 4, 4 * 64 * 64 * 2
"""The bytes of one tensor of `FakeModel`, and of Stable Diffusion's for 512 pixels, in float16."""

CONCEPTS, CACHED = "concepts", "% of everything cached"
STEPS = ("steps", "steps, half of a render fits")
HISTORIES = ("history", "recorded renders")
RECORDING = ("first render", "edited render", "save", "10 edits, each undone")

FOUND = settings("recommended")

EDITS: dict[str, Callable[[EditSession], object]] = {
    "nothing, rendered again": lambda session: None,
    "scale by 1.6": lambda s: s.reweight("glasses", scale=1.6 * FOUND["glasses"]["scale"]),
    "add beard": lambda session: session.add(**FOUND["beard"]),
}
FIRST_SEED, SEEDS, QUICK_SEEDS = 2000, 8, 2
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TimedModel(FakeModel):
    """A `FakeModel` that measures the CPU time of its calls.

    Attributes:
        seconds: so far.
    """

    seconds = 0.0

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        start = time.process_time()
        predictions = self.predictions(requests)
        self.seconds += time.process_time() - start
        return predictions

    def predictions(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """Return what `evaluate` does."""
        return super().evaluate(requests)


class UNetModel(TimedModel):
    """A small U-Net of random weights; latents have an eighth of the image's height and width."""

    WIDTH = 16

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self._unet = UNet2DConditionModel(
            block_out_channels=(8, 8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=self.WIDTH,
            down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        ).eval()

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`."""
        return 4, height // 8, width // 8

    def predictions(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `TimedModel.predictions`."""
        batch = collate(requests)
        self.calls += 1
        self.rows += len(batch.latents)
        text = batch.tensors["factor"].expand(-1, 1, self.WIDTH)
        found = self._unet(batch.latents, batch.timesteps, encoder_hidden_states=text).sample
        return torch.split(found, batch.sizes)


@frozen
class Sample:
    """One measurement, of one call.

    Attributes:
        own: the session's own work, CPU seconds.
        wall: seconds.
        evaluations: the rows that reached the model.
        model_calls: the calls of the model.
        new_bytes: the growth of the cache, or the size of the file.
    """

    own: float
    wall: float
    evaluations: float
    model_calls: float
    new_bytes: float


@frozen
class Row:
    """The cost of one operation at one size; medians of samples."""

    axis: str
    size: int
    operation: str
    own_ms: float
    wall_ms: float
    evaluations: float
    model_calls: float
    new_bytes: float


@frozen
class Slope:
    """The growth of an operation's cost along an axis.

    Attributes:
        quantity: "time", the session's own work, or "bytes".
        expected: the exponent that it should have at most.
        measured: the exponent that it has.
        holds: `measured` is within `SLACK` of `expected`, or below it.
    """

    axis: str
    operation: str
    quantity: str
    expected: float
    measured: float
    holds: bool


@frozen
class Rounded:
    """The distance of renders that reuse rounded tensors from a render from scratch, in dB."""

    edit: str
    precision: str
    reused: float
    psnr_median: float
    psnr_lowest: float


Samples = Mapping[str, Sample]
Measured = dict[tuple[str, int, str], list[Sample]]


def opened(model: FakeModel, concepts: int, steps: int, **arguments: Any) -> EditSession:
    """Open a session with concepts, and without renders."""
    session = EditSession(model, PROMPT, num_inference_steps=steps, **arguments)
    for number in range(concepts):
        session.add(f"concept {number}")
    return session


def sample(session: EditSession, action: Callable[[], Any], times: int = 1) -> Sample:
    """Measure an action; a file's size counts as bytes if it returns one.

    Args:
        session: its model is a `TimedModel`.
        action: what is measured.
        times: how often it is called; the sample is that of one call.
    """
    model = session.pipeline
    before = model.seconds, model.rows, model.calls, session.cache.bytes
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        result = action()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    after = model.seconds, model.rows, model.calls, session.cache.bytes
    busy, rows, calls, grown = ((new - old) / times for old, new in zip(before, after, strict=True))
    size = getattr(result, "bytes", grown)
    return Sample(cpu / times - busy, wall / times, rows, calls, size)


class Ticks:
    """Edits of a concept's scale, each to another value."""

    def __init__(self, session: EditSession) -> None:
        self._session, self._scale = session, session.concepts[0].scale

    def __call__(self) -> None:
        """Make the next edit."""
        self._scale += 2**-10
        self._session.reweight(self._session.concepts[0].name, scale=self._scale)


def rendered(session: EditSession) -> Any:
    """Return the action that renders the state without decoding."""
    return partial(session.render, output_type="latent")


def first_renders(
    make_model: Callable[[], TimedModel], concepts: int, steps: int, **arguments: Any
) -> dict[str, Sample]:
    """Measure a session's first render, an edit and its undo, and a render of each."""
    session = opened(make_model(), concepts, steps, **arguments)
    found = {"plan, nothing recorded": sample(session, session.plan)}
    found["first render"] = sample(session, rendered(session))
    if not session.concepts:
        return found
    found["edit"] = sample(session, Ticks(session), TIMES)
    found["plan"] = sample(session, session.plan)
    found["edited render"] = sample(session, rendered(session))
    found["undo"] = sample(session, session.undo, TIMES)
    found["undone render"] = sample(session, rendered(session))
    return found


def grown(edits: int, *, render: bool = False) -> EditSession:
    """Return a session of so many edits in one line, each rendered or none."""
    session = opened(TimedModel(), 1, 4)
    edit = Ticks(session)
    for _ in range(edits):
        edit()
        if render:
            session.render(output_type="latent")
    return session


def moves(session: EditSession, folder: Path, times: int = TIMES) -> dict[str, Sample]:
    """Measure edits and moves in a long history, renders, and files."""
    session = session.copy()
    edit, found = Ticks(session), {}
    session.render(output_type="latent")
    found["reweight"] = sample(session, edit, times)
    found["undo"] = sample(session, session.undo, times)
    found["redo"] = sample(session, session.redo, times)
    names = iter(range(times))
    found["add"] = sample(session, lambda: session.add(f"added {next(names)}"), times)
    for _ in range(times):
        session.undo()
    here = len(session.history) - 1 - times
    found["checkout of the parent"] = sample(session, lambda: session.checkout(here - 1))
    found["checkout of the first"] = sample(session, lambda: session.checkout(0))
    session.checkout(here)
    found["plan"] = sample(session, session.plan, times)
    found["edited render"] = sample(session, rendered(session))
    session.undo()
    session.render(output_type="latent")
    session.redo()
    found["undone render"] = sample(session, rendered(session))
    path = folder / "session.safetensors"
    found["save"] = sample(session, lambda: session.save(path))
    found["load"] = sample(session, lambda: EditSession.load(path, session.pipeline))
    session.autosave(folder / "autosaved.safetensors")
    found["autosaved edit"] = sample(session, edit, times)
    found["autosaved undo"] = sample(session, session.undo, times)
    return found


def edits_within(budget: int) -> dict[str, Sample]:
    """Measure ten edits in a row, each undone, within a cache of so many bytes."""
    session = opened(TimedModel(), 3, 50, cache_bytes=budget)
    session.render(output_type="latent")
    edit = Ticks(session)

    def run() -> None:
        for _ in range(10):
            edit()
            session.render(output_type="latent")
            session.undo()
            session.render(output_type="latent")

    return {"10 edits, each undone": sample(session, run)}


def everything() -> int:
    """Return the bytes that `edits_within` records if nothing is evicted."""
    return round(edits_within(2**30)["10 edits, each undone"].new_bytes)


def half_a_render(concepts: int, steps: int) -> int:
    """Return the bytes of half of a render's tensors."""
    session = opened(FakeModel(), concepts, steps)
    session.render(output_type="latent")
    return session.cache.bytes // 2


Jobs = dict[tuple[str, int], Callable[[], Samples]]


def jobs(folder: Path, *, quick: bool) -> Jobs:
    """Return what is measured once a repetition, by axis and size."""

    def sizes(*full: int) -> tuple[int, ...]:
        return full[:3] if quick else full

    found: Jobs = {}
    for count in sizes(0, 1, 2, 4, 8, 16, 32):
        found[CONCEPTS, count] = partial(first_renders, TimedModel, count, 50)
    for count in sizes(10, 25, 50, 100, 200):
        found[STEPS[0], count] = partial(first_renders, TimedModel, 3, count)
        budget = half_a_render(8, count)
        found[STEPS[1], count] = partial(first_renders, TimedModel, 8, count, cache_bytes=budget)
    for count in sizes(1, 2, 4, 8, 16, 32, 64):
        found["images", count] = partial(
            first_renders, UNetModel, 2, 10, seed=range(count), height=128, width=128
        )
    for side in (64, 128, 256) if quick else (128, 256, 512, 1024):
        found["pixels", side**2] = partial(first_renders, UNetModel, 2, 10, height=side, width=side)
    for count in sizes(10, 100, 1000, 5000, 10_000, 20_000):
        found[HISTORIES[0], count] = partial(moves, grown(count), folder)
    for count in sizes(10, 100, 300, 1000, 2000):
        found[HISTORIES[1], count] = partial(moves, grown(count, render=True), folder)
    whole = everything()
    for percent in (0, 50, 100) if quick else (0, 10, 25, 50, 75, 90, 100):
        found[CACHED, percent] = partial(edits_within, whole * percent // 100)
    return found


def repeated(jobs: Jobs, repetitions: int) -> Measured:
    """Run all jobs so many times, in another order each time."""
    found: Measured = defaultdict(list)
    gc.freeze()  # The sessions with long histories are not looked through again and again.
    for repetition in range(repetitions):
        order = list(jobs)
        random.Random(repetition).shuffle(order)
        print(f"repetition {repetition + 1} of {repetitions}", flush=True)
        for axis, size in order:
            # Names of trajectories are the same for many sizes; each makes its own.
            Trajectory.of.cache_clear()
            gc.collect()
            gc.disable()
            for operation, one in jobs[axis, size]().items():
                found[axis, size, operation].append(one)
            gc.enable()
    gc.unfreeze()
    return found


def medians(measured: Measured, order: Sequence[tuple[str, int]]) -> list[Row]:
    """Return a row for each operation at each size, in the order of the jobs."""
    rows = []
    for (axis, size, operation), found in measured.items():
        own, wall, *counts = (
            statistics.median(values)
            for values in zip(*(attrs.astuple(one) for one in found), strict=True)
        )
        rows.append(Row(axis, size, operation, 1000 * own, 1000 * wall, *counts))
    return sorted(rows, key=lambda row: order.index((row.axis, row.size)))


def series(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each operation along each axis, by axis and operation."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row.axis, row.operation].append(row)
    return {names: sorted(some, key=lambda row: row.size) for names, some in found.items()}


def expected_slope(axis: str, operation: str) -> float:
    """Return the exponent with which an operation's cost may grow along an axis, at most."""
    if axis == CONCEPTS or (operation.endswith("render") and axis not in HISTORIES):
        return 1
    if operation.startswith("plan"):
        return float(axis in STEPS)
    # A checkout walks the way to its target; files hold the whole history.
    return float(operation in ("checkout of the first", "save", "load"))


def slopes(rows: Sequence[Row]) -> Iterator[Slope]:
    """Fit the growth of each operation, and of what is recorded."""
    for (axis, operation), some in series(rows).items():
        if axis == CACHED:
            continue
        upper = [row for row in some if row.size][-max(3, math.ceil(len(some) / 2)) :]
        sizes = np.log([row.size for row in upper])
        for quantity, values in (
            ("time", [row.own_ms for row in upper]),
            ("bytes", [row.new_bytes for row in upper]),
        ):
            if min(values) <= 0:
                continue
            measured = float(np.polyfit(sizes, np.log(values), 1)[0])
            expected = expected_slope(axis, operation)
            holds = measured <= expected + SLACK
            yield Slope(axis, operation, quantity, expected, measured, holds)


@contextmanager
def rounded(dtype: torch.dtype) -> Iterator[None]:
    """Let caches return tensors as if they had been recorded in another precision."""
    peek = TrajectoryStore.peek

    def rounded_peek(store: TrajectoryStore, key: Any) -> Tensor | None:
        found = peek(store, key)
        return None if found is None else found.to(dtype).to(found.dtype)

    with mock.patch.object(TrajectoryStore, "peek", rounded_peek):
        yield


def precisions(count: int, *, quick: bool) -> Iterator[Rounded]:
    """Render edits of the embedded checkpoint from recordings in each precision, on some seeds."""
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    seeds = [FIRST_SEED + number for number in range(count)]
    scene: dict[str, Any] = {"seed": seeds, "guidance_scale": 5.0}
    scene |= {"num_inference_steps": 20} if quick else {}
    before = EditSession(pipeline, PROMPT, **scene)
    for prompt in ("glasses", "smile"):
        before.add(**FOUND[prompt])
    unedited = before.render(output_type="pt")
    for name, edit in dict([*EDITS.items()][:2] if quick else EDITS).items():
        edited = before.copy()
        edit(edited)
        scratch = EditSession(pipeline, PROMPT, cache_bytes=0, **scene)
        copy_state(edited, scratch, 1)
        exact = scratch.render(output_type="pt")
        print(f"{name}, from scratch: {exact.evaluations} evaluations", flush=True)
        for precision, dtype in PRECISIONS.items():
            session = edited.copy()
            with rounded(dtype):
                render = session.render(output_type="pt")
            quality = measure(pixels(render), pixels(exact), pixels(unedited), 0)
            yield Rounded(
                edit=name,
                precision=precision,
                reused=1 - render.evaluations / exact.evaluations,
                psnr_median=statistics.median(quality.psnr),
                psnr_lowest=min(quality.psnr),
            )


def cell(row: Row) -> str:
    """Return a row's own milliseconds, and what the model did."""
    text = f"{row.own_ms:.3g}"
    return f"{text} ({row.evaluations:.0f} in {row.model_calls:.0f})" if row.evaluations else text


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    head = [columns, ["---"] * len(columns)]
    return [f"| {' | '.join(line)} |" for line in [*head, *lines]] + [""]


def axis_table(axis: str, rows: Sequence[Row], show: Callable[[Row], str]) -> list[str]:
    """Return the lines of a table of one axis: an operation a line, a size a column."""
    some = {(row.operation, row.size): show(row) for row in rows if row.axis == axis}
    sizes = sorted({size for _, size in some})
    lines = [
        [operation, *(some.get((operation, size), "-") for size in sizes)]
        for operation in dict.fromkeys(operation for operation, _ in some)
    ]
    return markdown([axis, *map(str, sizes)], lines)


def report(
    rows: Sequence[Row],
    fitted: Sequence[Slope],
    found: Sequence[Rounded],
    described: Mapping[str, Any],
) -> str:
    """Return the tables in Markdown."""
    axes = list(dict.fromkeys(row.axis for row in rows))
    tensors = next(
        row.new_bytes / ONE
        for row in rows
        if (row.axis, row.size, row.operation) == (STEPS[0], 50, "first render")
    )
    lines = [
        "# How the cost of a session grows",
        "",
        f"Written by `benchmarks/scale.py` on {described['cpu']}, which other processes used "
        "too. So times are CPU time of one thread, less that of the model's calls, in "
        "milliseconds; wall times are in scale.json, and say little. In brackets: evaluations in "
        "model calls.",
        "",
        "## Slopes",
        "",
        "The exponent of the growth over the upper half of the sizes. Where the expected one is 0, "
        "the cost does not depend on the size.",
        "",
        *markdown(
            ["along", "operation", "of", "expected, at most", "measured", "holds"],
            [
                [
                    *(one.axis, one.operation, one.quantity, f"{one.expected:g}"),
                    *(f"{one.measured:.2f}", "yes" if one.holds else "**no**"),
                ]
                for one in fitted
            ],
        ),
        "## Times",
        "",
    ]
    for axis in axes:
        lines += axis_table(axis, rows, cell)
    lines += ["## Bytes", "", "Of the tensors that an operation records, or of the file.", ""]
    for axis in axes:
        kept = [row for row in rows if row.axis == axis and row.operation in RECORDING]
        lines += axis_table(axis, kept, lambda row: f"{row.new_bytes:.0f}")
    lines += [
        "A render records its latents before each call and after the last, and one tensor of the "
        f"same size for each evaluation. With 3 concepts and 50 steps these are {tensors:.0f} "
        f"tensors, for 512 pixels in half precision {tensors * SD / 1e6:.1f} MB.",
        "",
        "## Recordings in half precision",
        "",
        f"The embedded checkpoint in float32, {described['seeds']} seeds: the PSNR in dB of "
        "a render that reuses recorded tensors, rounded to a precision, against one from scratch. "
        "The control, float32, rounds nothing. Tensors in half precision would need half the "
        "bytes. Reused is the share of the evaluations that the recording saves.",
        "",
        *markdown(
            ["edit", "precision", "reused", "median", "lowest of the seeds"],
            [
                [
                    *(one.edit, one.precision, f"{one.reused:.0%}"),
                    *(decibels(one.psnr_median), decibels(one.psnr_lowest)),
                ]
                for one in found
            ],
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def decibels(psnr: float) -> str:
    """Return a PSNR as text."""
    return f"{psnr:.1f}" if math.isfinite(psnr) else "equal"


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plot the times of all operations along all axes."""
    mpl.use("Agg")
    from matplotlib import pyplot, ticker  # noqa: PLC0415 - the backend is chosen first

    axes = list(dict.fromkeys(row.axis for row in rows))
    figure, grid = pyplot.subplots(2, 4, figsize=(18, 11), layout="constrained")
    for axis, panel in zip(axes, grid.flat, strict=True):
        some = [(name, found) for (one, name), found in series(rows).items() if one == axis]
        logarithmic = axis != CACHED
        for number, (operation, found) in enumerate(some):
            kept = [row for row in found if row.size or not logarithmic]
            panel.plot(
                [row.size for row in kept],
                [row.own_ms for row in kept],
                marker="o",
                markersize=3,
                linestyle="-" if number < 10 else "--",
                color=f"C{number % 10}",
                label=operation,
            )
        if logarithmic:
            panel.set(xscale="log", yscale="log")
            panel.xaxis.set_minor_locator(ticker.NullLocator())
        else:
            panel.set_ylim(bottom=0)
        sizes = sorted({row.size for _, found in some for row in found})
        sizes = [size for size in sizes if size or not logarithmic]
        panel.set_xticks(sizes, [str(size) for size in sizes], rotation=30)
        panel.set_title(axis)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    for panel in grid[:, 0]:
        panel.set_ylabel("the session's own work, ms of CPU time")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="measure small sizes, once")
    parser.add_argument("--output", type=Path, help="the folder to write to")
    arguments = parser.parse_args()
    quick, output = arguments.quick, arguments.output
    if output is None and not quick:
        output = Path(__file__).parent / "results"

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        todo = jobs(Path(folder), quick=quick)
        rows = medians(repeated(todo, 1 if quick else REPETITIONS), list(todo))
    fitted = list(slopes(rows))
    seeds = QUICK_SEEDS if quick else SEEDS
    found = list(precisions(seeds, quick=quick))

    described = {**machine(), "shared": "other processes ran meanwhile", "seeds": seeds}
    text = report(rows, fitted, found, described)
    print(text)
    if output is not None:
        results = {
            "machine": described,
            "quick": quick,
            "slopes": [attrs.asdict(one) for one in fitted],
            "rows": [attrs.asdict(row) for row in rows],
            "half_precision": [finite(attrs.asdict(one)) for one in found],
        }
        output.mkdir(parents=True, exist_ok=True)
        (output / "scale.json").write_text(json.dumps(results, indent=1) + "\n")
        (output / "scale.md").write_text(text)
        plot(rows, output / "scale.png")


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return values for JSON, which has no infinity: None stands for equal images."""
    return {name: None if value == math.inf else value for name, value in values.items()}


if __name__ == "__main__":
    main()
