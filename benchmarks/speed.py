"""Measure the cost of an edit in evaluations and seconds, with the embedded checkpoint on the CPU.

    python benchmarks/speed.py            # the whole grid, about 20 minutes on two cores
    python benchmarks/speed.py --first    # first renders only, about 7 minutes on two cores
    python benchmarks/speed.py --quick    # 1 concept, 10 steps, once; writes only to --output

The benchmark renders one image in float32 with guidance scale 5 and momentum 0.1 / 0.4, for 0 to 8
concepts and 10 to 50 steps. Every operation except the first render starts from an exact render of
the concepts in its row, in a copy of that session, so that operations and repetitions reuse nothing
from each other.

The seconds of a row include its edits and renders, and encoding the text of an added concept. They
exclude opening the session, the render before, and decoding. Modes other than exact render every
image of a drag or a script, and no exact render follows. They are measured for 2 concepts only, the
exact mode for all. Drags and scripts are sums over many images and are timed once; everything else
is timed `repetitions` times, and the median is reported.

In the same shuffled order, each number of concepts is also rendered from scratch:

- P1: our own loop with nothing recorded (``cache_bytes=0``).
- P0: diffusers' `SemanticStableDiffusionPipeline` on the same models. Its call always encodes all
  texts, so this is included in its time.

A row is compared with one such render per image. Not measured: several seeds, a cache that
overflows, spilling, and other devices (see gpu.py). Writes results/speed.json.

``--first`` compares only first renders with P1 and P0, for 0 to 8 concepts and 50 steps. Each of 7
rounds renders with all three, in a shuffled order, so that a ratio is of renders seconds apart.
Writes results/first.json and first.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import attrs
import numpy as np
import torch
from attrs import frozen
from diffusers import SemanticStableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging
from rich.console import Console
from rich.table import Table

from sega_session import EditSession, anchored, load_avatars
from sega_session.state import Mode, as_mode

PROMPT = "a portrait of a person"
CONCEPTS = (
    *("glasses", "a smile", "a beard", "curly hair", "a hat"),
    *("sunglasses", "long hair", "blue hair", "earrings"),
)
MODES: tuple[str | Mode, ...] = ("exact", "anchored", anchored(every=2), "replay", "preview")
ALL_MODES_AT = 2
REPETITIONS = {10: 3, 25: 1, 50: 1}
"""The repetitions for each number of steps."""
FIRST_STEPS, ROUNDS = 50, 7
"""The steps and the rounds of the comparison of first renders."""

Edit = Callable[[EditSession], None]


def add(session: EditSession) -> None:
    """Add the next concept of the list."""
    prompt, steps = CONCEPTS[len(session.concepts)], session.num_calls
    session.add(prompt, scale=5, threshold=0.9, warmup=steps // 5)


def update(**fields: Any) -> Edit:
    """Return the edit that updates the first concept."""
    return lambda session: session.update(CONCEPTS[0], **fields)


def later(session: EditSession) -> None:
    """Start the first concept later, by a tenth of the steps."""
    update(warmup=session.num_calls // 5 + session.num_calls // 10)(session)


def remove(session: EditSession) -> None:
    """Remove the concept added last."""
    session.remove(session.concepts[-1].name)


def nothing(_: EditSession) -> None:
    """Leave the session as it is."""


UPRIGHT, INVERTED = update(inverted=False), update(inverted=True)
FIRST, UNDO, DRAG, SCRIPT = "first render", "undo", "slider drag", "script"
OPERATIONS: dict[str, tuple[Edit, ...]] = {
    FIRST: (nothing,),
    "add": (add,),
    "reweight": (update(scale=7),),
    "invert": (INVERTED,),
    "remove": (remove,),
    UNDO: (remove,),
    "threshold": (update(threshold=0.8),),
    "warm-up": (later,),
    DRAG: tuple(update(scale=5 + tick / 10) for tick in range(1, 21)),
    # The last edit returns to a state that was rendered three edits before.
    SCRIPT: (
        *(update(scale=7), INVERTED, add, update(threshold=0.95), remove),
        *(later, UPRIGHT, add, update(scale=6), remove),
    ),
}
"""The edits by name. A render follows each. An undo reverts an `add` that was rendered."""


@frozen
class Sample:
    """One timed run; `rendered` has the number of concepts of each image."""

    seconds: float
    evaluations: int
    model_calls: int
    rendered: tuple[int, ...]
    new_bytes: int = 0


@frozen
class Row:
    """One operation in one mode, or P0 or P1.

    Attributes:
        concepts: The number of concepts before the operation.
        of_p1: The ratio of the seconds to those of P1.
        of_p0: The ratio of the seconds to those of P0.
        bytes_per_evaluation: The growth of the cache, latents included; None if nothing was
            evaluated.
    """

    operation: str
    mode: str
    concepts: int
    steps: int
    images: int
    repetitions: int
    evaluations: int
    model_calls: int
    seconds: float
    of_p1: float
    of_p0: float
    bytes_per_evaluation: float | None


@frozen
class Spread:
    """The median of several numbers, and the smallest and largest of them."""

    median: float
    smallest: float
    largest: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.smallest:.3f} to {self.largest:.3f})"


@frozen
class FirstRow:
    """First renders with one number of concepts.

    Attributes:
        seconds: of our first render, which is recorded.
        of_p1: The ratios to the seconds of P1 in the same round.
        of_p0: The ratios to the seconds of P0 in the same round.
    """

    concepts: int
    steps: int
    rounds: int
    seconds: Spread
    of_p1: Spread
    of_p0: Spread


@frozen
class Fit:
    """The seconds per image as a linear function of its evaluations and model calls."""

    ms_per_evaluation: float
    ms_per_model_call: float
    intercept_ms: float
    r_squared: float


@frozen
class Overhead:
    """The time of a step without the model and of a model call: SD 1.5's size, 3 concepts."""

    loop_ms_per_step: float
    unet_ms_per_call: float | None = None
    ratio: float | None = None


