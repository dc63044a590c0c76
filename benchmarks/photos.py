"""Measure edits of photographs: exactness, cost, success, and what repeated edits lose.

    export PYTHONPATH=tools/avatars
    python benchmarks/photos.py                   # 64 portraits
    python benchmarks/photos.py --tune sessions   # settings, on other portraits; no results

The photographs are 64 portraits that the embedded checkpoint's artist drew and the checkpoint never
saw. Their attributes are known; a classifier reads those of the edited images. Needs the extra
"train" to draw them, and ``classifier.pt`` of ``tools/avatars/train_classifier.py`` in --workdir.

Three ways to edit a photograph are compared on the same weights, with 50 steps:

- this package's sessions, `EditSession.from_photo`;
- LEDITS++, diffusers' `LEditsPPPipelineStableDiffusion`. Its argument does not count the steps that
  it skips, so it is given 44, with which its schedule has 50 steps too;
- re-prompting: a caption of the portrait as it should become is rendered anew. This needs no
  photograph, so nothing of it but the caption can survive.

An evaluation is one row of a call of the U-Net, counted where it is called. The costs of a row are
those of the edit alone: the inversion of the photograph is not in them.

Every piece of work is kept in --workdir and not repeated; remove ``photos/`` there to start anew.
Writes results/photos.md, photos.json and three contact sheets.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from attributes import HIDDEN, from_labels, sample_portrait, to_labels
from attrs import frozen
from concepts import ADDITIONS, REMOVALS, Edit, preserved, succeeded
from photo_methods import (
    SKIP,
    Arrays,
    Editor,
    Ledits,
    Portraits,
    Sessions,
    Setting,
    as_images,
    as_photos,
    autoencode,
    counted,
    edit_all,
    psnr,
    reconstruct,
    reprompt,
)
from sheets import save_sheet
from speed import machine
from studio import STEPS, Images, Studio, parser
from training import autocast

COUNT = 64
DRAWN, TUNING = 2000, 2001
"""Seeds of the portraits; those of the training data and the evaluation are others."""

SHOWN = 12
CONCEPTS = ("glasses", "beard", "smile", "hat")
EDITS = tuple(
    next(edit for edit in edits if edit.name == f"{verb} {concept}")
    for verb, edits in (("add", ADDITIONS), ("remove", REMOVALS))
    for concept in CONCEPTS
)
GLASSES = EDITS[0]

Sheets = dict[str, list[tuple[str, Images]]]


def recommended(edit: Edit) -> Setting:
    """Return the settings that `concepts.py` recommends for generated images."""
    return Setting(edit.scale, edit.threshold, round(edit.warmup * STEPS))


FACE, OBJECT = Setting(5, 0.95, 2), Setting(12, 0.9, 5)
"""Published for LEDITS++: of its categories, faces and objects."""

PUBLISHED = {edit.name: OBJECT if "hat" in edit.name else FACE for edit in EDITS}
OURS = {
    "add glasses": Setting(4, 0.95, 10),
    "add beard": Setting(1.5, 0.95, 10),
    "add smile": Setting(2, 0.9, 10),
    "add hat": Setting(3.5, 0.8, 10),
    "remove glasses": Setting(2, 0.86, 10),
    "remove beard": Setting(2, 0.93, 5),
    "remove smile": Setting(3, 0.9, 10),
    "remove hat": Setting(2, 0.9, 3),
}
LEDITS = {
    "add glasses": Setting(4, 0.9, 10),
    "add beard": Setting(1.5, 0.95, 10),
    "add smile": Setting(2, 0.9, 10),
    "add hat": Setting(5, 0.95, 2),
    "remove glasses": Setting(8, 0.86, 10),
    "remove beard": Setting(5, 0.95, 2, masked=True),
    "remove smile": Setting(3, 0.9, 2),
    "remove hat": Setting(5, 0.95, 2),
}
"""The best of `candidates`, on other portraits; `OURS` too."""


def draw(seed: int, count: int) -> Arrays:
    """Draw portraits that look as those of the training data."""
    from attributes import dicebear_options  # noqa: PLC0415 - with the extra "train" only
    from data import render  # noqa: PLC0415

    rng = np.random.default_rng([seed, 0])
    portraits = [sample_portrait(rng) for _ in range(count)]
    images = np.stack([render(dicebear_options(portrait, rng)) for portrait in portraits])
    labels = np.stack([to_labels(portrait) for portrait in portraits])
    return {"images": images, "labels": labels.astype(np.int64)}


@frozen
class Kept:
    """Results of pieces of work, in files, with the seconds of processor time that they took."""

    directory: Path

    def get(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a piece of work, and its ``seconds``."""
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        path = self.directory / f"{digest}.npz"
        if not path.exists():
            begin = time.process_time()
            arrays = compute()
            arrays["seconds"] = np.array(time.process_time() - begin)
            self.directory.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".tmp.npz")
            np.savez(part, allow_pickle=False, **arrays)
            part.replace(path)
            print(f"{arrays['seconds']:7.1f} s  {name:.80}", flush=True)
        with np.load(path) as file:
            return dict(file)


