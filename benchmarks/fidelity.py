"""How near each mode comes to the exact picture, and for how many evaluations.

    python benchmarks/fidelity.py                      # 32 seeds, about half an hour on two cores
    python benchmarks/fidelity.py --seeds 2 --output . # a taste

On the embedded checkpoint: 50 steps, guidance scale 5, warm-up 10, momentum 0.1 / 0.4; ten edits of
two to four concepts, none of them tuned on these seeds. Every edit starts from an exact render;
its evaluations are those of a session that has seen nothing else since. 100 % is the edited state
from scratch. Writes fidelity.csv (a row a case), fidelity.md (the table) and fidelity.png.

Modes are drawn for a batch of seeds at once, but for `tolerance`, which places anchors by the
hardest image of a batch: there each seed has a session of its own.
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

from sega_session import Concept, EditSession, anchored, load_avatars
from sega_session.modes import Mode
from sega_session.quality import measure

FIRST_SEED = 2000
BATCH = 16
PROMPT = "a portrait of a person"
HALF = "half the steps"
BEFORE = "picture before"
BATCHED: tuple[str | Mode, ...] = (
    "preview",
    anchored(every=8),
    anchored(every=4),
    anchored(every=2),
    "replay",
)
TOLERANCES = (0.05, 0.1)

Edit = Callable[[EditSession], None]


def concept(prompt: str, scale: float, threshold: float) -> dict[str, Any]:
    return {"prompt": prompt, "scale": scale, "threshold": threshold}


GLASSES = concept("glasses", 5, 0.9)
SMILE = concept("a smile", 6, 0.95)
BEARD = concept("a beard", 5, 0.92)
CURLY = concept("curly hair", 5, 0.88)
HAT = concept("a hat", 7, 0.8)

OPERATIONS: dict[str, tuple[tuple[dict[str, Any], ...], Edit]] = {
    "reweight 5 to 6": ((GLASSES, SMILE), lambda s: s.reweight("glasses", scale=6)),
    "reweight 5 to 8": ((GLASSES, SMILE), lambda s: s.reweight("glasses", scale=8)),
    "invert smile": ((GLASSES, SMILE), lambda s: s.invert("a smile")),
    "remove glasses": ((GLASSES, SMILE), lambda s: s.remove("glasses")),
    "add beard": ((GLASSES, SMILE), lambda s: s.add(**BEARD)),
    "add hat": ((GLASSES, SMILE), lambda s: s.add(**HAT)),
    "threshold of 3": ((GLASSES, SMILE, BEARD), lambda s: s.update("a beard", threshold=0.8)),
    "add a 4th": ((GLASSES, SMILE, BEARD), lambda s: s.add(**CURLY)),
    "halve one of 4": (
        (GLASSES, SMILE, BEARD, CURLY),
        lambda s: s.reweight("a beard", scale=2.5),
    ),
    "momentum of 3": ((GLASSES, SMILE, BEARD), lambda s: s.momentum(scale=0.4, beta=0.6)),
}
"""By name: the concepts before, and the edit."""


@frozen
class Case:
    """One edit of one seed in one mode; `share` is of the evaluations from scratch."""

    operation: str
    seed: int
    mode: str
    share: float
    psnr: float
    ssim: float
    missed: float
    error_estimate: float


def new_session(pipeline: Any, seeds: list[int], **arguments: Any) -> EditSession:
    """A session of the benchmark's scene."""
    return EditSession(pipeline, PROMPT, seed=seeds, guidance_scale=5.0, **arguments)


def before(session: EditSession, concepts: tuple[dict[str, Any], ...], warmup: int = 10) -> None:
    """Set the concepts that an edit starts from."""
    for old in session.concepts:
        session.remove(old.name)
    session.momentum(scale=0.1, beta=0.4)
    for new in concepts:
        session.add(**new, warmup=warmup)


def rescaled(concepts: tuple[Concept, ...], factor: float, session: EditSession) -> None:
    """Give a session these concepts, their warm-ups in proportion to its model calls."""
    for one in concepts:
        fields = attrs.asdict(one)
        del fields["embedding"], fields["enabled"]
        session.add(**{**fields, "warmup": round(one.warmup * factor)})


def from_scratch(session: EditSession) -> float:
    """Evaluations of the session's state, an image, with nothing recorded."""
    cold = new_session(session._denoiser._pipeline, [0], cache_bytes=0)  # type: ignore[attr-defined]
    rescaled(session.concepts, 1, cold)
    cold.momentum(scale=session.state.momentum_scale, beta=session.state.momentum_beta)
    return cold.plan()


def pixels(pipeline: Any, session: EditSession, latents: torch.Tensor) -> torch.Tensor:
    images = session._denoiser.decode(latents, "pt").images
    assert isinstance(images, torch.Tensor)
    return images


