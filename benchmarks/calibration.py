"""Measure how even the steps of a slider are, before and after calibration, on the embedded model.

    python benchmarks/calibration.py --workdir DIR            # about 8 minutes on one core
    python benchmarks/calibration.py --workdir DIR --seeds 1 --output .  # a short run

For every concept that the checkpoint recommends, and for the first seeds whose unedited image lacks
it, ten images are rendered exactly: at equal steps of the scale up to the recommended one, at equal
steps up to `Calibration.high`, and at `Calibration.steps`. Two things are measured on the nine
steps between neighbours: the root mean square difference of the pixels, and the change of a
classifier's confidence that the image shows the concept. Perfectly even steps have a ninth of the
whole each.

``--workdir`` is a folder with the ``classifier.pt`` that tools/avatars/train_classifier.py trains;
it requires the extra "train".

The estimator was chosen with 25 exact renders of each of eight concepts on two seeds, to the
recommended scale: the largest of nine steps takes 0.48 of the way in the median with equal steps of
the scale, and 0.22 with five renders that halve the square root of the scale, and linear
interpolation in it (three renders 0.39, seven 0.14; halving the scale itself 0.28; monotone cubic
interpolation 0.26). Those are lengths along the recorded curves, of the cases that the choice was
made on. Images rendered at the chosen scales, as in calibration.md, are less even.

For a seed of four concepts, the calibration is repeated with exact renders and with previews, to
see what approximate renders cost. Writes calibration.md and calibration.json (the
tables) and calibration.png (steps before and after, of a seed of each concept).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from speed import machine

from sega_session import EditSession, load_avatars
from sega_session.calibration import Calibration, measure_changes, path
from sega_session.models import AVATARS, PRESETS_FILE, read_presets
from sega_session.session import CALIBRATING
from sega_session.state import edits

sys.path.append(str(Path(__file__).parents[1] / "tools" / "avatars"))

from concepts import ADDITIONS
from train_classifier import Classifier, load_classifier

STEPS = 25
COUNT = 10
"""Images of a slider."""

PRICED = ("glasses", "moustache", "hat", "bald")
"""The concepts whose calibration is repeated in other modes."""

CANDIDATES = range(16)
"""The seeds among which the first that lack a concept are taken."""

LABEL, TILE, GAP = 140, 80, 3
"""Pixels of the figure: the width of the words, an image's side, and the space between."""

RECOMMENDED = read_presets(AVATARS / PRESETS_FILE)

Images = NDArray[np.float32]
"""``(images, height, width, 3)`` in [0, 1]."""


@frozen
class Slider:
    """Ten images of a concept, in order of their scales.

    Attributes:
        scales: of the images.
        confidence: of the classifier that they show the concept.
        changes: the distance of each from the next.
    """

    scales: tuple[float, ...]
    confidence: tuple[float, ...]
    changes: tuple[float, ...]

    @property
    def largest_change(self) -> float:
        """The share of the way of the images that the largest step takes."""
        return max(self.changes) / sum(self.changes)

    @property
    def variation(self) -> float:
        """The standard deviation of the steps of the images, over their mean."""
        return float(np.std(self.changes) / np.mean(self.changes))

    @property
    def largest_gain(self) -> float:
        """The largest step of the confidence; 1 if it jumps from 0 to 1."""
        return float(np.abs(np.diff(self.confidence)).max())

    @property
    def fall(self) -> float:
        """How far the confidence falls at most below a value that it had before."""
        return float((np.maximum.accumulate(self.confidence) - self.confidence).max())


@frozen
class Case:
    """One concept on one seed.

    Attributes:
        recommended: the scale that the checkpoint recommends.
        sliders: by the way that their scales are chosen, see `ways`.
    """

    concept: str
    seed: int
    recommended: float
    calibration: Calibration
    sliders: dict[str, Slider]


@frozen
class Cost:
    """The four renders of a calibration in one mode, besides the unedited image.

    Attributes:
        off: the largest difference between the share of the change that the calibration finds done
            at a scale and the share that exact renders find.
    """

    concept: str
    mode: str
    off: float
    evaluations: int


def unedited(pipeline: Any, seed: int | Sequence[int]) -> EditSession:
    """Return a session whose unedited images are recorded."""
    session = EditSession(
        pipeline,
        RECOMMENDED.prompt,
        seed=seed,
        num_inference_steps=STEPS,
        guidance_scale=RECOMMENDED.guidance_scale,
    )
    with reduced():
        session.render(output_type="latent")
    return session


def opened(pipeline: Any, concept: str, seed: int) -> EditSession:
    session = unedited(pipeline, seed)
    session.add(concept, **RECOMMENDED.concepts[concept].arguments(session.num_calls))
    return session


def image_at(session: EditSession, concept: str, scale: float) -> Images:
    state = edits.update(session.state, concept, scale=scale)
    with reduced():
        session.render(state=state, output_type="latent")
    # The latents are recorded now, so this only decodes, in float32.
    return cast(Images, session.render(state=state, output_type="np").images)


