"""Test the claims of SEGA's paper on the checkpoint, with one figure each.

- Monotonicity: success and the classifier's confidence grow with the scale.
- Robustness: one setting works with any other prompt.
- Isolation: the changes lie where the concept is, and concepts do not disturb each other (the last
  rows of RESULTS.md).
- Uniqueness: the guidance of a concept recorded on one image edits others.

Writes CLAIMS.md beside this file, and figures/.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from concepts import ADDITIONS, ANYONE, Edit, score
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from sega_widgets.png import overlay_heat_map
from sheets import save_sheet
from studio import FIGURES, HERE, STEPS, Studio, add, of_this_worker, parser, workers

SEEDS = range(20_000, 20_032)
"""Disjoint from the seeds of the evaluation and of the tuning."""

CONCEPTS = ("glasses", "beard", "smile", "hat", "blue hair")
SHOWN = 10
"""Images in a row of a figure: the first of those that lack the concept."""

STRENGTHS = (0.1, 0.25, 0.5, 1.0, 1.5)
PROMPTS = (
    ANYONE,
    "a person",
    "a portrait of a person with long hair",
    "a portrait of a person in a hoodie",
    "a portrait of a person, purple background",
    "a cartoon portrait of a person with dark skin",
)

TOP, BOTTOM, LEFT, RIGHT = 40, 80, 26, 102
"""The pixels around the eyes; all faces are at the same place."""


def monotonicity(studio: Studio, edit: Edit) -> dict[str, Any]:
    """Measure success, confidence and preservation at growing scales, and by re-prompting."""
    chosen, _, before = studio.base((edit,), SEEDS)
    rows = []
    session = studio.session(ANYONE, chosen)
    add(session, edit)
    for strength in STRENGTHS:
        scale = edit.scale * strength
        session.reweight(edit.concept, scale=scale)
        images = studio.render(session)
        found = score((edit,), before, studio.read(images))
        confidence = float(studio.confidence(images, edit).mean())
        rows.append((scale, found.success, confidence, found.preservation))
    asked = score(
        (edit,), before, studio.read(studio.render_prompt(ANYONE + edit.reprompt, chosen))
    )
    return {"rows": rows, "asked": (asked.success, asked.preservation)}


def robustness(studio: Studio, edit: Edit) -> dict[str, Any]:
    """Measure success and preservation of one setting with different prompts."""
    rows, sheet = [], []
    for prompt in PROMPTS:
        chosen, base, before = studio.base((edit,), SEEDS[:16], prompt)
        after = studio.render_prompt(prompt, chosen, (edit,))
        found = score((edit,), before, studio.read(after))
        rows.append((found.success, found.preservation))
        sheet += [(prompt, base[:SHOWN]), ("", after[:SHOWN])]
    return {"rows": rows, "sheet": sheet}


def uniqueness(studio: Studio, edit: Edit) -> dict[str, Any]:
    """Measure success and preservation with an image's own guidance, and with that of another."""
    chosen, base, before = studio.base((edit,), SEEDS)
    donor, rest = chosen[0], chosen[1:]
    session = studio.session(ANYONE, [donor])
    add(session, edit)
    guidance = [one.expand(len(rest), -1, -1, -1) for one in session.sem_guidance()]
    lending = studio.session(ANYONE, rest, sem_guidance=guidance)
    own = studio.render_prompt(ANYONE, rest, (edit,))
    lent = studio.render(lending)
    found = [score((edit,), before[1:], studio.read(images)) for images in (own, lent)]
    return {
        "row": [value for one in found for value in (one.success, one.preservation)],
        "sheet": [
            ("unedited; the first lends its guidance", base[:SHOWN]),
            ("guidance of their own", np.concatenate([np.ones_like(base[:1]), own[: SHOWN - 1]])),
            ("the first one's", np.concatenate([np.ones_like(base[:1]), lent[: SHOWN - 1]])),
        ],
    }


def isolation(studio: Studio, edit: Edit) -> dict[str, Any]:
    """Locate the guidance and the changes of the image, by edit and by re-prompting."""
    chosen, base, _ = studio.base((edit,), SEEDS)
    session = studio.session(ANYONE, chosen)
    add(session, edit)
    after = studio.render(session)
    heat = session.heat_map(session.render(), edit.concept).cpu()
    asked = studio.render_prompt(ANYONE + edit.reprompt, chosen)
    shown = [Image.fromarray((one * 255).round().astype(np.uint8)) for one in after[:4]]
    pairs = [
        image
        for base_image, one in zip(shown, heat, strict=False)
        for image in (base_image, overlay_heat_map(base_image, one, "#0072b2"))
    ]
    return {
        "pairs": [np.asarray(image) for image in pairs],
        "heat": heat.mean(dim=0).numpy(),
        "guided": np.abs(after - base).mean(axis=(0, 3)),
        "asked": np.abs(asked - base).mean(axis=(0, 3)),
    }


def share(change: np.ndarray) -> float:
    """Return the share of the change that is around the eyes."""
    return float(change[TOP:BOTTOM, LEFT:RIGHT].sum() / change.sum())