OPERATIONS = ("invert", "render unedited", "add glasses", "scale it by 1.5", "remove it again")


def costs(editor: Editor, portrait: Portraits, setting: Setting) -> Arrays:
    """Count the rows, the calls and the seconds of each of `OPERATIONS`."""
    stronger = attrs.evolve(setting, scale=1.5 * setting.scale)
    operations: tuple[Callable[[], Any], ...] = (
        lambda: editor.invert(portrait.images, portrait.seeds),
        editor.render,
        lambda: editor.render(GLASSES, setting),
        lambda: editor.render(GLASSES, stronger),
        editor.render,
    )
    found = []
    for operation in operations:
        with counted(editor.unet) as count:
            begin = time.process_time()
            operation()
            found.append((count.rows, count.calls, time.process_time() - begin))
    return {"costs": np.array(found)}


@frozen
class Result:
    """One edit by one method.

    Attributes:
        count: The portraits that the edit applies to.
        success: Share of them in which the attribute has a target value after the edit.
        preserved: Mean share of their other attributes that stayed as they were.
        psnr: The median, in dB, to what the autoencoder makes of the photograph.
        evaluations: Of an edit, per image.
        calls: The model calls of an edit, whatever the number of images.
    """

    edit: str
    method: str
    setting: str
    count: int
    success: float
    preserved: float
    psnr: float
    evaluations: float
    calls: int


def result(
    studio: Studio, portraits: Portraits, edit: Edit, method: str, setting: str, found: Any
) -> Result:
    """Score the images of an edit."""
    (images,) = found["images"]
    after = studio.read(images)
    return Result(
        edit=edit.name,
        method=method,
        setting=setting,
        count=len(portraits.seeds),
        success=float(succeeded((edit,), after).mean()),
        preserved=float(preserved((edit,), portraits.labels, after).mean()),
        psnr=float(np.median(psnr(images, autoencode(studio.pipeline, portraits.images)))),
        evaluations=float(found["costs"][0, 0]),
        calls=int(found["costs"][0, 1]),
    )


CYCLE = tuple(
    edit for concept in ("glasses", "smile") for edit in EDITS if edit.name.endswith(concept)
)
LENGTH = 20
DRIFT_COUNT = 4

Step = Callable[[Images, Edit], Images]


def repeated(unet: torch.nn.Module, first: Images, step: Step) -> Arrays:
    """Make the edits of `CYCLE` one after the other; return the images and the whole cost."""
    images = [first]
    with counted(unet) as count:
        for index in range(LENGTH):
            images.append(step(images[-1], CYCLE[index % len(CYCLE)]))
    return {
        "images": np.stack(images),
        "cost": np.array([count.rows / len(first), count.calls]),
    }


def in_one_session(editor: Sessions, portraits: Portraits) -> Arrays:
    """Edit in one session: a removal takes away what was added."""

    def step(_: Images, edit: Edit) -> Images:
        return editor.render() if edit.opposite else editor.render(edit, OURS[edit.name])

    editor.invert(portraits.images, portraits.seeds)
    return repeated(editor.unet, editor.render(), step)


