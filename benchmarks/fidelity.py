"""Measure the distance of each mode from the exact image, and its evaluations.

    python benchmarks/fidelity.py                      # 64 seeds, 140 minutes on one core
    python benchmarks/fidelity.py --share 0/2          # one half; run 1/2 beside it or afterwards
    python benchmarks/fidelity.py --seeds 2 --output . # a short run

The benchmark uses the embedded checkpoint with 50 steps, guidance scale 5, warm-up 10 and momentum
0.1 / 0.4. It makes edits of two to four concepts, which were not chosen on these seeds: at their
recommended settings, and at strong ones, where every scale is 1.6 times as large and every
threshold lower by 0.05. Every edit starts from an exact render, and its evaluations are counted in
a session that rendered nothing else since. 100% is a render of the edited state from scratch.

Modes that are not in `CHIEF` are measured at recommended settings on the first 16 seeds only.

The work is done in parts, which are kept in fidelity-parts, so that a run that was stopped goes on
where it was. The run that finds all parts done writes fidelity.csv (one row per case), fidelity.md
(the tables) and fidelity.png, and removes the parts.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import matplotlib as mpl
import numpy as np
import torch
from attrs import frozen
from scipy.stats import spearmanr

from sega_session import EditSession, Render, anchored, load_avatars
from sega_session.engine import measure, root_mean_square
from sega_session.models import AVATARS, PRESETS_FILE, read_presets
from sega_session.render import ROUGH
from sega_session.state import Mode

PROMPT = "a portrait of a person"
HALF = "half the steps"
BEFORE = "image before"
PREVIEW, DEFAULT = "preview", anchored(tolerance=0.1)
CHIEF: tuple[str | Mode, ...] = (PREVIEW, anchored(every=5), DEFAULT)
ALL: tuple[str | Mode, ...] = (
    *CHIEF,
    anchored(every=3),
    anchored(every=2),
    anchored(tolerance=0.05),
    "replay",
)
SEEDS_OF_ALL = 16
"""The first seeds, which all modes are measured on, at recommended settings."""

STRENGTHS = {"recommended": (1.0, 0.0), "strong": (1.6, 0.05)}
"""What each concept's scale is multiplied by, and what is taken off its threshold."""

ROUGH_PSNR = 30.0
"""dB; images below it are what `Render.quality` should call rough."""

RECOMMENDED = read_presets(AVATARS / PRESETS_FILE)

Settings = Mapping[str, dict[str, Any]]
"""The arguments of `add` for each concept, by its prompt."""

Edit = Callable[[EditSession, Settings], object]


def settings(strength: str) -> Settings:
    """Return the arguments of `add` for each concept and each removal."""
    factor, lower = STRENGTHS[strength]
    found = {}
    for prompt, one in {**RECOMMENDED.concepts, **RECOMMENDED.removals}.items():
        made = {"prompt": prompt, **one.arguments(50)}
        threshold = round(made["threshold"] - lower, 6)
        found[prompt] = {**made, "scale": factor * made["scale"], "threshold": threshold}
    return found


def reweighted(prompt: str, factor: float) -> Edit:
    """Return the edit that multiplies the scale of a concept."""
    return lambda session, found: session.reweight(prompt, scale=factor * found[prompt]["scale"])


def added(prompt: str) -> Edit:
    """Return the edit that adds a concept."""
    return lambda session, found: session.add(**found[prompt])


def lower_threshold(session: EditSession, found: Settings) -> None:
    """Let the beard act on more of the image."""
    session.update("beard", threshold=found["beard"]["threshold"] - 0.15)


TWO = ("glasses", "smile")
THREE = (*TWO, "beard")