def drawn(session: EditSession, modes: tuple[str | Mode, ...]) -> Iterator[tuple[Any, float]]:
    """Renders of an edited state in several modes, and the evaluations that each takes alone.

    A later mode finds what an earlier one has evaluated at recorded latents, which all modes need;
    that is added back.
    """
    images = len(session.scene.seeds)
    alone = session.plan()
    for mode in modes:
        shared = alone - session.plan()
        render = session.render(mode, output_type="latent")
        yield render, (render.evaluations + shared) / images


def batched_cases(
    pipeline: Any, seeds: list[int], exact: dict[tuple[str, int], Any]
) -> Iterator[Case]:
    """All operations in all modes but tolerance; fills ``exact`` with the pictures."""
    session = new_session(pipeline, seeds)
    half = new_session(pipeline, seeds, num_inference_steps=25, cache_bytes=0)
    for name, (concepts, edit) in OPERATIONS.items():
        before(session, concepts)
        old = pixels(pipeline, session, session.render(output_type="latent").latents)
        edit(session)
        scratch = from_scratch(session)
        done = list(drawn(session, BATCHED))
        new = pixels(pipeline, session, session.render(output_type="latent").latents)
        exact.update({(name, s): (o, n) for s, o, n in zip(seeds, old, new, strict=True)})
        before(half, ())
        rescaled(session.concepts, 0.5, half)
        half.momentum(scale=session.state.momentum_scale, beta=session.state.momentum_beta)
        coarse = half.render(output_type="latent")
        found = [(r.mode, e, pixels(pipeline, session, r.latents), r) for r, e in done]
        found.append((BEFORE, 0, old, None))
        found.append(
            (HALF, coarse.evaluations / len(seeds), pixels(pipeline, half, coarse.latents), None)
        )
        for mode, evaluations, picture, render in found:
            quality = measure(picture, new, old, 0)
            estimates = (render and render.error_estimate) or (float("nan"),) * len(seeds)
            for i, seed in enumerate(seeds):
                yield Case(
                    name,
                    seed,
                    mode,
                    evaluations / scratch,
                    quality.psnr[i],
                    quality.ssim[i],
                    quality.missed[i],
                    estimates[i],
                )


def tolerance_cases(pipeline: Any, seed: int, exact: dict[tuple[str, int], Any]) -> Iterator[Case]:
    """All operations with a tolerance, for one seed."""
    session = new_session(pipeline, [seed])
    for name, (concepts, edit) in OPERATIONS.items():
        before(session, concepts)
        session.render(output_type="latent")
        edit(session)
        scratch = from_scratch(session)
        old, new = exact[name, seed]
        for render, evaluations in drawn(session, tuple(anchored(tolerance=t) for t in TOLERANCES)):
            picture = pixels(pipeline, session, render.latents)
            quality = measure(picture, new[None], old[None], 0)
            yield Case(
                name,
                seed,
                render.mode,
                evaluations / scratch,
                quality.psnr[0],
                quality.ssim[0],
                quality.missed[0],
                (render.error_estimate or (float("nan"),))[0],
            )


def table(cases: list[Case]) -> str:
    """A Markdown table: one line a mode, over all operations and seeds."""
    seeds = len({case.seed for case in cases})
    lines = [
        "# How near each mode comes to the exact picture",
        "",
        f"Written by `benchmarks/fidelity.py`: {len(OPERATIONS)} edits, {seeds} seeds. Evaluations "
        "are a share of those from scratch, their mean; PSNR in dB against the exact picture; "
        "missed is the distance from it over the distance that the edit moved it; nearer: share of "
        "the cases nearer to the exact picture than the one before the edit; rank: Spearman "
        "correlation of the error estimate with the true error.",
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
        rank = f"{spearmanr(estimates[known], -psnr[known]).statistic:.2f}" if known.any() else "-"
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
        colour = colours.get(mode.split("=")[0], "C1" if mode == "preview" else "0.5")
        low = middle - np.percentile(psnr, 10)
        axes.errorbar([100 * share], [middle], yerr=[[low], [0]], fmt="o", color=colour, capsize=4)
        axes.annotate(
            mode, (100 * share, middle), xytext=(7, 5), textcoords="offset points", fontsize=9
        )
    axes.set_xlabel("evaluations, % of those from scratch")
    axes.set_ylabel("PSNR against the exact picture, dB")
    axes.set_title("Median over all edits and seeds; the bar reaches down to the 10th percentile")
    axes.set_xlim(-3, 62)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    seeds = list(range(FIRST_SEED, FIRST_SEED + arguments.seeds))
    exact: dict[tuple[str, int], Any] = {}
    cases: list[Case] = []
    for start in range(0, len(seeds), BATCH):
        cases += batched_cases(pipeline, seeds[start : start + BATCH], exact)
    for seed in seeds:
        cases += tolerance_cases(pipeline, seed, exact)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "fidelity.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in attrs.fields(Case)])
        writer.writeheader()
        for case in cases:
            row = attrs.asdict(case)
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    (arguments.output / "fidelity.md").write_text(table(cases))
    plot(cases, arguments.output / "fidelity.png")
    print(table(cases))


if __name__ == "__main__":
    main()
