"""Measure sweeps: what the cache saves, the speed-up of a second worker, the driver's memory.

    python benchmarks/sweeps.py             # everything, 15 minutes on two cores
    python benchmarks/sweeps.py --speed-up  # one worker against two again, 3 minutes on idle cores
    python benchmarks/sweeps.py --quick     # small sizes; writes only to --output

Three parts, each with its date and the load of the machine when it began:

- **cache**: 64 seeds x the twelve recommended concepts of the embedded model, in this process and
  one thread, with the seeds in groups of 8. Its evaluations are compared with those of images from
  scratch, which are counted by `EditSession.plan` in sessions without a cache and not rendered.
  Those of the mode "anchored" are counted in the same way, after the exact render of the unedited
  image that they start from.
- **memory**: 10,000 images of 16 x 16 pixels from `FakeModel`, by two workers of a Ray on this
  machine. The memory of the driver is its resident set, read after every 500 images.
- **speed-up**: a small sweep on the embedded model, with one worker and with two, in turns. Workers
  have one thread each. The time is that from the second result to the last, so that neither the
  start of the workers nor the loading of the model counts.

Writes sweeps.json, sweeps.md, and sweeps.webp, the 64 x 12 images on one sheet.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pickle
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from speed import machine

from sega_session import EditSession, Sweep, load_avatars, run_sweep
from sega_session.contact_sheet import Tile, labelled_grid
from sega_session.models import AVATARS, PRESETS_FILE, load_quietly, read_presets
from sega_session.scripts.operations import Add
from sega_session.sweeps import SceneSettings, SweepEdit, UnitResult, finished_images
from sega_session.sweeps.table import write_table
from sega_session.sweeps.units import units_of
from sega_session.testing import FakeModel

RECOMMENDED = read_presets(AVATARS / PRESETS_FILE)
STEPS, QUICK_STEPS = 25, 4
SEEDS, SEEDS_TOGETHER = 64, 8
TILE = 72
"""The longer side of an image on the sheet, in pixels."""

FAKE_SEEDS, FAKE_TOGETHER, FAKE_CONCEPTS = 2500, 5, ("glasses", "a hat", "a smile")
SAMPLED = 500
"""The memory is read after so many images."""

ROUNDS, TIMED_SEEDS, TIMED_TOGETHER, TIMED_STEPS = 3, 40, 4, 10


def scene(steps: int) -> SceneSettings:
    """Return the recommended scene with some steps."""
    return SceneSettings(num_inference_steps=steps, guidance_scale=RECOMMENDED.guidance_scale)


def recommended_edits(steps: int) -> list[SweepEdit]:
    """Return the addition of each recommended concept."""
    return [
        SweepEdit(name, (Add(prompt=name, **preset.arguments(steps)),))
        for name, preset in RECOMMENDED.concepts.items()
    ]


def begin() -> dict[str, Any]:
    """Describe the machine and its load as a part begins."""
    return {"machine": machine(), "load": round(os.getloadavg()[0], 1)}


def rows_of(table: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table."""
    with table.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def sizes(out: Path) -> dict[str, float]:
    """Return the mean sizes of a sweep's files in bytes: an image, a record, a row of the table."""
    images = [path.stat().st_size for path in (out / "images").rglob("*.png")]
    records = [path.stat().st_size for path in (out / "units").rglob("*.json")]
    return {
        "image": round(statistics.mean(images)),
        "record": round(statistics.mean(records)),
        "row": round((out / "table.csv").stat().st_size / len(images)),
    }


def measure_cache(out: Path, seeds: int, steps: int) -> dict[str, Any]:
    """Run the sweep on the embedded model, and count the same images from scratch."""
    found = begin()
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    edits = recommended_edits(steps)
    sweep = Sweep(
        prompts=[RECOMMENDED.prompt],
        seeds=range(seeds),
        seeds_together=SEEDS_TOGETHER,
        edits=edits,
        scene=scene(steps),
    )

    def show(result: UnitResult) -> None:
        print(f"unit {result.index + 1} of {sweep.num_units}: {result.seconds:.0f} s", flush=True)

    # Other processes disturb wall time, and one thread computes all the time.
    cpu = time.process_time()
    result = run_sweep(sweep, out, pipeline=pipeline, callback_on_unit_end=show)
    cpu = time.process_time() - cpu
    if result.errors or result.images != sweep.num_images:
        raise RuntimeError(f"{result}: {result.error}")

    arguments: dict[str, Any] = {
        "num_inference_steps": steps,
        "guidance_scale": RECOMMENDED.guidance_scale,
    }
    base = EditSession(pipeline, RECOMMENDED.prompt, **arguments)
    start = base.render(output_type="latent").evaluations
    scratch, anchored = 0, start
    for concept, preset in RECOMMENDED.concepts.items():
        alone = EditSession(pipeline, RECOMMENDED.prompt, cache_bytes=0, **arguments)
        alone.add(concept, **preset.arguments(steps))
        scratch += alone.plan()
        edited = base.copy()
        edited.add(concept, **preset.arguments(steps))
        anchored += edited.plan("anchored")
    return {
        **found,
        "seeds": seeds,
        "seeds_together": SEEDS_TOGETHER,
        "concepts": list(RECOMMENDED.concepts),
        "steps": steps,
        "images": result.images,
        "evaluations": result.evaluations,
        "evaluations_from_scratch": scratch * seeds,
        "evaluations_anchored": anchored * seeds,
        "cpu_seconds": round(cpu, 1),
        "bytes": sizes(out),
    }