OPERATIONS: dict[str, tuple[tuple[str, ...], Edit]] = {
    "scale by 1.2": (TWO, reweighted("glasses", 1.2)),
    "scale by 1.6": (TWO, reweighted("glasses", 1.6)),
    "invert smile": (TWO, lambda s, _: s.invert("smile")),
    "remove glasses": (TWO, lambda s, _: s.remove("glasses")),
    "add no glasses": (TWO, added("no glasses")),
    "add not smiling": (TWO, added("not smiling")),
    "add beard": (TWO, added("beard")),
    "add hat": (TWO, added("hat")),
    "threshold of 3": (THREE, lower_threshold),
    "add a 4th": (THREE, added("curly hair")),
    "halve one of 4": ((*THREE, "curly hair"), reweighted("beard", 0.5)),
    "momentum of 3": (THREE, lambda s, _: s.momentum(scale=0.4, beta=0.6)),
}
"""The concepts before each edit, and the edit, by name."""

README_EXAMPLE = "README's stream"
"""The operation of the example in README, whose strength is its own."""


KINDS: dict[str, Callable[[str], Any]] = {
    "strength": str,
    "operation": str,
    "seed": int,
    "mode": str,
}
"""The kind of each field of `Case`; all others are numbers."""


@frozen
class Case:
    """One edit of one seed in one mode.

    Attributes:
        strength: One of `STRENGTHS`, or `README_EXAMPLE`.
        share: The evaluations as a share of those from scratch.
        missed: The distance from the exact image over the distance that the edit moved it.
        error_estimate: The error of the latents that the render estimated.
        error: The true error of the latents, root mean square.
    """

    strength: str
    operation: str
    seed: int
    mode: str
    share: float
    psnr: float
    ssim: float
    missed: float
    error_estimate: float
    error: float


def new_session(pipeline: Any, seed: int, **arguments: Any) -> EditSession:
    """Open a session with the scene of the benchmark."""
    return EditSession(pipeline, PROMPT, seed=seed, guidance_scale=5.0, **arguments)


def start(session: EditSession, concepts: Iterable[str], found: Settings) -> None:
    """Replace the concepts of a session with those an edit starts from."""
    for old in session.concepts:
        session.remove(old.name)
    session.momentum(scale=0.1, beta=0.4)
    for prompt in concepts:
        session.add(**found[prompt])


def copy_state(source: EditSession, target: EditSession, steps: float) -> None:
    """Copy the state of a session to another, whose steps are ``steps`` times as many."""
    for one in source.concepts:
        fields = attrs.asdict(one)
        del fields["embedding"], fields["enabled"]
        target.add(**{**fields, "warmup": round(one.warmup * steps)})
    target.momentum(scale=source.state.momentum_scale, beta=source.state.momentum_beta)


def from_scratch(session: EditSession, pipeline: Any) -> int:
    """Count the evaluations per image of the session's state when nothing is recorded."""
    cold = new_session(pipeline, 0, cache_bytes=0)
    copy_state(session, cold, 1)
    return cold.plan()


@frozen(eq=False)
class Truth:
    """The image before an edit, and the exact image and latents after it."""

    before: torch.Tensor
    exact: torch.Tensor
    latents: torch.Tensor


def pixels(render: Render) -> torch.Tensor:
    """Return the image of a render, ``(1, 3, height, width)`` in [0, 1]."""
    return torch.as_tensor(render.images)


def case(
    strength: str,
    operation: str,
    seed: int,
    mode: str,
    share: float,
    render: Render,
    truth: Truth,
) -> Case:
    """Compare a render with the truth."""
    quality = measure(pixels(render), truth.exact, truth.before, 0)
    (error,) = root_mean_square(render.latents - truth.latents).tolist()
    (estimate,) = render.error_estimate or (float("nan"),)
    return Case(
        strength=strength,
        operation=operation,
        seed=seed,
        mode=mode,
        share=share,
        psnr=quality.psnr[0],
        ssim=quality.ssim[0],
        missed=quality.missed[0],
        error_estimate=estimate,
        error=error,
    )