def machine() -> dict[str, Any]:
    """Describe the machine and the versions that are measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ("torch", "diffusers", "transformers", "sega-session")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "platform": platform.platform(),
        "cpu": models[0] if models else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }


def reference_pipeline(pipeline: Any) -> SemanticStableDiffusionPipeline:
    """P0: the authors' SEGA in diffusers, on the same models, with a scheduler of its own."""
    components = {k: v for k, v in pipeline.components.items() if k != "image_encoder"}
    components["scheduler"] = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = SemanticStableDiffusionPipeline(**components, requires_safety_checker=False)
    reference.set_progress_bar_config(disable=True)
    return reference


def opened(pipeline: Any, concepts: int, steps: int, **arguments: Any) -> EditSession:
    """Open a session with the first concepts of the list, without rendering."""
    session = EditSession(
        pipeline, PROMPT, seed=1, num_inference_steps=steps, guidance_scale=5, **arguments
    )
    for _ in range(concepts):
        add(session)
    return session


@contextmanager
def counted(model: torch.nn.Module) -> Iterator[list[None]]:
    """Yield a list that grows by one at each call of the model."""
    calls: list[None] = []
    hook = model.register_forward_hook(lambda *_: calls.append(None))
    try:
        yield calls
    finally:
        hook.remove()


def run(pipeline: Any, session: EditSession, edits: tuple[Edit, ...], mode: str | Mode) -> Sample:
    """Make the edits and render each."""
    evaluations, before = 0, session.cache.bytes
    rendered: list[int] = []
    with counted(pipeline.unet) as calls:
        start = time.perf_counter()
        for edit in edits:
            edit(session)
            evaluations += session.render(mode, output_type="latent").evaluations
            rendered.append(len(session.concepts))
        seconds = time.perf_counter() - start
    new_bytes = session.cache.bytes - before
    return Sample(seconds, evaluations, len(calls), tuple(rendered), new_bytes)


def run_copy(
    pipeline: Any, session: EditSession, edits: tuple[Edit, ...], mode: str | Mode
) -> Sample:
    """Make the edits in a copy of the session and render each."""
    return run(pipeline, session.copy(), edits, mode)


def run_reference(reference: Any, concepts: int, steps: int) -> Sample:
    """Render the first concepts of the list with diffusers."""
    with counted(reference.unet) as calls:
        start = time.perf_counter()
        reference(
            PROMPT,
            generator=torch.Generator().manual_seed(1),
            num_inference_steps=steps,
            guidance_scale=5,
            output_type="latent",
            editing_prompt=list(CONCEPTS[:concepts]) or None,
            edit_guidance_scale=5,
            edit_threshold=0.9,
            edit_warmup_steps=steps // 5,
            edit_momentum_scale=0.1,
            edit_mom_beta=0.4,
        )
        seconds = time.perf_counter() - start
    return Sample(seconds, (2 + concepts) * steps, len(calls), (concepts,))


def modes_of(operation: str, concepts: int, *, quick: bool) -> tuple[str | Mode, ...]:
    """Return the modes to measure an operation in; none if it needs a concept."""
    if not concepts and operation not in (FIRST, UNDO, "add"):
        return ()
    if operation in (FIRST, UNDO) or not (quick or concepts == ALL_MODES_AT):
        return ("exact",)
    return ("exact", "preview") if quick else MODES


