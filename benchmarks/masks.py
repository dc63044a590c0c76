"""Measure how well masks keep an edit out of the rest of the image, with the embedded checkpoint.

    python benchmarks/masks.py                      # 64 seeds, about 10 minutes on one core
    python benchmarks/masks.py --seeds 2 --output . # a short run
    python benchmarks/masks.py --workdir DIR        # with the columns that a classifier reads

The benchmark adds four concepts at their recommended settings, with 50 steps, to sessions whose
unedited image is recorded: without a mask, with the concept's mask, with `protect`, and with both.
Each concept has a box as its region, drawn once, by eye, for all seeds: the faces of the checkpoint
have the same place. A box covers whole latent entries, so that no entry is partly inside.

The change is the squared difference of the pixels from the unedited image. Pixels farther from the
region than the VAE's factor are also measured on their own, since the decoder looks beyond it.
``--workdir`` is a folder with the ``classifier.pt`` that tools/avatars/train_classifier.py trains;
it requires the extra "train".

The networks compute in bfloat16, which halves the time, and images are decoded in float32. Writes
masks.md and masks.json (the table) and masks.png (one seed of each concept).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from speed import machine

from sega_session import EditSession, load_avatars
from sega_session.contact_sheet import TILE, Tile, contact_sheet
from sega_session.models import AVATARS, PRESETS_FILE, read_presets

STEPS = 50
BATCH = 8
"""Images rendered together: on a CPU, larger batches do not fit its cache and are slower."""

AVATAR_TOOLS = Path(__file__).parents[1] / "tools" / "avatars"

RECOMMENDED = read_presets(AVATARS / PRESETS_FILE)

REGIONS = {
    "glasses": (3 / 16, 4 / 16, 13 / 16, 10 / 16),
    "beard": (3 / 16, 8 / 16, 13 / 16, 13 / 16),
    "smile": (5 / 16, 8 / 16, 11 / 16, 13 / 16),
    "hat": (0, 0, 1, 8 / 16),
}
"""Where each concept may act: left, top, right and bottom in fractions of the image."""

WAYS = {
    "no mask": (False, False),
    "mask": (True, False),
    "protect": (False, True),
    "mask and protect": (True, True),
}
"""Whether the concept has the mask, and whether what is outside is protected."""

Images = NDArray[np.float32]
"""``(seeds, height, width, 3)`` in [0, 1]."""

Flags = NDArray[np.bool_]


@frozen
class Spread:
    """The values of the seeds.

    Attributes:
        median: Of all seeds.
        worst_tenth: One tenth of the seeds is at least as bad: a 10th or 90th percentile.
    """

    median: float
    worst_tenth: float


@frozen
class Row:
    """One concept, kept to its region in one way.

    Attributes:
        outside: The share of the change that is outside the region.
        psnr: Of the pixels outside, against the unedited image, in dB.
        psnr_far: The same, of the pixels farther outside than the VAE's factor.
        evaluations: Of the edited image, with the unedited one recorded.
        applies_to: The number of images that lack the concept, as the classifier reads them.
        success: The share of these that show it after the edit.
        preserved: The mean share of their other attributes that stayed.
    """

    concept: str
    way: str
    outside: Spread
    psnr: Spread
    psnr_far: Spread
    evaluations: int
    applies_to: int | None = None
    success: float | None = None
    preserved: float | None = None


def inside(concept: str, height: int, width: int) -> Flags:
    """Return the pixels of a concept's region, ``(height, width)``."""
    left, top, right, bottom = REGIONS[concept]
    flags = np.zeros((height, width), dtype=bool)
    flags[
        round(top * height) : round(bottom * height), round(left * width) : round(right * width)
    ] = True
    return flags


def near(region: Flags, distance: int) -> Flags:
    """Return the pixels of a region and those up to a distance from it."""
    pixels = torch.from_numpy(region)[None, None].float()
    found = torch.nn.functional.max_pool2d(pixels, 2 * distance + 1, 1, distance)
    return np.asarray(found[0, 0] > 0)