def edited_cases(
    pipeline: Any, strength: str, seed: int, modes: tuple[str | Mode, ...]
) -> Iterator[Case]:
    """Measure all operations of one seed in ``modes``."""
    found = settings(strength)
    session = new_session(pipeline, seed)
    half = new_session(pipeline, seed, num_inference_steps=25, cache_bytes=0)
    for name, (concepts, edit) in OPERATIONS.items():
        start(session, concepts, found)
        unedited = session.render(output_type="pt")
        edit(session, found)
        done = {BEFORE: (unedited, 0)}
        for mode in modes:
            # Each mode in a copy, where it reuses none of the others' evaluations.
            render = session.copy().render(mode, output_type="pt")
            done[render.mode] = render, render.evaluations
        exact = session.render(output_type="pt")
        if modes == ALL:
            start(half, (), found)
            copy_state(session, half, 0.5)
            coarse = half.render(output_type="pt")
            done[HALF] = coarse, coarse.evaluations
        truth = Truth(pixels(unedited), pixels(exact), exact.latents)
        scratch = from_scratch(session, pipeline)
        for mode, (render, evaluations) in done.items():
            yield case(strength, name, seed, mode, evaluations / scratch, render, truth)


def readme_cases(pipeline: Any) -> Iterator[Case]:
    """Measure the modes of a stream on the example of README."""
    session = new_session(pipeline, 33)
    session.add("glasses", scale=4, threshold=0.95)
    unedited = session.render(output_type="pt")
    session.reweight("glasses", scale=7)
    session.add("smile", scale=4, threshold=0.95)
    done = [session.render(mode, output_type="pt") for mode in (PREVIEW, DEFAULT)]
    exact = session.render(output_type="pt")
    truth = Truth(pixels(unedited), pixels(exact), exact.latents)
    scratch = from_scratch(session, pipeline)
    for render in done:
        share = render.evaluations / scratch
        yield case(README_EXAMPLE, README_EXAMPLE, 33, render.mode, share, render, truth)


def parts(pipeline: Any, seeds: int) -> dict[str, Callable[[], Iterator[Case]]]:
    """Return the parts of the work by name; each measures its cases when it is called."""
    found: dict[str, Callable[[], Iterator[Case]]] = {"readme": lambda: readme_cases(pipeline)}
    for seed in range(seeds):
        for strength in STRENGTHS:
            modes = ALL if strength == "recommended" and seed < SEEDS_OF_ALL else CHIEF
            found[f"{strength}-{seed}"] = partial(edited_cases, pipeline, strength, seed, modes)
    return found


def rows(cases: Iterable[Case]) -> Iterator[dict[str, Any]]:
    """Yield cases as rows of a file, with five digits."""
    for case in cases:
        row = attrs.asdict(case)
        yield {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()}


def write_cases(path: Path, cases: Iterable[Case]) -> None:
    """Write cases to a CSV file, which is there only when it is complete."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    with unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in attrs.fields(Case)])
        writer.writeheader()
        writer.writerows(rows(cases))
    unfinished.replace(path)


def read_cases(path: Path) -> list[Case]:
    """Read the cases of a CSV file."""
    with path.open(newline="") as file:
        return [
            Case(**{name: KINDS.get(name, float)(value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def report(cases: list[Case]) -> str:
    """Format the tables of all strengths, in Markdown."""
    seeds = len({case.seed for case in cases if case.strength in STRENGTHS})
    return "\n".join(
        [
            "# Distance of each mode from the exact image",
            "",
            f"Written by `benchmarks/fidelity.py`: {len(OPERATIONS)} edits, {seeds} seeds, "
            f"{min(seeds, SEEDS_OF_ALL)} for modes that are not in the strong table. Evaluations "
            "are the mean share of those from scratch; PSNR is in dB against the exact image; "
            "missed is the distance from it over the distance that the edit moved it; nearer is "
            "the share of cases that are nearer to the exact image than the image before the edit; "
            "rank is the Spearman correlation of the error estimate with the true error of the "
            "latents, "
            f"and with the PSNR. Rough: of the images below {ROUGH_PSNR:g} dB, the share that "
            "`Render.quality` calls rough; of the others, the share that it calls rough too.",
            "",
            *(line for strength in STRENGTHS for line in section(cases, strength)),
            *stream_lines(cases),
        ]
    )


def section(cases: list[Case], strength: str) -> Iterator[str]:
    """Yield the lines of one strength's tables."""
    mine = [case for case in cases if case.strength == strength]
    factor, lower = STRENGTHS[strength]
    how = f", scales times {factor:g}, thresholds lower by {lower:g}" if lower else ""
    yield from (f"## {strength.capitalize()} settings{how}", "")
    yield from (table(mine), "PSNR of each edit, median / 10th percentile:", "")
    yield by_operation(mine)


