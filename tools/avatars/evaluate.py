"""Measure semantic edits on the checkpoint, beside plain re-prompting with the same seed.

Writes RESULTS.md beside this file, and contact sheets to the work directory. With ``--tune`` it
measures a few settings of each edit on other seeds instead, for choosing those in concepts.py.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from concepts import ANYONE, EDITS, Edit, Kind, Score, score
from export import TARGET
from numpy.typing import NDArray
from sheets import save_sheet
from train_classifier import load_classifier

from sega_session import EditSession, load_pipeline

STEPS = 25
WARM_UP = 5
GUIDANCE_SCALE = 5.0
MOMENTUM = {"scale": 0.3, "beta": 0.6}
BATCH = 32
SHOWN = 12
TUNING_SEEDS = range(10_000, 10_032)
"""Disjoint from the seeds of the evaluation, which start at 0."""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """Scores of an edit and of re-prompting, on the same images."""

    edit: Edit
    guided: Score
    reprompted: Score


class Studio:
    """Draws pictures with and without edits, and reads their attributes."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.set_num_threads(args.threads)
        self._pipeline: Any = load_pipeline(args.checkpoint, device=args.device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._classifier = load_classifier(args.workdir / "classifier.pt")
        self._workdir: Path = args.workdir
        self._bases: dict[range, tuple[Images, Labels]] = {}

    def draw(self, prompt: str, seeds: Sequence[int], edit: Edit | None = None) -> Images:
        """Return float (seeds, 128, 128, 3) in [0, 1]."""
        images = []
        for first in range(0, len(seeds), BATCH):
            session = EditSession(
                self._pipeline,
                prompt,
                seed=seeds[first : first + BATCH],
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE_SCALE,
            )
            session.momentum(**MOMENTUM)
            if edit is not None:
                session.add(
                    edit.concept,
                    scale=edit.scale,
                    threshold=edit.threshold,
                    warmup=WARM_UP,
                    inverted=edit.inverted,
                )
            images.append(session.render(output_type="np").images)
        return np.concatenate(images)

    @torch.no_grad()
    def read(self, images: Images) -> Labels:
        """Classify (count, 128, 128, 3) in [0, 1]: int64 (count, attributes)."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
        return torch.cat([self._classifier.predict(chunk) for chunk in pixels.split(64)]).numpy()

    def base(self, edit: Edit, seeds: range) -> tuple[list[int], Images, Labels]:
        """Return the seeds that `edit` applies to, and their base images and labels."""
        if seeds not in self._bases:
            images = self.draw(ANYONE, seeds)
            self._bases[seeds] = images, self.read(images)
        images, labels = self._bases[seeds]
        mask = edit.applies_to(labels)
        return (
            [seed for seed, applies in zip(seeds, mask, strict=True) if applies],
            images[mask],
            labels[mask],
        )

    def measure(self, edit: Edit, seeds: range) -> Result:
        """Score an edit and re-prompting; save a contact sheet."""
        chosen, base, before = self.base(edit, seeds)
        edited = self.draw(ANYONE, chosen, edit)
        reprompted = self.draw(edit.reprompt, chosen)
        rows = [
            (f"{ANYONE!r}", base),
            (edit.name, edited),
            (f"instead: {edit.reprompt!r}", reprompted),
        ]
        sheet = f"sheet-{edit.kind.name.lower()}-{edit.thing.replace(' ', '-')}.png"
        save_sheet([(caption, images[:SHOWN]) for caption, images in rows], self._workdir / sheet)
        scores = [score(edit, before, self.read(images)) for images in (edited, reprompted)]
        return Result(edit, *scores)

    def try_settings(self, edit: Edit, seeds: range) -> list[tuple[Edit, Score]]:
        """Score settings around those of `edit`."""
        chosen, _, before = self.base(edit, seeds)
        return [
            (setting, score(edit, before, self.read(self.draw(ANYONE, chosen, setting))))
            for setting in settings_around(edit)
        ]


def settings_around(edit: Edit) -> list[Edit]:
    """Vary the strength of an edit and the area that it changes."""
    changes = ((1, 1), (0.7, 1), (1.5, 1), (1, 0.5), (1, 2))
    return [
        replace(
            edit,
            scale=round(edit.scale * strength, 1),
            threshold=round(max(0.0, 1 - (1 - edit.threshold) * area), 3),
        )
        for strength, area in changes
    ]


def table(results: Iterable[Result]) -> Iterator[str]:
    """Format results as the lines of a Markdown table."""
    yield "| edit | scale / threshold | n | success | preserved | re-prompt: success | preserved |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for result in results:
        edit, guided, reprompted = result.edit, result.guided, result.reprompted
        yield (
            f"| {edit.name} | {edit.scale:g} / {edit.threshold:.2f} | {guided.count} "
            f"| {guided.success:.2f} | {guided.preservation:.2f} "
            f"| {reprompted.success:.2f} | {reprompted.preservation:.2f} |"
        )


def means(results: list[Result]) -> Iterator[str]:
    """Format the mean of each kind of edit as further lines of the table."""
    for kind in Kind:
        scores = [(r.guided, r.reprompted) for r in results if r.edit.kind is kind]
        if scores:
            values = [(s.success, s.preservation) for pair in scores for s in pair]
            mean = np.mean(np.array(values).reshape(len(scores), 4), axis=0)
            cells = " | ".join(f"**{value:.2f}**" for value in mean)
            yield f"| **mean, {kind.value}** | | | {cells} |"


_INTRODUCTION = """# How well edits work on the embedded checkpoint

Written by `evaluate.py`: seeds 0 to {last}, {steps} DDIM steps, guidance scale {guidance:g},
warm-up {warm_up} calls, momentum {momentum[scale]} / {momentum[beta]}. Each edit has one setting,
not chosen on these seeds. The base prompt is "a portrait of a person". Re-prompting draws the same
seeds with the changed prompt instead: with the thing for additions, with its absence ("no glasses",
"clean-shaven", "bareheaded") for removals.

- **n**: the base images that lack what is added, or show what is removed; the others are left out.
- **success**: share of them in which it appears, or disappears.
- **preserved**: mean share of their other attributes that stay as they were, out of those that both
  pictures show. A classifier reads all attributes.

"""


def report(results: list[Result], seeds: range) -> str:
    introduction = _INTRODUCTION.format(
        last=seeds[-1],
        steps=STEPS,
        guidance=GUIDANCE_SCALE,
        warm_up=WARM_UP,
        momentum=MOMENTUM,
    )
    return introduction + "\n".join([*table(results), *means(results)]) + "\n"


_worker_studio: Studio  # of this worker process; set by _open_studio


def _open_studio(args: argparse.Namespace) -> None:
    global _worker_studio  # noqa: PLW0603 - what multiprocessing offers for state of a worker
    _worker_studio = Studio(args)


def _measure(edit: Edit, seeds: range) -> Result:
    result = _worker_studio.measure(edit, seeds)
    print(list(table([result]))[-1], flush=True)
    return result


def _tune(edit: Edit) -> None:
    for setting, found in _worker_studio.try_settings(edit, TUNING_SEEDS):
        print(
            f"{edit.name:50s} {setting.scale:5g} / {setting.threshold:.2f}  n {found.count:3d}  "
            f"success {found.success:.2f}  preserved {found.preservation:.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--checkpoint", type=Path, default=TARGET)
    parser.add_argument("--seeds", type=int, default=160, help="how many to evaluate")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="measure only edits whose name contains this")
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()

    begin = time.monotonic()
    edits = [edit for edit in EDITS if args.only in edit.name]
    pool = get_context("spawn").Pool(args.processes, initializer=_open_studio, initargs=(args,))
    with pool:
        if args.tune:
            pool.map(_tune, edits, chunksize=1)
        else:
            seeds = range(args.seeds)
            results = pool.starmap(_measure, [(edit, seeds) for edit in edits], chunksize=1)
            text = report(results, seeds)
            print(text)
            if not args.only:
                (Path(__file__).parent / "RESULTS.md").write_text(text, "utf-8")
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