def inverted_again(
    editor: Editor, pipeline: Any, portraits: Portraits, settings: dict[str, Setting]
) -> Arrays:
    """Invert the image that the edit before has made, in 8 bits, for each edit."""

    def step(before: Images, edit: Edit) -> Images:
        editor.invert(as_photos(before), portraits.seeds)
        return editor.render(edit, settings[edit.name])

    return repeated(editor.unet, autoencode(pipeline, portraits.images), step)


def only_autoencoded(pipeline: Any, portraits: Portraits) -> Arrays:
    """Encode and decode for each edit: the part of the loss that is the autoencoder's."""
    first = autoencode(pipeline, portraits.images)
    return repeated(pipeline.unet, first, lambda images, _: autoencode(pipeline, as_photos(images)))


def candidates(edit: Edit, *, ledits: bool) -> list[Setting]:
    """Return settings to try for an edit: around the recommended ones, and published ones.

    The warm-up of a session counts the skipped calls, that of LEDITS++ does not.
    """
    base = recommended(edit)
    if not ledits:
        found = [
            Setting(base.scale * scale, round(1 - area * (1 - base.threshold), 3), base.warmup)
            for scale, area in product((0.5, 1), (1, 2))
        ]
        return [*found, attrs.evolve(base, warmup=18)]
    special = [FACE, OBJECT, base]
    found = list(special)
    for scale, area, warmup in product((0.5, 1, 2), (1, 2), (2, base.warmup)):
        threshold = round(1 - area * (1 - base.threshold), 3)
        found.append(Setting(base.scale * scale, threshold, warmup))
    found += [attrs.evolve(setting, masked=True) for setting in special]
    if edit.opposite is not None:
        found += [attrs.evolve(setting, reversed=True) for setting in special]
    return list(dict.fromkeys(found))


def tune(studio: Studio, kept: Kept, checkpoint: Path, method: str, skip: float) -> None:
    """Print the scores of settings, the best last. The networks compute in bfloat16."""
    portraits = drawn(kept, TUNING, 32)
    ledits = method == "ledits"
    editor = Ledits(checkpoint, "sigma_min") if ledits else Sessions(studio.pipeline)
    for edit in EDITS:
        chosen = portraits.of(edit.applies_to(portraits.labels))
        settings = candidates(edit, ledits=ledits)
        compute = partial(edit_all, editor, chosen, edit, settings, skip)
        with autocast(torch.device("cpu")):
            found = kept.get(f"tune {method} {edit.name} {skip} {settings}", compute)
        before = autoencode(studio.pipeline, chosen.images)
        scores = []
        for setting, images in zip(settings, found["images"], strict=True):
            after = studio.read(images)
            success = succeeded((edit,), after)
            share = preserved((edit,), chosen.labels, after)
            same = np.median(psnr(images, before))
            scores.append(((success * share).mean(), same, success.mean(), share.mean(), setting))
        print(f"{method}, {edit.name}, skip {skip}: {len(chosen.seeds)} portraits")
        for both, same, success, share, setting in sorted(scores, key=lambda one: one[:2]):
            print(f"  {both:.3f}  {success:.2f} {share:.3f} {same:5.1f} dB  {setting}", flush=True)


def drawn(kept: Kept, seed: int, count: int) -> Portraits:
    """Return portraits that were drawn with a seed."""
    found = kept.get(f"draw {seed} {count}", lambda: draw(seed, count))
    seeds = [1000 * seed + index for index in range(count)]
    return Portraits(found["images"], found["labels"], seeds)