def reduced() -> torch.autocast:
    """Let the networks compute in bfloat16 inside the block."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


@torch.no_grad()
def confidence(classifier: Classifier, images: Images, concept: str) -> NDArray[np.float32]:
    """Return the classifier's probability that images show a concept."""
    edit = next(one for one in ADDITIONS if one.concept == concept)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
    found: NDArray[np.float32] = classifier.probability(pixels, edit.attribute, edit.target).numpy()
    return found


@torch.no_grad()
def lacking(pipeline: Any, classifier: Classifier, count: int) -> dict[str, list[int]]:
    """Return the first seeds whose unedited image lacks each concept."""
    images = unedited(pipeline, CANDIDATES).render(output_type="np").images
    labels = classifier.predict(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1)
    found = {}
    for edit in ADDITIONS:
        applies = edit.applies_to(labels.numpy())
        found[edit.concept] = [one for one in CANDIDATES if applies[one]][:count]
    return found


def ways(calibration: Calibration, recommended: float) -> dict[str, NDArray[np.float64]]:
    """Return the scales of a slider, by the way that they are chosen."""
    return {
        "to the recommended scale": np.linspace(0, recommended, COUNT),
        "to high": np.linspace(0, calibration.high, COUNT),
        "calibrated": np.array(calibration.steps(COUNT)),
    }


def measured(
    session: EditSession, classifier: Classifier, concept: str
) -> tuple[Case, dict[str, Images]]:
    """Calibrate a concept; return the case, and the images of its sliders."""
    with reduced():
        calibration = session.calibrate(concept)
    recommended = session[concept].scale
    sliders, shown = {}, {}
    for way, scales in ways(calibration, recommended).items():
        each = [image_at(session, concept, scale) for scale in scales.tolist()]
        shown[way] = images = np.concatenate(each)
        sliders[way] = Slider(
            tuple(scales.tolist()),
            tuple(confidence(classifier, images, concept).tolist()),
            path(list(images)),
        )
    (seed,) = session.seeds
    return Case(concept, seed, recommended, calibration, sliders), shown


def costs(pipeline: Any, case: Case) -> Iterator[Cost]:
    """Repeat a calibration in other modes, each in a session of its own."""
    found = {str(CALIBRATING): case.calibration}
    for mode in ("exact", "preview"):
        with opened(pipeline, case.concept, case.seed) as session:
            evaluations = 0

            def render(scale: float, session: EditSession = session, mode: str = mode) -> Images:
                nonlocal evaluations
                state = edits.update(session.state, case.concept, scale=scale)
                with reduced():
                    done = session.render(mode, state=state, output_type="np")
                evaluations += done.evaluations
                return cast(Images, done.images)

            scales, changes = measure_changes(render, case.recommended)
        found[mode] = Calibration(
            concept=case.concept, scales=scales, changes=changes, evaluations=evaluations
        )
    at = np.linspace(0, found["exact"].scales[-1], 1001)
    exact = shares(found["exact"], at)
    for mode, one in found.items():
        off = float(np.abs(shares(one, at) - exact).max())
        yield Cost(case.concept, mode, off, one.evaluations)