def whole_sheet(out: Path) -> Image.Image:
    """Return all images of a sweep on one sheet: a row for each seed, a column for each edit."""
    cells: dict[str, list[Tile | None]] = {}
    columns = dict.fromkeys(row["edit"] for row in rows_of(out / "table.csv"))
    for row in rows_of(out / "table.csv"):
        with Image.open(out / row["file"]) as image:
            image.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
            cells.setdefault(row["seed"], []).append(Tile(image.convert("RGB"), ""))
    seeds = [f"seed {seed}" for seed in cells]
    return labelled_grid(
        list(cells.values()), list(columns), seeds, title=RECOMMENDED.prompt, tile=TILE
    )


def resident() -> int:
    """Return the resident set of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure_memory(out: Path, seeds: int) -> dict[str, Any]:
    """Run a long sweep of tiny images on Ray, and read the memory of this process."""
    found = begin()
    edits = [SweepEdit("unedited")]
    edits += [SweepEdit(concept, (Add(prompt=concept),)) for concept in FAKE_CONCEPTS]
    sweep = Sweep(
        prompts=["a portrait"],
        seeds=range(seeds),
        seeds_together=FAKE_TOGETHER,
        edits=edits,
        scene=SceneSettings(num_inference_steps=4),
    )
    images, samples, travels = 0, list[tuple[int, float]](), 0

    def sample(result: UnitResult) -> None:
        nonlocal images, travels
        images += result.images
        travels = len(pickle.dumps(result))
        if images % SAMPLED == 0:
            samples.append((images, round(resident() / 2**20, 1)))

    start, cpu = time.perf_counter(), time.process_time()
    result = run_sweep(sweep, out, load=FakeModel, workers=2, callback_on_unit_end=sample)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    if result.errors or result.images != sweep.num_images:
        raise RuntimeError(f"{result}: {result.error}")
    samples.append((result.images, round(resident() / 2**20, 1)))
    start = time.perf_counter()
    finished_images(sweep, out)
    records = time.perf_counter()
    write_table(sweep, units_of(sweep), out)
    table = time.perf_counter()
    return {
        **found,
        "images": result.images,
        "units": result.units,
        "seconds": round(seconds, 1),
        "driver_cpu_seconds": round(cpu, 1),
        "seconds_of_records": round(records - start, 3),
        "seconds_of_table": round(table - records, 3),
        "mib_after_images": samples,
        "bytes": {
            **sizes(out),
            "sweep": len(pickle.dumps(sweep)),
            "unit": len(pickle.dumps(next(units_of(sweep)))),
            "result": travels,
        },
    }


def measure_speed_up(seeds: int, steps: int, rounds: int) -> dict[str, Any]:
    """Time a small sweep with one worker and with two, in turns."""
    found = begin()
    sweep = Sweep(
        prompts=[RECOMMENDED.prompt],
        seeds=range(seeds),
        seeds_together=TIMED_TOGETHER,
        edits=recommended_edits(steps)[:2],
        scene=scene(steps),
    )
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            times: list[float] = []

            def note(_: UnitResult, times: list[float] = times) -> None:
                times.append(time.perf_counter())

            with tempfile.TemporaryDirectory() as folder:
                run_sweep(
                    sweep,
                    folder,
                    load=partial(load_quietly, None, "cpu"),
                    workers=workers,
                    callback_on_unit_end=note,
                )
            seconds[workers].append(round(times[-1] - times[1], 2))
            print(f"{workers} workers: {seconds[workers][-1]} s", flush=True)
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    return {
        **found,
        "ray": version("ray"),
        "cores": os.cpu_count(),
        "units": sweep.num_units,
        "seconds": {str(workers): times for workers, times in seconds.items()},
        "speed_up": round(one / two, 2),
    }


def made_on(part: dict[str, Any]) -> str:
    """Describe where and when a part was measured."""
    made = part["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    return (
        f"{made['date']}, {made['cpu']}, Python {made['python']}, {versions}; the load of the "
        f"machine was {part['load']} when it began."
    )


def report(results: dict[str, Any]) -> str:
    """Format the results in Markdown."""
    cache, memory, speed_up = (results[name] for name in ("cache", "memory", "speed_up"))
    images, sent = cache["images"], memory["bytes"]
    lines = [
        "# Sweeps",
        "",
        "Written by `benchmarks/sweeps.py`, which says what is measured.",
        "",
        "## What the cache saves",
        "",
        made_on(cache),
        "",
        f"{cache['seeds']} seeds x {len(cache['concepts'])} concepts at their recommended settings "
        f"({', '.join(cache['concepts'])}), {cache['steps']} steps, float32, one thread, "
        f"{cache['seeds_together']} seeds together: {cache['cpu_seconds'] / images:.2f} s of CPU "
        "time an image, decoded and written, the table and the contact sheets included. "
        "[sweeps.webp](sweeps.webp) shows all images.",
        "",
        "| images | evaluations | an image | of from scratch | |",
        "| --- | --- | --- | --- | --- |",
    ]
    scratch = cache["evaluations_from_scratch"]
    for name, key, how in (
        ("from scratch", "evaluations_from_scratch", "counted by `plan()`, without a cache"),
        ("exact, as a sweep", "evaluations", "run"),
        ("anchored, as a sweep", "evaluations_anchored", "counted by `plan()`"),
    ):
        count = cache[key]
        share = f"{count / scratch:.0%}"
        lines.append(f"| {name} | {count:,} | {count / images:.1f} | {share} | {how} |")
    lines += [
        "",
        f"An image has {cache['bytes']['image']:,} bytes, its row in the table "
        f"{cache['bytes']['row']:,}, and a unit's record {cache['bytes']['record']:,}.",
        "",
        "## The driver's memory",
        "",
        made_on(memory),
        "",
        f"{memory['images']:,} images of `FakeModel` in {memory['units']} units, by two workers, "
        f"in {memory['seconds']} s, of which the driver computed {memory['driver_cpu_seconds']} s. "
        f"To find out that all units are finished took {memory['seconds_of_records']} s, to write "
        f"the table again {memory['seconds_of_table']} s.",
        "",
        f"A unit that goes to a worker has {sent['unit']:,} bytes, its result {sent['result']:,}, "
        f"and the sweep, which each worker gets once, {sent['sweep']:,}. On disk, a unit's record "
        f"has {sent['record']:,}.",
        "",
        "| images | MiB |",
        "| --- | --- |",
        *(f"| {count:,} | {mib} |" for count, mib in memory["mib_after_images"][:-1]),
        f"| the table and the sheets written | {memory['mib_after_images'][-1][1]} |",
        "",
        "## Two workers against one",
        "",
        made_on(speed_up),
        "",
        f"{speed_up['units']} units of the embedded model on Ray {speed_up['ray']}, on a machine "
        f"with {speed_up['cores']} cores, from the second result to the last:",
        "",
        "| workers | seconds, of each round |",
        "| --- | --- |",
        *(
            f"| {workers} | {', '.join(map(str, times))} |"
            for workers, times in speed_up["seconds"].items()
        ),
        "",
        f"Of the medians, two workers are {speed_up['speed_up']} times as fast.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--speed-up", action="store_true", help="measure only this again")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quick, output = arguments.quick, arguments.output
    output.mkdir(parents=True, exist_ok=True)
    file = output / "sweeps.json"
    results: dict[str, Any] = json.loads(file.read_text()) if arguments.speed_up else {}
    if not arguments.speed_up:
        # First, while no other part's model is in the driver's memory.
        with tempfile.TemporaryDirectory() as folder:
            results["memory"] = measure_memory(Path(folder), 250 if quick else FAKE_SEEDS)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            results["cache"] = measure_cache(
                out, 2 if quick else SEEDS, QUICK_STEPS if quick else STEPS
            )
            whole_sheet(out).save(output / "sweeps.webp", quality=75, method=6)
    results["speed_up"] = measure_speed_up(
        3 * TIMED_TOGETHER if quick else TIMED_SEEDS,
        QUICK_STEPS if quick else TIMED_STEPS,
        1 if quick else ROUNDS,
    )
    file.write_text(json.dumps(results, indent=1) + "\n")
    written = report(results)
    (output / "sweeps.md").write_text(written)
    print(written)


if __name__ == "__main__":
    main()