def stream_lines(cases: list[Case]) -> Iterator[str]:
    """Yield the lines on `EditSession.stream`."""
    yield from ("## Streams", "")
    yield (
        "A stream yields its second image only if its error estimate is below the preview's. Of "
        "those, the share that is nearer to the exact image than the preview:"
    )
    yield from ("", "| settings | yielded | nearer |", "| --- | --- | --- |")
    for strength in (*STRENGTHS, README_EXAMPLE):
        found = {(c.mode, c.operation, c.seed): c for c in cases if c.strength == strength}
        pairs = [
            (found[PREVIEW, operation, seed], case)
            for (mode, operation, seed), case in found.items()
            if mode == str(DEFAULT)
        ]
        yielded = [(a, b) for a, b in pairs if b.error_estimate < a.error_estimate]
        nearer = np.mean([b.psnr >= a.psnr for a, b in yielded]) if yielded else float("nan")
        yield f"| {strength} | {len(yielded) / len(pairs):.1%} | {nearer:.1%} |"
    example = {c.mode: c for c in cases if c.strength == README_EXAMPLE}
    both = ", ".join(f"{mode} {case.psnr:.1f} dB" for mode, case in example.items())
    yield from ("", f"{README_EXAMPLE}: {both}.", "")


def rough(cases: list[Case]) -> str:
    """Return the share of rough images that are called so, and of others."""
    known = [c for c in cases if np.isfinite(c.error_estimate)]
    shares = []
    for is_rough in (True, False):
        called = [c.error_estimate >= ROUGH for c in known if (c.psnr < ROUGH_PSNR) == is_rough]
        shares.append(f"{np.mean(called):.0%}" if called else "-")
    return " / ".join(shares) if known else "-"


def rank(cases: list[Case]) -> str:
    """Return how well the error estimate ranks cases, by their error and by their PSNR."""
    known = [c for c in cases if np.isfinite(c.error_estimate) and np.isfinite(c.psnr)]
    if not known:
        return "-"
    estimates = [c.error_estimate for c in known]
    by_error = spearmanr(estimates, [c.error for c in known]).statistic
    return f"{by_error:.2f} / {spearmanr(estimates, [-c.psnr for c in known]).statistic:.2f}"


def table(cases: list[Case]) -> str:
    """Format a Markdown table with one row per mode, over all operations and seeds."""
    lines = [
        "| mode | evaluations | PSNR median | 10th percentile | 5th | SSIM median | missed median "
        "| nearer | rank | rough |",
        "| --- " * 10 + "|",
    ]
    for mode in sorted({c.mode for c in cases}, key=lambda m: share_of(cases, m)):
        mine = [c for c in cases if c.mode == mode]
        psnr = np.array([c.psnr for c in mine])
        nearer = "-" if mode == BEFORE else f"{np.mean([c.missed < 1 for c in mine]):.1%}"
        lines.append(
            f"| {mode} | {share_of(cases, mode):.1%} | {np.median(psnr):.1f} "
            f"| {np.percentile(psnr, 10):.1f} | {np.percentile(psnr, 5):.1f} "
            f"| {np.median([c.ssim for c in mine]):.3f} "
            f"| {np.median([c.missed for c in mine]):.2f} | {nearer} | {rank(mine)} "
            f"| {rough(mine)} |"
        )
    together = f"All modes together: rank {rank(cases)}, rough {rough(cases)}."
    return "\n".join([*lines, "", together, ""])