def edited(
    studio: Studio, ours: Editor, ledits: Editor, kept: Kept, portraits: Portraits
) -> Iterator[tuple[Result, Images, float]]:
    """Yield the results of all edits by all methods, their images and their seconds."""
    for edit in EDITS:
        chosen = portraits.of(edit.applies_to(portraits.labels))
        methods = {
            "sessions": (ours, OURS[edit.name]),
            "LEDITS++, published": (ledits, PUBLISHED[edit.name]),
            "LEDITS++, tuned": (ledits, LEDITS[edit.name]),
        }
        pieces: dict[tuple[str, str], Callable[[], Arrays]] = {
            (method, str(setting)): partial(edit_all, editor, chosen, edit, [setting])
            for method, (editor, setting) in methods.items()
        }
        pieces["re-prompting", ""] = partial(reprompt, studio.pipeline, chosen, edit)
        for (method, setting), compute in pieces.items():
            with autocast(torch.device("cpu")):
                found = kept.get(f"{edit.name}: {method} {setting}", compute)
            row = result(studio, chosen, edit, method, setting, found)
            yield row, found["images"][0], float(found["seconds"])


def table(header: str, rows: Iterable[Sequence[object]]) -> list[str]:
    """Format a table."""
    lines = [f"| {header} |", "| --- " * (header.count("|") + 1) + "|"]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def decibels(values: Iterable[float | None]) -> list[str]:
    """Format PSNRs."""
    return ["equal" if value is None else f"{value:.1f}" for value in values]


def finite(value: Any) -> float | None:
    """Return a PSNR as JSON can hold it: None for equal images."""
    return None if np.isinf(value) else float(value)


def reconstruction(name: str, before: Images, found: Arrays) -> dict[str, Any]:
    """Compare unedited images with what the autoencoder makes of the photographs."""
    values = psnr(found["images"], before)
    return {
        "method": name,
        "equal": int(np.isinf(values).sum()),
        "psnr": [finite(np.median(values)), finite(values.min())],
        "off": float(np.abs(found["images"] - before).max()),
        "seconds": float(found["seconds"]),
    }


def drift(studio: Studio, name: str, portraits: Portraits, found: Arrays) -> dict[str, Any]:
    """Compare the images in a sequence of edits that should be equal."""
    images = found["images"]
    pairs = {
        "2": (0, 2),
        "4": (0, 4),
        "10": (0, 10),
        "20": (0, 20),
        "5 to 1": (1, 5),
        "17 to 1": (1, 17),
    }
    last = studio.read(images[LENGTH])
    visible = (portraits.labels != HIDDEN) & (last != HIDDEN)
    return {
        "method": name,
        "psnr": {
            key: finite(np.median(psnr(images[i], images[j]))) for key, (i, j) in pairs.items()
        },
        "kept": float(((last == portraits.labels) & visible).sum() / visible.sum()),
        "evaluations": float(found["cost"][0]),
        "calls": int(found["cost"][1]),
        "seconds": float(found["seconds"]),
    }


