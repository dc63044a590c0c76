"""How near each mode comes to the exact picture, and for how many evaluations.

    python benchmarks/fidelity.py                      # 16 seeds, 13 minutes on two cores
    python benchmarks/fidelity.py --seeds 2 --output . # a taste

On the embedded checkpoint: 50 steps, guidance scale 5, warm-up 10, momentum 0.1 / 0.4; ten edits of
two to four concepts at their recommended settings, which were not chosen on these seeds. Every edit
starts from an exact render; its evaluations are those of a session that has seen nothing else
since. 100 % is the edited state from scratch. Writes fidelity.csv (a row a case), fidelity.md (the
table) and fidelity.png.

Modes are drawn for a batch of seeds at once, but for `tolerance`, which places anchors by the
hardest image of a batch: there each of the first 16 seeds has a session of its own.
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

from sega_session import EditSession, anchored, load_avatars
from sega_session.engine.denoise import root_mean_square
from sega_session.engine.quality import measure
from sega_session.models.loading import AVATARS
from sega_session.models.presets import FILE, read
from sega_session.state import Mode

FIRST_SEED = 2000
BATCH = 16
PROMPT = "a portrait of a person"
HALF = "half the steps"
BEFORE = "picture before"
BATCHED: tuple[str | Mode, ...] = (
    "preview",
    anchored(every=5),
    anchored(every=3),
    anchored(every=2),
    "replay",
)
TOLERANCES = (0.05, 0.1)

Edit = Callable[[EditSession], None]


RECOMMENDED = read(AVATARS / FILE).concepts


def concept(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, **RECOMMENDED[prompt].arguments(50)}


def reweighted(prompt: str, factor: float) -> Edit:
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
"""By name: the concepts before, and the edit."""


@frozen
class Case:
    """One edit of one seed in one mode.

    `share` is of the evaluations from scratch; `error` is that of the latents, root mean square,
    and `error_estimate` what the render said of it.
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
    """A session of the benchmark's scene."""
    return EditSession(pipeline, PROMPT, seed=seeds, guidance_scale=5.0, **arguments)


def start(session: EditSession, concepts: tuple[dict[str, Any], ...]) -> None:
    """Set the concepts that an edit starts from."""
    for old in session.concepts:
        session.remove(old.name)
    session.momentum(scale=0.1, beta=0.4)
    for new in concepts:
        session.add(**new)


def take_over(source: EditSession, target: EditSession, steps: float) -> None:
    """Give a session another's state, the warm-ups in proportion to its steps."""
    for one in source.concepts:
        fields = attrs.asdict(one)
        del fields["embedding"], fields["enabled"]
        target.add(**{**fields, "warmup": round(one.warmup * steps)})
    target.momentum(scale=source.state.momentum_scale, beta=source.state.momentum_beta)


def from_scratch(session: EditSession, pipeline: Any) -> int:
    """Evaluations of the session's state, an image, with nothing recorded."""
    cold = new_session(pipeline, [0], cache_bytes=0)
    take_over(session, cold, 1)
    return cold.plan()


@frozen(eq=False)
class Truth:
    """The picture before an edit and the exact one after it, of each seed."""

    before: torch.Tensor
    exact: torch.Tensor
    latents: torch.Tensor

    def of(self, row: int) -> Truth:
        """One seed's."""
        part = slice(row, row + 1)
        return Truth(self.before[part], self.exact[part], self.latents[part])


@torch.no_grad()
def pixels(session: EditSession, latents: torch.Tensor) -> torch.Tensor:
    """Images of latents, ``(batch, 3, height, width)`` in [0, 1]."""
    return torch.as_tensor(session._denoiser.decode(latents, "pt").images)


def cases(
    operation: str,
    seeds: list[int],
    mode: str,
    share: float,
    found: tuple[torch.Tensor, torch.Tensor],
    truth: Truth,
    estimates: tuple[float, ...] | None = None,
) -> Iterator[Case]:
    """A case for each seed; ``found`` is pictures and latents."""
    picture, latents = found
    quality = measure(picture, truth.exact, truth.before, 0)
    errors = root_mean_square(latents - truth.latents).tolist()
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
    """All operations in all modes but tolerance; fills ``truths`` by operation and seed."""
    session = new_session(pipeline, seeds)
    half = new_session(pipeline, seeds, num_inference_steps=25, cache_bytes=0)
    for name, (concepts, edit) in OPERATIONS.items():
        start(session, concepts)
        unedited = session.render(output_type="latent").latents
        edit(session)
        scratch = from_scratch(session, pipeline)
        # Planned before anything is drawn: later modes find what earlier ones evaluated.
        plans = [session.plan(mode) / len(seeds) for mode in BATCHED]
        done = [session.render(mode, output_type="latent") for mode in BATCHED]
        exact = session.render(output_type="latent").latents
        truth = Truth(pixels(session, unedited), pixels(session, exact), exact)
        truths.update({(name, seed): truth.of(row) for row, seed in enumerate(seeds)})
        start(half, ())
        take_over(session, half, 0.5)
        coarse = half.render(output_type="latent")
        for render, evaluations in zip(done, plans, strict=True):
            found = pixels(session, render.latents), render.latents
            share = evaluations / scratch
            yield from cases(name, seeds, render.mode, share, found, truth, render.error_estimate)
        found = pixels(half, coarse.latents), coarse.latents
        share = coarse.evaluations / len(seeds) / scratch
        yield from cases(name, seeds, HALF, share, found, truth)
        yield from cases(name, seeds, BEFORE, 0, (truth.before, unedited), truth)


def tolerance_cases(
    pipeline: Any, tolerance: float, seed: int, truths: dict[Any, Truth]
) -> Iterator[Case]:
    """All operations with a tolerance, for one seed."""
    session = new_session(pipeline, [seed])
    for name, (concepts, edit) in OPERATIONS.items():
        start(session, concepts)
        session.render(output_type="latent")
        edit(session)
        render = session.render(anchored(tolerance=tolerance), output_type="latent")
        share = render.evaluations / from_scratch(session, pipeline)
        found = pixels(session, render.latents), render.latents
        truth = truths[name, seed]
        yield from cases(name, [seed], render.mode, share, found, truth, render.error_estimate)


def table(cases: list[Case]) -> str:
    """A Markdown table: one line a mode, over all operations and seeds."""
    seeds = len({case.seed for case in cases})
    lines = [
        "# How near each mode comes to the exact picture",
        "",
        f"Written by `benchmarks/fidelity.py`: {len(OPERATIONS)} edits, {seeds} seeds (for a "
        f"tolerance {min(seeds, BATCH)}). Evaluations "
        "are a share of those from scratch, their mean; PSNR in dB against the exact picture; "
        "missed is the distance from it over the distance that the edit moved it; nearer: share of "
        "the cases nearer to the exact picture than the one before the edit; rank: Spearman "
        "correlation of the error estimate with the true error of the latents, and with the PSNR.",
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
    """The mean share of the evaluations from scratch that a mode takes."""
    return float(np.mean([case.share for case in cases if case.mode == mode]))


def plot(cases: list[Case], path: Path) -> None:
    """Quality against evaluations: median with 10th percentile below."""
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - after the backend is chosen

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
    axes.set_ylabel("PSNR against the exact picture, dB")
    axes.set_title("Median over all edits and seeds; the bar reaches down to the 10th percentile")
    axes.set(xlim=(-12, 56), ylim=(10, 80))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
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