def block(
    pipeline: Any, concepts: int, steps: int, repetitions: int, *, quick: bool
) -> Iterator[Row]:
    """Measure all operations for a number of concepts and steps, and P0 and P1."""
    reference = reference_pipeline(pipeline)
    cold = opened(pipeline, concepts, steps)
    before = cold.copy()
    run(pipeline, before, (nothing,), "exact")
    added = before.copy()
    run(pipeline, added, (add,), "exact")
    run_reference(reference, concepts, steps)

    starts = defaultdict(lambda: before, {FIRST: cold, UNDO: added})
    jobs: dict[tuple[str, Any], Callable[[], Sample]] = {}
    for name, edits in OPERATIONS.items():
        for mode in modes_of(name, concepts, quick=quick):
            shortened = edits[: 3 if quick else None]
            jobs[name, as_mode(mode)] = partial(run_copy, pipeline, starts[name], shortened, mode)
    for count in range(max(0, concepts - 1), concepts + 2):
        uncached = opened(pipeline, count, steps, cache_bytes=0)
        jobs["P1", count] = partial(run, pipeline, uncached, (nothing,), "exact")
        jobs["P0", count] = partial(run_reference, reference, count, steps)

    samples: dict[tuple[str, Any], list[Sample]] = defaultdict(list)
    for repetition in range(repetitions):
        order = [key for key in jobs if not repetition or key[0] not in (DRAG, SCRIPT)]
        # The speed of a machine drifts; a shuffled order spreads the drift over all jobs.
        random.Random(repetition).shuffle(order)
        for key in order:
            samples[key].append(jobs[key]())

    medians = {key: statistics.median(s.seconds for s in found) for key, found in samples.items()}
    for name, how in jobs:
        one, seconds, ours = samples[name, how][0], medians[name, how], name in OPERATIONS
        yield Row(
            operation=name,
            mode=str(how) if ours else "exact",
            concepts=concepts if ours else how,
            steps=steps,
            images=len(one.rendered),
            repetitions=len(samples[name, how]),
            evaluations=one.evaluations,
            model_calls=one.model_calls,
            seconds=seconds,
            of_p1=seconds / sum(medians["P1", count] for count in one.rendered),
            of_p0=seconds / sum(medians["P0", count] for count in one.rendered),
            bytes_per_evaluation=one.new_bytes / one.evaluations if one.evaluations else None,
        )


def spread(values: Sequence[float]) -> Spread:
    """Return the median of values, the smallest and the largest."""
    return Spread(statistics.median(values), min(values), max(values))


def first_render(pipeline: Any, concepts: int, steps: int, rounds: int) -> FirstRow:
    """Compare a first render with P1 and P0, several times."""
    reference = reference_pipeline(pipeline)
    cold = opened(pipeline, concepts, steps)
    uncached = opened(pipeline, concepts, steps, cache_bytes=0)
    jobs: dict[str, Callable[[], Sample]] = {
        FIRST: partial(run_copy, pipeline, cold, (nothing,), "exact"),
        "P1": partial(run, pipeline, uncached, (nothing,), "exact"),
        "P0": partial(run_reference, reference, concepts, steps),
    }
    # The first call with a batch size takes longer.
    run(pipeline, opened(pipeline, concepts, 1), (nothing,), "exact")
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name in random.Random(number).sample(list(jobs), len(jobs)):
            seconds[name].append(jobs[name]().seconds)
    ours = seconds[FIRST]
    p1, p0 = (
        [one / other for one, other in zip(ours, seconds[name], strict=True)]
        for name in ("P1", "P0")
    )
    return FirstRow(concepts, steps, rounds, spread(ours), spread(p1), spread(p0))


def fitted(rows: list[Row]) -> Fit:
    """Fit a plane through the rows of our sessions by least squares."""
    kept = [row for row in rows if row.operation != "P0"]
    x = np.array([[r.evaluations / r.images, r.model_calls / r.images, 1] for r in kept])
    y = np.array([1000 * row.seconds / row.images for row in kept])
    solution = np.linalg.lstsq(x, y)[0]
    return Fit(
        ms_per_evaluation=float(solution[0]),
        ms_per_model_call=float(solution[1]),
        intercept_ms=float(solution[2]),
        r_squared=float(1 - (y - x @ solution).var() / y.var()),
    )


def bytes_per_concept_step(pipeline: Any) -> float:
    """Return the growth of the cache per new prediction of an added concept, for one image."""
    session = opened(pipeline, 0, 10)
    session.render(output_type="latent")
    before = session.cache.bytes
    # The concept starts at the last call: only its predictions and the final latents are new.
    session.add(CONCEPTS[0], warmup=session.num_calls - 1)
    render = session.render(output_type="latent")
    return (session.cache.bytes - before - render.latents.nbytes) / render.evaluations