def measure(studio: Studio, kept: Kept, checkpoint: Path) -> tuple[dict[str, Any], Sheets]:
    """Measure everything; return the numbers and the rows of the contact sheets."""
    portraits = drawn(kept, DRAWN, COUNT)
    # In batches as those of the methods: the last bits depend on the size of a batch.
    before = np.concatenate(
        [autoencode(studio.pipeline, part.images) for part in portraits.batches()]
    )
    clean = studio.read(as_images(portraits.images))
    ours, ledits = Sessions(studio.pipeline), Ledits(checkpoint, "sigma_min")
    results: dict[str, Any] = {
        "machine": machine(),
        "portraits": COUNT,
        "classifier": {
            "drawn": float((clean == portraits.labels).mean()),
            "autoencoded": float((studio.read(before) == portraits.labels).mean()),
        },
        "autoencoder_psnr": float(np.median(psnr(before, as_images(portraits.images)))),
    }

    editors: dict[str, Editor] = {
        "sessions": ours,
        "LEDITS++": Ledits(checkpoint, "zero"),
        "LEDITS++, final_sigmas_type=sigma_min": ledits,
    }
    results["reconstructions"] = [
        reconstruction(
            name, before, kept.get(f"reconstruct {name}", partial(reconstruct, editor, portraits))
        )
        for name, editor in editors.items()
    ]

    one = portraits.of(GLASSES.applies_to(portraits.labels)).first(1)
    results["costs"] = {
        name: kept.get(f"costs {name} {setting}", partial(costs, editor, one, setting))[
            "costs"
        ].tolist()
        for name, editor, setting in (
            ("sessions", ours, OURS[GLASSES.name]),
            ("LEDITS++", ledits, LEDITS[GLASSES.name]),
        )
    }

    found = list(edited(studio, ours, ledits, kept, portraits))
    results["edits"] = [{**attrs.asdict(row), "seconds": seconds} for row, _, seconds in found]
    sheets: Sheets = {"photos-add": [], "photos-remove": [], "photos-drift": []}
    for row, images, _ in found:
        name = f"photos-{row.edit.partition(' ')[0]}"
        if row.method == "sessions":
            edit = next(edit for edit in EDITS if edit.name == row.edit)
            applies = edit.applies_to(portraits.labels)
            photos = as_images(portraits.images[applies])
            sheets[name].append((f"{row.edit}: the photographs", photos[:SHOWN]))
        sheets[name].append((row.method, images[:SHOWN]))

    # "not smiling" leads to a serious mouth, whatever the mouth was.
    shown = [from_labels(labels.astype(np.int8)) for labels in portraits.labels]
    plain = [one["glasses"] == "none" and one["mouth"] == "serious" for one in shown]
    chosen = portraits.of(np.array(plain)).first(DRIFT_COUNT)
    pipeline = studio.pipeline
    sequences = {
        "one session": partial(in_one_session, ours, chosen),
        "a new session from each image": partial(inverted_again, ours, pipeline, chosen, OURS),
        "LEDITS++, each image inverted": partial(inverted_again, ledits, pipeline, chosen, LEDITS),
        "encoded and decoded only": partial(only_autoencoded, pipeline, chosen),
    }
    settings = [str(by_name[edit.name]) for edit in CYCLE for by_name in (OURS, LEDITS)]
    results["drift"] = []
    for name, compute in sequences.items():
        arrays = kept.get(f"drift {name} {chosen.seeds} {settings}", compute)
        results["drift"].append(drift(studio, name, chosen, arrays))
        for index in (0, 1, 2, 10, LENGTH):
            sheets["photos-drift"].append((f"{name}, edit {index}", arrays["images"][index]))
    pieces = [*results["reconstructions"], *results["edits"], *results["drift"]]
    results["seconds"] = sum(piece["seconds"] for piece in pieces)
    return results, sheets


