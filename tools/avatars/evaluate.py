"""Measure semantic edits on the checkpoint, beside plain re-prompting with the same seed.

Writes RESULTS.md beside this file, and contact sheets to the work directory. With ``--tune`` it
measures a few settings of each edit on other seeds instead, for choosing those in concepts.py.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from concepts import CONCEPTS, Concept, Score, read_labels, score
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
SHOWN = 16
TUNING_SEEDS = range(10_000, 10_032)
"""Disjoint from the seeds of the evaluation, which start at 0."""

Images = NDArray[np.float32]


class Studio:
    """Draws base, edited and re-prompted images of a list of seeds, each only once."""

    def __init__(self, pipeline: Any, seeds: range) -> None:
        self._pipeline = pipeline
        self._batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
        self._plain: dict[str, Images] = {}
        self._sessions: dict[str, list[EditSession]] = {}

    def plain(self, prompt: str) -> Images:
        """Images of `prompt` without edits: float (seeds, 128, 128, 3) in [0, 1]."""
        if prompt not in self._plain:
            self._plain[prompt] = _render(self._open(prompt))
        return self._plain[prompt]

    def edited(self, concept: Concept) -> Images:
        """The base images of `concept` with its edit."""
        self.plain(concept.base)  # the edit reuses what this evaluates
        sessions = self._open(concept.base)
        for session in sessions:
            session.add(
                concept.prompt,
                scale=concept.scale,
                threshold=concept.threshold,
                warmup=WARM_UP,
                inverted=concept.inverted,
            )
        images = _render(sessions)
        for session in sessions:
            session.remove(concept.prompt)
        return images

    def _open(self, prompt: str) -> list[EditSession]:
        if prompt not in self._sessions:
            sessions = [
                EditSession(
                    self._pipeline,
                    prompt,
                    seed=batch,
                    num_inference_steps=STEPS,
                    guidance_scale=GUIDANCE_SCALE,
                )
                for batch in self._batches
            ]
            for session in sessions:
                session.momentum(**MOMENTUM)
            self._sessions[prompt] = sessions
        return self._sessions[prompt]


def _render(sessions: list[EditSession]) -> Images:
    return np.concatenate([session.render(output_type="np").images for session in sessions])


def table(rows: Iterable[tuple[Concept, Score, Score]]) -> Iterator[str]:
    """Format the scores of guided and re-prompted edits as Markdown lines."""
    yield "| edit | scale / threshold | n | success | preserved | re-prompt: success | preserved |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for concept, edit, reprompt in rows:
        yield (
            f"| {concept.name} | {concept.scale:g} / {concept.threshold:.2f} | {edit.count} "
            f"| {edit.success:.2f} | {edit.preservation:.2f} "
            f"| {reprompt.success:.2f} | {reprompt.preservation:.2f} |"
        )


def means(rows: list[tuple[Concept, Score, Score]]) -> str:
    """Format the mean over rows as one more line of the table."""
    values = [
        np.mean([getattr(row[column], name) for row in rows])
        for column in (1, 2)
        for name in ("success", "preservation")
    ]
    kind = "removals" if rows[0][0].inverted else "additions"
    return (
        f"| **mean of {kind}** | | | " + " | ".join(f"**{value:.2f}**" for value in values) + " |"
    )


def evaluate(studio: Studio, args: argparse.Namespace) -> None:
    classifier = load_classifier(args.workdir / "classifier.pt")
    rows: list[tuple[Concept, Score, Score]] = []
    for concept in CONCEPTS:
        base, edited = studio.plain(concept.base), studio.edited(concept)
        reprompted = studio.plain(concept.reprompt)
        before = read_labels(classifier, base)
        scores = [score(concept, before, read_labels(classifier, i)) for i in (edited, reprompted)]
        rows.append((concept, scores[0], scores[1]))
        print(list(table(rows))[-1], flush=True)
        captioned = [
            (f"{concept.base!r}", base),
            (f"edit: {concept.name}", edited),
            (f"instead: {concept.reprompt!r}", reprompted),
        ]
        save_sheet(
            [(caption, images[:SHOWN]) for caption, images in captioned],
            args.workdir / f"sheet-{concept.name.replace(' ', '-')}.png",
        )
    additions = [row for row in rows if not row[0].inverted]
    removals = [row for row in rows if row[0].inverted]
    lines = [*table(rows), means(additions), means(removals)]
    text = _INTRODUCTION.format(seeds=args.seeds, last=args.seeds - 1) + "\n".join(lines) + "\n"
    (Path(__file__).parent / "RESULTS.md").write_text(text, "utf-8")


_INTRODUCTION = f"""# How well edits work on the embedded checkpoint

Written by `evaluate.py`. Seeds 0 to {{last}}, {STEPS} DDIM steps, guidance scale \
{GUIDANCE_SCALE:g}, warm-up {WARM_UP} calls, momentum \
{MOMENTUM["scale"]} / {MOMENTUM["beta"]}; one setting an edit, chosen on other seeds. Additions \
start from "a portrait of a person", removals from the same "with" what is removed and guide away \
from it. Re-prompting draws the same seed with the changed prompt instead.

- **n**: of the {{seeds}} base images, those that lack what is added (show what is removed).
- **success**: share of them in which the edit adds (removes) it.
- **preserved**: mean share of their other attributes that stay as they were, of those that can be \
seen in both pictures. All read by the classifier.

"""


def tune(studio: Studio, args: argparse.Namespace) -> None:
    """Print the scores of settings around each concept's, on the tuning seeds."""
    classifier = load_classifier(args.workdir / "classifier.pt")
    for concept in CONCEPTS:
        before = read_labels(classifier, studio.plain(concept.base))
        for scale, threshold in _settings_around(concept):
            setting = replace(concept, scale=scale, threshold=threshold)
            result = score(setting, before, read_labels(classifier, studio.edited(setting)))
            print(
                f"{concept.name:24s} {scale:4g} / {threshold:.2f}  n {result.count:3d}  "
                f"success {result.success:.2f}  preserved {result.preservation:.2f}",
                flush=True,
            )


def _settings_around(concept: Concept) -> list[tuple[float, float]]:
    active = 1 - concept.threshold
    return [
        (concept.scale * strength, round(1 - min(1.0, active * area), 3))
        for strength, area in ((1, 1), (0.7, 1), (1.4, 1), (1, 0.5), (1, 1.8), (1.4, 0.5))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path(__file__).parent / "work")
    parser.add_argument("--checkpoint", type=Path, default=TARGET)
    parser.add_argument("--seeds", type=int, default=128, help="how many to evaluate")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    pipeline = load_pipeline(args.checkpoint, device=args.device)
    pipeline.set_progress_bar_config(disable=True)
    begin = time.monotonic()
    if args.tune:
        tune(Studio(pipeline, TUNING_SEEDS), args)
    else:
        evaluate(Studio(pipeline, range(args.seeds)), args)
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