def by_operation(cases: list[Case]) -> str:
    """Format a Markdown table with one row per operation and one column per mode."""
    names = sorted({c.mode for c in cases}, key=lambda m: share_of(cases, m))
    lines = [f"| edit | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for operation in OPERATIONS:
        cells = []
        for mode in names:
            psnr = np.array([c.psnr for c in cases if (c.mode, c.operation) == (mode, operation)])
            cells.append(f"{np.median(psnr):.0f} / {np.percentile(psnr, 10):.0f}")
        lines.append(f"| {operation} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def share_of(cases: list[Case], mode: str) -> float:
    """Return the mean evaluations of a mode as a share of those from scratch."""
    return float(np.mean([case.share for case in cases if case.mode == mode]))


LABELS = {
    "anchored(tolerance=0.1)": (-7, 12),
    "anchored(every=3)": (-7, -14),
    "anchored(tolerance=0.05)": (7, -12),
    "anchored(every=2)": (7, 6),
    HALF: (-7, -14),
}
"""The places of labels beside their points, where the usual one hits another's."""


def plot(cases: list[Case], output: Path) -> None:
    """Plot the median PSNR, with a bar down to the 10th percentile, over the evaluations."""
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - the backend is chosen first

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    colours = {"anchored(every": "C0", "anchored(tolerance": "C2"}
    for mode in sorted({c.mode for c in cases}):
        psnr = np.array([c.psnr for c in cases if c.mode == mode])
        share, middle = share_of(cases, mode), np.median(psnr)
        colour = colours.get(mode.split("=")[0], "C1" if mode == "preview" else "0.35")
        low = middle - np.percentile(psnr, 10)
        axes.errorbar([100 * share], [middle], yerr=[[low], [0]], fmt="o", color=colour, capsize=4)
        axes.annotate(
            mode.removeprefix("anchored(").removesuffix(")").replace("=", " "),
            (100 * share, middle),
            xytext=LABELS.get(mode, (-7, 3)),
            textcoords="offset points",
            ha="left" if LABELS.get(mode, (-7, 3))[0] > 0 else "right",
            color=colour,
            fontsize=9,
        )
    axes.set_xlabel("evaluations, % of those from scratch")
    axes.set_ylabel("PSNR against the exact image, dB")
    axes.set_title("Median over all edits and seeds; the bar reaches down to the 10th percentile")
    axes.set(xlim=(-12, 56), ylim=(10, 80))
    axes.grid(alpha=0.3)
    figure.savefig(output / "fidelity.png", dpi=110)


def main() -> None:
    """Measure the parts that are missing, and write the results once none is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=64, help="how many, from 0 on")
    parser.add_argument("--share", default="0/1", help="which of how many shares of the work")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    index, of = map(int, arguments.share.split("/"))
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    folder = arguments.output / "fidelity-parts"
    folder.mkdir(parents=True, exist_ok=True)
    work = parts(pipeline, arguments.seeds)
    for name in list(work)[index::of]:
        if not (folder / f"{name}.csv").exists():
            write_cases(folder / f"{name}.csv", work[name]())
            print(f"{name} done", flush=True)
    missing = [name for name in work if not (folder / f"{name}.csv").exists()]
    if missing:
        print(f"{len(missing)} parts are missing, which are other shares' work")
        return
    found = [case for name in work for case in read_cases(folder / f"{name}.csv")]
    write_cases(arguments.output / "fidelity.csv", found)
    (arguments.output / "fidelity.md").write_text(report(found))
    plot([case for case in found if case.strength == next(iter(STRENGTHS))], arguments.output)
    shutil.rmtree(folder)
    print(report(found))


if __name__ == "__main__":
    main()