def report(results: dict[str, Any]) -> str:
    """Format the numbers as Markdown."""
    lines = [
        "# Edits of photographs",
        "",
        f"Written by `benchmarks/photos.py`: {results['portraits']} portraits that the embedded "
        f"checkpoint never saw, {STEPS} steps, the first {SKIP:.0%} skipped. The "
        f"classifier reads {results['classifier']['drawn']:.1%} of the drawings' attributes as "
        f"they are, and {results['classifier']['autoencoded']:.1%} of those that the autoencoder "
        f"has encoded and decoded. That is at {results['autoencoder_psnr']:.1f} dB of the "
        "drawings, and all that an inversion can reproduce: the other PSNRs are relative to it. "
        "Evaluations are per image, and counted at the U-Net; calls are for all images of a batch. "
        f"All of it took {results['seconds'] / 60:.0f} minutes of processor time, one thread of "
        f"{results['machine']['cpu']}.",
        "",
        "## Without an edit",
        "",
        "In float32, 8 photographs at a time.",
        "",
    ]
    lines += table(
        "method | images equal to the bit | PSNR: median, dB | worst | largest difference",
        [
            (
                one["method"],
                f"{one['equal']} of {results['portraits']}",
                *decibels(one["psnr"]),
                f"{one['off']:.2g}",
            )
            for one in results["reconstructions"]
        ],
    )
    lines += [
        "",
        "## The cost of operations on one photograph",
        "",
        "Evaluations / model calls / seconds of processor time, in float32.",
        "",
    ]
    lines += table(
        " | ".join(("method", *OPERATIONS)),
        [
            (name, *(f"{rows:.0f} / {calls:.0f} / {seconds:.1f}" for rows, calls, seconds in found))
            for name, found in results["costs"].items()
        ],
    )
    lines += [
        "",
        "## Edits",
        "",
        "One edit of a photograph that was inverted before; its inversion is not in the costs. "
        "Networks in bfloat16. A setting is scale / threshold / warm-up; the warm-up of a session "
        "counts the skipped calls, that of LEDITS++ does not. Published: LEDITS++'s, for faces or "
        "objects (hats). Tuned, and for sessions: the best of those tried on 6 to 26 other "
        "portraits; for LEDITS++ the published settings and those recommended for generated images "
        "are among them. Masked: with attention maps too. Re-prompting renders a new image from a "
        "long caption of the portrait, with the concept at its end.",
        "",
        "- **n**: the portraits that lack what is added, or show what is removed.",
        "- **success**: share of them in which the classifier sees it appear or disappear.",
        "- **preserved**: mean share of their other attributes that stay, out of those that both "
        "images show.",
        "- **PSNR**: the median to the unedited photograph, the edit included.",
        "",
    ]
    numbers = ("success", "preserved", "psnr", "evaluations", "calls")
    rows: list[tuple[object, ...]] = [
        (e["edit"], e["method"], e["setting"], e["count"], *cells([e[key] for key in numbers]))
        for e in results["edits"]
    ]
    methods = list(dict.fromkeys(e["method"] for e in results["edits"]))
    for method, verb in product(methods, ("add", "remove")):
        mine = [e for e in results["edits"] if e["method"] == method and e["edit"].startswith(verb)]
        means = [float(np.mean([e[key] for e in mine])) for key in numbers]
        rows.append((f"**mean, {verb}**", method, "", "", *cells(means)))
    lines += table(
        "edit | method | setting | n | success | preserved | PSNR, dB | evaluations | calls", rows
    )
    lines += ["", *(f"![{name}]({name}.webp)" for name in ("photos-add", "photos-remove"))]
    pairs = list(results["drift"][0]["psnr"])
    lines += [
        "",
        f"## {LENGTH} edits, one after the other",
        "",
        "Glasses are added and removed, then a smile, five times: every image after an even "
        "number of edits should be the first again, and those after 5 and 17 that after 1. In one "
        "session, an edit is undone by removing it, and predictions of the same edit are recorded. "
        "Otherwise each edit begins from the image before, of 8 bits, and a removal is an edit of "
        f"its own. Median PSNR in dB of {DRIFT_COUNT} portraits with serious mouths, which the "
        "removal of a smile leads to. Kept: the attributes that are as in the photograph at the "
        "end. The costs are those of all edits. Networks in float32.",
        "",
    ]
    lines += table(
        " | ".join(("method", *pairs, "kept", "evaluations", "calls")),
        [
            (
                d["method"],
                *decibels(d["psnr"].values()),
                f"{d['kept']:.3f}",
                f"{d['evaluations']:.0f}",
                d["calls"],
            )
            for d in results["drift"]
        ],
    )
    lines += ["", "![drift](photos-drift.webp)"]
    return "\n".join(lines) + "\n"


def cells(numbers: Sequence[float]) -> list[str]:
    """Format the numbers of an edit."""
    success, share, same, evaluations, calls = numbers
    return [
        f"{success:.2f}",
        f"{share:.3f}",
        *decibels([same]),
        f"{evaluations:.0f}",
        f"{calls:.0f}",
    ]


def main() -> None:
    """Measure everything and write the results."""
    options = parser((__doc__ or "").partition("\n")[0])
    options.add_argument("--tune", choices=("sessions", "ledits"), help="try settings of a method")
    options.add_argument("--skip", type=float, default=SKIP, help="of the settings to try")
    options.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    args = options.parse_args()
    studio, kept = Studio(args), Kept(args.workdir / "photos")
    if args.tune:
        tune(studio, kept, args.checkpoint, args.tune, args.skip)
        return
    results, sheets = measure(studio, kept, args.checkpoint)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, rows in sheets.items():
        save_sheet(rows, args.output / f"{name}.webp")
    (args.output / "photos.json").write_text(json.dumps(results, indent=1) + "\n")
    (args.output / "photos.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
