"""Measure the distance of each mode from the exact image, and its evaluations.

    python benchmarks/fidelity.py                      # 16 seeds, 13 minutes on two cores
    python benchmarks/fidelity.py --seeds 2 --output . # a short run

The benchmark uses the embedded checkpoint with 50 steps, guidance scale 5, warm-up 10 and momentum
0.1 / 0.4. It makes ten edits of two to four concepts at their recommended settings, which were not
chosen on these seeds. Every edit starts from an exact render, and its evaluations are counted in a
session that rendered nothing else since. 100 % is a render of the edited state from scratch.
Writes fidelity.csv (one row per case), fidelity.md (the table) and fidelity.png.

Each mode renders a batch of seeds at once, except `tolerance`, which places its anchors by the
hardest image of a batch: each of the first 16 seeds has its own session there.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
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
from sega_session.state import Mode

FIRST_SEED = 2000
BATCH = 16
PROMPT = "a portrait of a person"
HALF = "half the steps"
BEFORE = "image before"
BATCHED: tuple[str | Mode, ...] = (
    "preview",
    anchored(every=5),
    anchored(every=3),
    anchored(every=2),
    "replay",
)
TOLERANCES = (0.05, 0.1)

Edit = Callable[[EditSession], None]


RECOMMENDED = read_presets(AVATARS / PRESETS_FILE).concepts


def concept(prompt: str) -> dict[str, Any]:
    """Return the arguments of `add` for a concept at its recommended settings."""
    return {"prompt": prompt, **RECOMMENDED[prompt].arguments(50)}


def reweighted(prompt: str, factor: float) -> Edit:
    """Return the edit that multiplies the scale of a concept."""
    return lambda session: session.reweight(prompt, scale=factor * RECOMMENDED[prompt].scale)


GLASSES, SMILE, BEARD, CURLY, HAT = map(concept, ("glasses", "smile", "beard", "curly hair", "hat"))

OPERATIONS: dict[str, tuple[tuple[dict[str, Any], ...], Edit]] = {
    "scale by 1.2": ((GLASSES, SMILE), reweighted("glasses", 1.2)),
    "scale by 1.6": ((GLASSES, SMILE), reweighted("glasses", 1.6)),
    "invert smile": ((GLASSES, SMILE), lambda s: s.invert("smile")),
    "remove glasses": ((GLASSES, SMILE), lambda s: s.remove("glasses")),
    "add beard": ((GLASSES, SMILE), lambda s: s.add(**BEARD)),
    "add hat": ((GLASSES, SMILE), lambda s: s.add(**HAT)),
    "threshold of 3": ((GLASSES, SMILE, BEARD), lambda s: s.update("beard", threshold=0.8)),
    "add a 4th": ((GLASSES, SMILE, BEARD), lambda s: s.add(**CURLY)),
    "halve one of 4": ((GLASSES, SMILE, BEARD, CURLY), reweighted("beard", 0.5)),
    "momentum of 3": ((GLASSES, SMILE, BEARD), lambda s: s.momentum(scale=0.4, beta=0.6)),
}
"""The concepts before each edit, and the edit, by name."""


@frozen
class Case:
    """One edit of one seed in one mode.

    Attributes:
        share: The evaluations as a share of those from scratch.
        missed: The distance from the exact image over the distance that the edit moved it.
        error_estimate: The error of the latents that the render estimated.
        error: The true error of the latents, root mean square.
    """

    operation: str
    seed: int
    mode: str
    share: float
    psnr: float
    ssim: float
    missed: float
    error_estimate: float
    error: float


def new_session(pipeline: Any, seeds: list[int], **arguments: Any) -> EditSession:
    """Open a session with the scene of the benchmark."""
    return EditSession(pipeline, PROMPT, seed=seeds, guidance_scale=5.0, **arguments)


def start(session: EditSession, concepts: tuple[dict[str, Any], ...]) -> None:
    """Replace the concepts of a session with those an edit starts from."""
    for old in session.concepts:
        session.remove(old.name)
    session.momentum(scale=0.1, beta=0.4)
    for new in concepts:
        session.add(**new)


def copy_state(source: EditSession, target: EditSession, steps: float) -> None:
    """Copy the state of a session to another, whose steps are ``steps`` times as many."""
    for one in source.concepts:
        fields = attrs.asdict(one)
        del fields["embedding"], fields["enabled"]
        target.add(**{**fields, "warmup": round(one.warmup * steps)})
    target.momentum(scale=source.state.momentum_scale, beta=source.state.momentum_beta)


def from_scratch(session: EditSession, pipeline: Any) -> int:
    """Count the evaluations per image of the session's state when nothing is recorded."""
    cold = new_session(pipeline, [0], cache_bytes=0)
    copy_state(session, cold, 1)
    return cold.plan()