def render(session: EditSession) -> tuple[Images, int]:
    """Return the images of a session, and the evaluations of each."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        evaluations = session.render(output_type="latent").evaluations
    # The latents are recorded now, so this only decodes.
    images = np.asarray(session.render(output_type="np").images, dtype=np.float32)
    return images, evaluations // len(images)


Rendered = dict[tuple[str, str], tuple[Images, int]]
"""The edited images and the evaluations of each, by concept and way."""


def render_all(pipeline: Any, seeds: Sequence[int]) -> tuple[Images, Rendered]:
    """Return the unedited images of a batch, and the edited ones."""
    session = EditSession(
        pipeline,
        RECOMMENDED.prompt,
        seed=seeds,
        num_inference_steps=STEPS,
        guidance_scale=RECOMMENDED.guidance_scale,
    )
    base, _ = render(session)
    rendered: Rendered = {}
    for concept in REGIONS:
        region = inside(concept, *base.shape[1:3])
        for way, (masked, protected) in WAYS.items():
            edited = session.copy()
            settings = RECOMMENDED.concepts[concept].arguments(STEPS)
            edited.add(concept, mask=region if masked else None, **settings)
            if protected:
                edited.protect(region)
            rendered[concept, way] = render(edited)
    return base, rendered


def psnr(change: NDArray[np.float32], where: Flags) -> NDArray[np.float64]:
    """Return the PSNR of some pixels, ``(seeds,)`` in dB, from squared changes."""
    return np.asarray(-10 * np.log10(change[:, where].mean(axis=1, dtype=np.float64)))


def squared_change(images: Images, base: Images) -> NDArray[np.float32]:
    """Return the mean squared change of the colours, ``(seeds, height, width)``."""
    return np.asarray(np.square(images - base).mean(axis=3))


def measured(base: Images, rendered: Rendered, factor: int) -> Iterator[Row]:
    """Yield a row for each concept and way, without what a classifier reads."""
    for (concept, way), (images, evaluations) in rendered.items():
        region = inside(concept, *base.shape[1:3])
        change = squared_change(images, base)
        share = change[:, ~region].sum(axis=1) / change.sum(axis=(1, 2))
        beyond, far = psnr(change, ~region), psnr(change, ~near(region, factor))
        yield Row(
            concept=concept,
            way=way,
            outside=Spread(float(np.median(share)), float(np.percentile(share, 90))),
            psnr=Spread(float(np.median(beyond)), float(np.percentile(beyond, 10))),
            psnr_far=Spread(float(np.median(far)), float(np.percentile(far, 10))),
            evaluations=evaluations,
        )


def classified(rows: list[Row], base: Images, rendered: Rendered, workdir: Path) -> list[Row]:
    """Return the rows with what the classifier in a folder reads."""
    sys.path.append(str(AVATAR_TOOLS))
    from concepts import ADDITIONS, score  # noqa: PLC0415 - of the training scripts, if asked for
    from train_classifier import load_classifier  # noqa: PLC0415

    classifier = load_classifier(workdir / "classifier.pt")

    def read(images: Images) -> NDArray[np.int64]:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() * 2 - 1
        return np.asarray(classifier.predict(pixels))

    before = read(base)
    edits = {edit.concept: edit for edit in ADDITIONS}
    found = []
    for row in rows:
        edit = edits[row.concept]
        applies = edit.applies_to(before)
        if not applies.any():
            found.append(attrs.evolve(row, applies_to=0))
            continue
        result = score([edit], before[applies], read(rendered[row.concept, row.way][0][applies]))
        found.append(
            attrs.evolve(
                row,
                applies_to=result.count,
                success=result.success,
                preserved=result.preservation,
            )
        )
    return found


def table(rows: list[Row], seeds: int, minutes: float) -> str:
    """Format the results in Markdown."""
    made_on = machine()
    versions = ", ".join(f"{name} {number}" for name, number in made_on["versions"].items())
    lines = [
        "# Edits that are kept to a region",
        "",
        f"Written by `benchmarks/masks.py` on {made_on['date']}: seeds 0 to {seeds - 1}, {STEPS} "
        f"steps, guidance scale {RECOMMENDED.guidance_scale:g}; {minutes:.1f} minutes with "
        f"{made_on['threads']} thread of {made_on['cpu']}; Python {made_on['python']}, {versions}.",
        "",
        "Each concept has its recommended settings. *mask* confines the concept, `protect` keeps "
        "the latents outside as they are in the unedited image, both with the same box. *Change "
        "outside* is the share of the squared change of the pixels that is outside the box: median "
        "/ 90th percentile over the seeds. PSNR is in dB against the unedited image: median / 10th "
        "percentile, of all pixels outside, and of those more than 8 pixels outside, which is the "
        "VAE's factor. Where the latents are protected, what is left of the change is the "
        "decoder's. Evaluations are those of one edited image, with the unedited one recorded.",
        "",
    ]
    columns = ["concept", "kept to the box by", "change outside", "PSNR outside", "PSNR > 8 pixels"]
    columns += ["evaluations"]
    with_classifier = rows[0].applies_to is not None
    if with_classifier:
        lines += [
            "*Success* is the share of the images without the concept that show it after the edit, "
            "and *preserved* the mean share of their other attributes that stayed, as a classifier "
            "reads both (tools/avatars/train_classifier.py).",
            "",
        ]
        columns += ["success", "preserved"]
    lines += [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for row in rows:
        cells = [
            row.concept,
            row.way,
            f"{row.outside.median:.1%} / {row.outside.worst_tenth:.1%}",
            f"{row.psnr.median:.1f} / {row.psnr.worst_tenth:.1f}",
            f"{row.psnr_far.median:.1f} / {row.psnr_far.worst_tenth:.1f}",
            f"{row.evaluations}",
        ]
        if row.success is not None and row.preserved is not None:
            cells += [f"{row.success:.0%} of {row.applies_to}", f"{row.preserved:.0%}"]
        elif with_classifier:
            cells += ["of 0", "-"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "The boxes, as left, top, right and bottom in fractions of the image:", ""]
    lines += ["| concept | box | share of the image |", "| --- | --- | --- |"]
    for concept, (left, top, right, bottom) in REGIONS.items():
        share = (right - left) * (bottom - top)
        lines.append(f"| {concept} | {left:g}, {top:g}, {right:g}, {bottom:g} | {share:.0%} |")
    return "\n".join(lines) + "\n"


def outlined(pixels: Images, concept: str) -> Image.Image:
    """Return an image at a tile's size, with the region of a concept drawn on it."""
    image = Image.fromarray((255 * pixels).round().astype(np.uint8)).resize((TILE, TILE))
    left, top, right, bottom = (round(TILE * edge) for edge in REGIONS[concept])
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, right - 1, bottom - 1), outline="black", width=3)
    draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline="white")
    return image