def save(figure: Figure, name: str) -> None:
    FIGURES.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(FIGURES / f"{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def plot_curves(found: dict[str, dict[str, Any]]) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), sharex=True, sharey=True)
    titles = ("success", "the classifier's confidence", "other attributes preserved")
    for column, (axis, title) in enumerate(zip(axes, titles, strict=True), start=1):
        for name, one in found.items():
            rows = np.array(one["rows"])
            axis.plot(STRENGTHS, rows[:, column], marker="o", markersize=3, label=name)
        axis.set(title=title, xlabel="share of the recommended scale", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].legend()
    save(figure, "monotonicity")


def plot_isolation(found: dict[str, Any]) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    panels = {
        "the guidance (mean heat map)": found["heat"],
        f"what the edit changes ({share(found['guided']):.0%} at the eyes)": found["guided"],
        f"what re-prompting changes ({share(found['asked']):.0%})": found["asked"],
    }
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        axis.imshow(values, cmap="magma", extent=(0, 128, 128, 0))
        axis.add_patch(Rectangle((LEFT, TOP), RIGHT - LEFT, BOTTOM - TOP, fill=False, color="w"))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    save(figure, "isolation")
    row = np.concatenate(found["pairs"], axis=1)
    Image.fromarray(row).save(FIGURES / "heat-maps.webp", quality=85)


CLAIMS: dict[str, Callable[[Studio, Edit], dict[str, Any]]] = {
    "monotonicity": monotonicity,
    "robustness": robustness,
    "isolation": isolation,
    "uniqueness": uniqueness,
}


def _run(claim: str, edit: Edit) -> dict[str, Any]:
    return CLAIMS[claim](of_this_worker(), edit)


def report(found: dict[str, dict[str, Any]]) -> str:
    area = (BOTTOM - TOP) * (RIGHT - LEFT) / 128**2
    lines = [
        "# Tests of the paper's claims",
        "",
        f"Written by `claims.py`: seeds {SEEDS[0]} to {SEEDS[-1]}, {STEPS} DDIM steps, the "
        "recommended settings, networks in bfloat16.",
        "",
        "## Monotonicity",
        "",
        "![Success, confidence and preservation over the scale](figures/monotonicity.png)",
        "",
        "| concept | "
        + " | ".join(f"{one:g} of the scale" for one in STRENGTHS)
        + " | re-prompt |",
        "| --- |" + " --- |" * (len(STRENGTHS) + 1),
    ]
    for name, one in found["monotonicity"].items():
        cells = [" / ".join(f"{value:.2f}" for value in values) for _, *values in one["rows"]]
        asked = " / ".join(f"{value:.2f}" for value in one["asked"])
        lines.append(f"| {name} | {' | '.join(cells)} | {asked} |")
    lines += [
        "",
        "Success / the classifier's confidence in it / other attributes preserved (re-prompt: "
        f"success / preserved), of those out of {len(SEEDS)} seeds that lack the concept.",
        "",
        "## Robustness",
        "",
        "| concept | " + " | ".join(PROMPTS) + " |",
        "| --- |" + " --- |" * len(PROMPTS),
    ]
    for name, one in found["robustness"].items():
        cells = [f"{success:.2f} / {kept:.2f}" for success, kept in one["rows"]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Success / preserved, 16 seeds each, out of those that lack the concept.",
        "",
        "![Glasses with each prompt](figures/robustness.webp)",
        "",
        "## Isolation",
        "",
        f"The frame, around the eyes, holds {area:.0%} of the image.",
        "",
        "![Glasses: where guidance acts, where images change](figures/isolation.png)",
        "",
        "![Four portraits and where glasses act in them](figures/heat-maps.webp)",
        "",
        "## Uniqueness",
        "",
        "Guidance recorded on the first image, added to the others:",
        "",
        "| concept | own guidance: success | preserved | another's: success | preserved |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in found["uniqueness"].items():
        lines.append(f"| {name} | {' | '.join(f'{value:.2f}' for value in one['row'])} |")
    lines += ["", "![Glasses by their own guidance and by another's](figures/uniqueness.webp)"]
    return "\n".join(lines) + "\n"


def main() -> None:
    args = parser(__doc__.splitlines()[0]).parse_args()

    begin = time.monotonic()
    edits = {edit.concept: edit for edit in ADDITIONS}
    tasks: Sequence[tuple[str, str]] = [
        *(("monotonicity", name) for name in CONCEPTS),
        *(("robustness", name) for name in CONCEPTS),
        *(("uniqueness", name) for name in CONCEPTS),
        ("isolation", "glasses"),
    ]
    with workers(args) as pool:
        parts = pool.starmap(_run, [(claim, edits[name]) for claim, name in tasks], chunksize=1)
    found: dict[str, dict[str, Any]] = {}
    for (claim, name), part in zip(tasks, parts, strict=True):
        found.setdefault(claim, {})[name] = part
    plot_curves(found["monotonicity"])
    plot_isolation(found["isolation"]["glasses"])
    for claim in ("robustness", "uniqueness"):
        save_sheet(found[claim]["glasses"]["sheet"], FIGURES / f"{claim}.webp")
    (HERE / "CLAIMS.md").write_text(report(found), "utf-8")
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