@frozen(eq=False)
class Truth:
    """The images before an edit and the exact images and latents after it, one per seed."""

    before: torch.Tensor
    exact: torch.Tensor
    latents: torch.Tensor

    def of(self, row: int) -> Truth:
        """Select one seed."""
        part = slice(row, row + 1)
        return Truth(self.before[part], self.exact[part], self.latents[part])


def pixels(render: Render) -> torch.Tensor:
    """Return the images of a render, ``(batch, 3, height, width)`` in [0, 1]."""
    return torch.as_tensor(render.images)


def cases(
    operation: str,
    seeds: list[int],
    mode: str,
    share: float,
    render: Render,
    truth: Truth,
) -> Iterator[Case]:
    """Compare a render with the truth: one case per seed."""
    estimates = render.error_estimate
    quality = measure(pixels(render), truth.exact, truth.before, 0)
    errors = root_mean_square(render.latents - truth.latents).tolist()
    for i, seed in enumerate(seeds):
        yield Case(
            operation=operation,
            seed=seed,
            mode=mode,
            share=share,
            psnr=quality.psnr[i],
            ssim=quality.ssim[i],
            missed=quality.missed[i],
            error_estimate=estimates[i] if estimates else float("nan"),
            error=errors[i],
        )


def batched_cases(pipeline: Any, seeds: list[int], truths: dict[Any, Truth]) -> Iterator[Case]:
    """Measure all operations in all modes except tolerance.

    Adds to ``truths`` by operation and seed.
    """
    session = new_session(pipeline, seeds)
    half = new_session(pipeline, seeds, num_inference_steps=25, cache_bytes=0)
    for name, (concepts, edit) in OPERATIONS.items():
        start(session, concepts)
        unedited = session.render(output_type="pt")
        edit(session)
        scratch = from_scratch(session, pipeline)
        # Plan before rendering: later modes reuse the evaluations of earlier ones.
        plans = [session.plan(mode) / len(seeds) for mode in BATCHED]
        done = [session.render(mode, output_type="pt") for mode in BATCHED]
        exact = session.render(output_type="pt")
        truth = Truth(pixels(unedited), pixels(exact), exact.latents)
        truths.update({(name, seed): truth.of(row) for row, seed in enumerate(seeds)})
        start(half, ())
        copy_state(session, half, 0.5)
        coarse = half.render(output_type="pt")
        for render, evaluations in zip(done, plans, strict=True):
            yield from cases(name, seeds, render.mode, evaluations / scratch, render, truth)
        share = coarse.evaluations / len(seeds) / scratch
        yield from cases(name, seeds, HALF, share, coarse, truth)
        yield from cases(name, seeds, BEFORE, 0, unedited, truth)