def shares(calibration: Calibration, scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares of the way from `low` to `high` that are done at scales."""
    done = np.linspace(0, 1, 201)
    return np.interp(scales, [calibration.scale(share) for share in done], done)


def spread(values: Sequence[float]) -> str:
    """Format the median and the largest of the values."""
    return f"{statistics.median(values):.2f} / {max(values):.2f}"


def table(cases: list[Case], prices: list[Cost], minutes: float) -> str:
    """Format the results in Markdown."""
    made_on = machine()
    versions = ", ".join(f"{name} {number}" for name, number in made_on["versions"].items())
    seeds = max(sum(case.concept == one.concept for one in cases) for case in cases)
    lines = [
        "# Even steps of a slider",
        "",
        f"Written by `benchmarks/calibration.py` on {made_on['date']}: seeds whose unedited "
        f"image lacks the concept, {seeds} of each, {STEPS} steps, guidance scale "
        f"{RECOMMENDED.guidance_scale:g}, networks in bfloat16; {minutes:.1f} minutes with "
        f"{made_on['threads']} thread of {made_on['cpu']}; Python {made_on['python']}, {versions}.",
        "",
        "Ten images of a slider, all rendered exactly, at scales that are chosen in three ways: in "
        "equal steps from 0 *to the recommended scale*; in equal steps from 0 *to high* of the "
        "calibration; and *calibrated*: `session.calibrate(concept).steps(10)`. Numbers are the "
        "median / the worst of the seeds. If the nine steps between neighbours were even, each "
        "would have 0.11.",
        "",
        "## The images",
        "",
        "The largest step's share of the way of the images: of the sum of all nine distances "
        "between neighbours, the root mean square of the pixels. Where the model turns to another "
        "image at once, as with curly hair, no choice of scales divides that step; calibration "
        "helps where the change is spread over a range.",
        "",
        *rows(cases, lambda slider: slider.largest_change),
        "",
        "The coefficient of variation of the nine distances, 0 if they are even and 2.8 if one "
        "step has all of the way:",
        "",
        *rows(cases, lambda slider: slider.variation),
        "",
        "## What the classifier sees",
        "",
        "The largest step of its confidence that the image shows the concept, 1 if it jumps from "
        "0 to 1. The classifier is sure of what it sees: halfway between two of its answers there "
        "are few images.",
        "",
        *rows(cases, lambda slider: slider.largest_gain),
        "",
        "The most that it falls below its value at a smaller scale, 0 if it is monotonic:",
        "",
        *rows(cases, lambda slider: slider.fall),
        "",
        "## The range",
        "",
        "The scales that were found, the least and the most of the seeds, beside the recommended "
        "scale; and the confidence at `high`, the least of the seeds.",
        "",
        "| concept | recommended | low | high | confidence at high |",
        "| --- | --- | --- | --- | --- |",
    ]
    for concept, own in by_concept(cases).items():
        low = [case.calibration.low for case in own]
        high = [case.calibration.high for case in own]
        sure = min(case.sliders["calibrated"].confidence[-1] for case in own)
        lines.append(
            f"| {concept} | {own[0].recommended:g} | {min(low):.2f} to {max(low):.2f} | "
            f"{min(high):.2f} to {max(high):.2f} | {sure:.2f} |"
        )
    lines += [
        "",
        "## The mode of the renders",
        "",
        "The four renders of a calibration besides the unedited image, for the first seed of "
        f"{', '.join(PRICED)}. *Off* is the largest difference between the share of the change "
        "that a scale has and the share that exact renders find: median / worst of the concepts.",
        "",
        "| mode | evaluations | off |",
        "| --- | --- | --- |",
    ]
    for mode in dict.fromkeys(one.mode for one in prices):
        own_prices = [one for one in prices if one.mode == mode]
        evaluations = statistics.median(one.evaluations for one in own_prices)
        lines.append(f"| {mode} | {evaluations:g} | {spread([one.off for one in own_prices])} |")
    return "\n".join(lines) + "\n"


def rows(cases: list[Case], value: Callable[[Slider], float]) -> Iterator[str]:
    """Yield the lines of a table of one number of the sliders."""
    chosen = list(cases[0].sliders)
    yield f"| concept | {' | '.join(chosen)} |"
    yield "| --- " * (1 + len(chosen)) + "|"
    for concept, own in {**by_concept(cases), "**all**": cases}.items():
        cells = [spread([value(case.sliders[way]) for case in own]) for way in chosen]
        yield f"| {concept} | {' | '.join(cells)} |"


def by_concept(cases: list[Case]) -> dict[str, list[Case]]:
    return {one: [case for case in cases if case.concept == one] for one in RECOMMENDED.concepts}


def sheet(strips: dict[str, dict[str, Images]]) -> Image.Image:
    """Draw the images of a seed of each concept, at equal steps of the scale and calibrated."""
    width, height = LABEL + COUNT * (TILE + GAP), len(strips) * (2 * (TILE + GAP) + 3 * GAP)
    drawn = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(14)
    top = 0
    for concept, shown in strips.items():
        before, *_, after = shown.values()
        for words, images in ((f"{concept}\nequal steps", before), ("calibrated", after)):
            draw.multiline_text((GAP, top + TILE // 3), words, "black", font)
            for index, pixels in enumerate(images):
                tile = Image.fromarray((255 * pixels).round().astype(np.uint8))
                drawn.paste(tile.resize((TILE, TILE)), (LABEL + index * (TILE + GAP), top))
            top += TILE + GAP
        top += 3 * GAP
    return drawn


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2, help="of each concept")
    parser.add_argument("--workdir", type=Path, required=True, help="the folder of classifier.pt")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    start = time.perf_counter()
    torch.set_num_threads(1)
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    classifier = load_classifier(arguments.workdir / "classifier.pt")
    found = lacking(pipeline, classifier, arguments.seeds)
    cases: list[Case] = []
    prices: list[Cost] = []
    strips: dict[str, dict[str, Images]] = {}
    # After each seed the results are written, so that a run that is stopped leaves some.
    for index in range(arguments.seeds):
        for concept, seeds in found.items():
            with opened(pipeline, concept, seeds[index]) as session:
                case, images = measured(session, classifier, concept)
            cases.append(case)
            if index == 0:
                strips[concept] = images
                if concept in PRICED:
                    prices += costs(pipeline, case)
            largest = [f"{slider.largest_change:.2f}" for slider in case.sliders.values()]
            print(concept, seeds[index], *largest, flush=True)
        minutes = (time.perf_counter() - start) / 60
        write(arguments.output, cases, prices, strips, minutes)


def write(
    folder: Path,
    cases: list[Case],
    prices: list[Cost],
    strips: dict[str, dict[str, Images]],
    minutes: float,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calibration.md").write_text(table(cases, prices, minutes))
    results = {
        "machine": machine(),
        "minutes": round(minutes, 1),
        "cases": [attrs.asdict(case) for case in cases],
        "modes": [attrs.asdict(one) for one in prices],
    }
    (folder / "calibration.json").write_text(json.dumps(results, indent=1) + "\n")
    sheet(strips).quantize(256).save(folder / "calibration.png", optimize=True)


if __name__ == "__main__":
    main()