def sheet(base: Images, rendered: Rendered) -> Image.Image:
    """Draw a seed of each concept that changes much without a mask.

    It is the seed at the 10th percentile of the PSNR outside the region.
    """
    tiles = []
    for concept in REGIONS:
        region = inside(concept, *base.shape[1:3])
        outside = {
            way: psnr(squared_change(rendered[concept, way][0], base), ~region) for way in WAYS
        }
        seed = int(np.argsort(outside["no mask"])[len(base) // 10])
        tiles.append(Tile(outlined(base[seed], concept), f"seed {seed}", "unedited, and the box"))
        for way in ("no mask", "mask", "protect"):
            pixels = (255 * rendered[concept, way][0][seed]).round().astype(np.uint8)
            note = f"outside the box {outside[way][seed]:.0f} dB"
            tiles.append(Tile(Image.fromarray(pixels), f"{concept}, {way}", note))
    return contact_sheet(tiles, columns=4)


def main() -> None:
    """Measure the masks and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--workdir", type=Path, help="the folder of classifier.pt")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    start = time.perf_counter()
    torch.set_num_threads(1)
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    batches = []
    for first in range(0, arguments.seeds, BATCH):
        seeds = range(first, min(first + BATCH, arguments.seeds))
        batches.append(render_all(pipeline, seeds))
        print(f"{seeds.stop} seeds", flush=True)
    base = np.concatenate([unedited for unedited, _ in batches])
    rendered: Rendered = {
        name: (np.concatenate([found[name][0] for _, found in batches]), evaluations)
        for name, (_, evaluations) in batches[0][1].items()
    }
    rows = list(measured(base, rendered, pipeline.vae_scale_factor))
    if arguments.workdir is not None:
        rows = classified(rows, base, rendered, arguments.workdir)
    minutes = (time.perf_counter() - start) / 60

    arguments.output.mkdir(parents=True, exist_ok=True)
    written = table(rows, arguments.seeds, minutes)
    (arguments.output / "masks.md").write_text(written)
    results = {
        "machine": machine(),
        "seeds": arguments.seeds,
        "minutes": round(minutes, 1),
        "regions": REGIONS,
        "rows": [attrs.asdict(row) for row in rows],
    }
    (arguments.output / "masks.json").write_text(json.dumps(results, indent=1) + "\n")
    sheet(base, rendered).save(arguments.output / "masks.png", optimize=True)
    print(written)


if __name__ == "__main__":
    main()