def tolerance_cases(
    pipeline: Any, tolerance: float, seed: int, truths: dict[Any, Truth]
) -> Iterator[Case]:
    """Measure all operations with a tolerance, for one seed."""
    session = new_session(pipeline, [seed])
    for name, (concepts, edit) in OPERATIONS.items():
        start(session, concepts)
        session.render(output_type="latent")
        edit(session)
        render = session.render(anchored(tolerance=tolerance), output_type="pt")
        share = render.evaluations / from_scratch(session, pipeline)
        yield from cases(name, [seed], render.mode, share, render, truths[name, seed])


def table(cases: list[Case]) -> str:
    """Format a Markdown table with one row per mode, over all operations and seeds."""
    seeds = len({case.seed for case in cases})
    lines = [
        "# Distance of each mode from the exact image",
        "",
        f"Written by `benchmarks/fidelity.py`: {len(OPERATIONS)} edits, {seeds} seeds (for a "
        f"tolerance {min(seeds, BATCH)}). Evaluations "
        "are the mean share of those from scratch; PSNR is in dB against the exact image; "
        "missed is the distance from it over the distance that the edit moved it; nearer is the "
        "share of cases that are nearer to the exact image than the image before the edit; rank is "
        "the Spearman correlation of the error estimate with the true error of the latents, and "
        "with the PSNR.",
        "",
        "| mode | evaluations | PSNR median | 10th percentile | 5th | SSIM median | missed median "
        "| nearer | rank |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for mode in sorted({c.mode for c in cases}, key=lambda m: share_of(cases, m)):
        mine = [c for c in cases if c.mode == mode]
        psnr = np.array([c.psnr for c in mine])
        estimates = np.array([c.error_estimate for c in mine])
        known = np.isfinite(estimates) & np.isfinite(psnr)
        errors = np.array([c.error for c in mine])
        rank = "-"
        if known.any():
            by_error = spearmanr(estimates[known], errors[known]).statistic
            rank = f"{by_error:.2f} / {spearmanr(estimates[known], -psnr[known]).statistic:.2f}"
        nearer = "-" if mode == BEFORE else f"{np.mean([c.missed < 1 for c in mine]):.1%}"
        lines.append(
            f"| {mode} | {share_of(cases, mode):.1%} | {np.median(psnr):.1f} "
            f"| {np.percentile(psnr, 10):.1f} | {np.percentile(psnr, 5):.1f} "
            f"| {np.median([c.ssim for c in mine]):.3f} "
            f"| {np.median([c.missed for c in mine]):.2f} | {nearer} | {rank} |"
        )
    lines += ["", "PSNR of each edit, median / 10th percentile:", ""]
    names = sorted({c.mode for c in cases}, key=lambda m: share_of(cases, m))
    lines += [f"| edit | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
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


def plot(cases: list[Case], path: Path) -> None:
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
            xytext=(7, 3) if "0.05" in mode else (-7, 3),
            textcoords="offset points",
            ha="left" if "0.05" in mode else "right",
            color=colour,
            fontsize=9,
        )
    axes.set_xlabel("evaluations, % of those from scratch")
    axes.set_ylabel("PSNR against the exact image, dB")
    axes.set_title("Median over all edits and seeds; the bar reaches down to the 10th percentile")
    axes.set(xlim=(-12, 56), ylim=(10, 80))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure the modes and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    seeds = list(range(FIRST_SEED, FIRST_SEED + arguments.seeds))
    truths: dict[Any, Truth] = {}
    found: list[Case] = []
    for first in range(0, len(seeds), BATCH):
        found += batched_cases(pipeline, seeds[first : first + BATCH], truths)
        print(f"{len(found)} cases", flush=True)
    for tolerance in TOLERANCES:
        for seed in seeds[:BATCH]:
            found += tolerance_cases(pipeline, tolerance, seed, truths)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "fidelity.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in attrs.fields(Case)])
        writer.writeheader()
        for case in found:
            row = attrs.asdict(case)
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    (arguments.output / "fidelity.md").write_text(table(found))
    plot(found, arguments.output / "fidelity.png")
    print(table(found))


if __name__ == "__main__":
    main()