def loop_overhead(pipeline: Any, steps: int) -> float:
    """Return the milliseconds per step at 512 pixels, with a model that takes no time."""
    predictions = torch.randn(5, 4, 64, 64, generator=torch.Generator().manual_seed(1))

    def instant(latents: Any, *_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(sample=predictions[: len(latents)])

    cold = opened(pipeline, 3, steps, height=512, width=512)
    with mock.patch.object(pipeline.unet, "forward", instant):
        runs = [run(pipeline, cold.copy(), (nothing,), "exact").seconds for _ in range(4)]
    return 1000 * statistics.median(runs[1:]) / steps


@torch.no_grad()
def unet_call() -> float:
    """Return the milliseconds of a call of a U-Net of SD 1.5's size (3.4 GB), five conditions."""
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).eval()
    latents, text = torch.randn(5, 4, 64, 64), torch.randn(5, 77, 768)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        unet(latents, 500, encoder_hidden_states=text)
        seconds.append(time.perf_counter() - start)
    return 1000 * seconds[-1]


def overhead(pipeline: Any, *, quick: bool) -> Overhead:
    """Compare our loop with the model; ``quick`` measures the loop only."""
    loop = loop_overhead(pipeline, 10 if quick else 50)
    unet = None if quick else unet_call()
    return Overhead(loop, unet, unet and loop / unet)


def table(rows: Sequence[Any]) -> Table:
    """Build a table of rows of one class, with one column per field."""
    made = Table(title="Cost of renders")
    for field in attrs.fields(type(rows[0])):
        made.add_column(field.name.replace("_", " "), justify="right")
    for row in rows:
        values = attrs.astuple(row, recurse=False)
        made.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in values))
    return made


def compare_first(pipeline: Any, *, quick: bool) -> list[FirstRow]:
    """Compare first renders of 0 to 8 concepts with P1 and P0."""
    steps, rounds = (10, 1) if quick else (FIRST_STEPS, ROUNDS)
    return [
        first_render(pipeline, concepts, steps, rounds)
        for concepts in ((1,) if quick else range(9))
    ]


def first_page(rows: Sequence[FirstRow]) -> str:
    """Return the comparison of first renders as a Markdown table."""
    one = rows[0]
    lines = [
        "# First renders",
        "",
        f"First renders of {one.steps} steps: the median of {one.rounds} rounds, and the smallest "
        "and the largest value.",
        "P1 is our own loop without a cache, P0 diffusers' `SemanticStableDiffusionPipeline`. A",
        "ratio is of two renders of one round.",
        "",
        "| concepts | seconds | of P1 | of P0 |",
        "| --- | --- | --- | --- |",
        *(f"| {row.concepts} | {row.seconds} | {row.of_p1} | {row.of_p0} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def write(path: Path, results: dict[str, Any]) -> None:
    """Write results and the machine that they were measured on as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", action="store_true", help="measure first renders only")
    parser.add_argument("--quick", action="store_true", help="measure one concept, 10 steps, once")
    parser.add_argument("--output", type=Path, help="the JSON file to write")
    arguments = parser.parse_args()
    quick, output = arguments.quick, arguments.output
    if output is None and not quick:
        name = "first.json" if arguments.first else "speed.json"
        output = Path(__file__).parent / "results" / name

    console = Console()
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if arguments.first:
        compared = compare_first(pipeline, quick=quick)
        console.print(table(compared))
        if output is not None:
            write(output, {"quick": quick, "rows": [attrs.asdict(row) for row in compared]})
            output.with_suffix(".md").write_text(first_page(compared))
        return
    grid = {10: 1} if quick else REPETITIONS
    rows: list[Row] = []
    for steps, repetitions in grid.items():
        for concepts in (1,) if quick else (0, 1, 2, 3, 4, 8):
            rows += block(pipeline, concepts, steps, repetitions, quick=quick)
    fit = fitted(rows)
    bytes_each = bytes_per_concept_step(pipeline)
    outside = overhead(pipeline, quick=quick)
    console.print(table(rows), f"{bytes_each:.0f} bytes cached a concept and step", fit, outside)
    if output is not None:
        results = {
            "quick": quick,
            "bytes_per_concept_step": bytes_each,
            "rows": [attrs.asdict(row) for row in rows],
            "fit": attrs.asdict(fit),
            "overhead": attrs.asdict(outside),
        }
        write(output, results)


if __name__ == "__main__":
    main()
