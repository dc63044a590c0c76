"""Measure semantic edits on the checkpoint, and re-prompting with the same seed.

Writes RESULTS.md beside this file, and contact sheets of seeds 0 to 31 into figures/. With
``--tune`` it measures a few settings of each edit on other seeds instead, to choose those in
concepts.py.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from concepts import (
    ADDITIONS,
    ANYONE,
    OPPOSITES,
    REMOVALS,
    TRIPLES,
    Edit,
    Score,
    preserved,
    score,
    succeeded,
)
from sheets import save_sheet
from studio import (
    FIGURES,
    GUIDANCE_SCALE,
    HERE,
    STEPS,
    Studio,
    add,
    of_this_worker,
    parser,
    workers,
)

SHOWN = range(32)
TUNING_SEEDS = range(10_000, 10_096)
"""Disjoint from the seeds of the evaluation, which start at 0."""

Edits = tuple[Edit, ...]


@dataclass(frozen=True)
class Result:
    """Scores of edits and, for a single edit, of re-prompting on the same images.

    Attributes:
        both: Preservation by edit and by re-prompting, where both succeed.
    """

    edits: Edits
    guided: Score
    reprompted: Score | None = None
    both: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return " + ".join(edit.name for edit in self.edits)

    @property
    def cells(self) -> tuple[float, ...]:
        """Format the numbers of a line."""
        cells = (self.guided.success, self.guided.preservation)
        if self.reprompted is None or self.both is None:
            return cells
        return (*cells, self.reprompted.success, self.reprompted.preservation, *self.both)


def measure(studio: Studio, edits: Edits, seeds: range) -> Result:
    """Score edits and, for a single edit, re-prompting."""
    chosen, _, before = studio.base(edits, seeds)
    guided = studio.read(studio.render_prompt(ANYONE, chosen, edits))
    if len(edits) > 1:
        return Result(edits, score(edits, before, guided))
    asked = studio.read(studio.render_prompt(ANYONE + edits[0].reprompt, chosen))
    both = succeeded(edits, guided) & succeeded(edits, asked)
    ours, theirs = (preserved(edits, before, after)[both].mean() for after in (guided, asked))
    return Result(edits, score(edits, before, guided), score(edits, before, asked), (ours, theirs))


def sheet(studio: Studio, edit: Edit) -> None:
    """Make the contact sheet of seeds 0 to 31, without selection."""
    seeds = list(SHOWN)
    _, images, _ = studio.base((), SHOWN)
    after = studio.render_prompt(ANYONE, seeds, (edit,))
    rows: list[tuple[str, np.ndarray]] = []
    for first in range(0, len(seeds), 16):
        part = slice(first, first + 16)
        rows += [(f"seeds {first} to {first + 15}", images[part]), (edit.name, after[part])]
    FIGURES.mkdir(exist_ok=True)
    save_sheet(rows, FIGURES / file_name(edit))


def file_name(edit: Edit) -> str:
    """Return the name of the sheet of an edit."""
    return f"{edit.name.replace(' ', '-')}.webp"


def try_settings(studio: Studio, edit: Edit) -> Iterator[tuple[Edit, Score]]:
    """Score settings around those of an edit."""
    chosen, _, before = studio.base((edit,), TUNING_SEEDS)
    session = studio.session(ANYONE, chosen)
    add(session, edit)
    for one in settings_around(edit):
        session.update(edit.concept, scale=one.scale, threshold=one.threshold)
        yield one, score((one,), before, studio.read(studio.render(session)))


def settings_around(edit: Edit) -> list[Edit]:
    """Vary the strength of an edit and the area that it changes."""
    return [
        replace(
            edit,
            scale=round(edit.scale * strength, 1),
            threshold=round(max(0.0, 1 - (1 - edit.threshold) * area), 3),
        )
        for area in (0.5, 1, 2)
        for strength in (0.5, 0.7, 1, 1.4)
    ]


HEADER = (
    "edit | setting | n | success | preserved | re-prompt: success | preserved "
    "| both succeed: edit preserves | re-prompt"
)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def line(result: Result) -> str:
    """Format a result as a line of the table."""
    (edit, *more) = result.edits
    setting = "" if more else f"{edit.scale:g} / {edit.threshold:g} / {edit.warmup:g}"
    numbers = [f"{value:.2f}" for value in result.cells]
    return row(result.name, setting, str(result.guided.count), *numbers)


def mean(kind: str, results: list[Result]) -> str:
    """Format the mean as a line of the table."""
    values = np.mean([result.cells for result in results], axis=0)
    return row(f"**mean, {kind}**", "", "", *(f"**{value:.2f}**" for value in values))


INTRODUCTION = """# How well edits work on the embedded checkpoint

Written by `evaluate.py`: seeds 0 to {last}, {steps} DDIM steps, guidance scale {guidance:g},
a new session's momentum, networks in bfloat16. Each concept has one setting, not chosen on these
seeds: scale / threshold / warm-up as a share of the steps. The base prompt is "{anyone}".
Additions are measured against the empty prompt. Removals lead from the thing to its absence ("no
glasses" with the opposite "glasses"), and replacements from one value to another. Re-prompting
renders the same seeds with the changed prompt instead: with the thing for additions and
replacements, with its absence for removals.

- **n**: the base images that lack what is added, or show what is removed or replaced; the others
  are left out.
- **success**: share of them in which it appears, disappears, or is replaced by the other value.
- **preserved**: mean share of their other attributes that stay as they were, out of those that both
  images show. A classifier reads all attributes.
- **both succeed**: preserved on the images in which the edit and re-prompting succeed.

"""


def report(results: list[Result], seeds: range) -> str:
    introduction = INTRODUCTION.format(
        last=seeds[-1], steps=STEPS, guidance=GUIDANCE_SCALE, anyone=ANYONE
    )
    singles = [result for result in results if len(result.edits) == 1]
    kinds = {
        "add": [result for result in singles if result.edits[0] in ADDITIONS],
        "remove": [result for result in singles if result.edits[0] in REMOVALS],
        "replace": [result for result in singles if result.edits[0] in OPPOSITES],
        "three at once": [result for result in results if len(result.edits) > 1],
    }
    lines = [f"| {HEADER} |", "| --- " * (HEADER.count("|") + 1) + "|"]
    for kind, found in kinds.items():
        lines += [*map(line, found), *([mean(kind, found)] if found else [])]
    lines += ["", f"## Seeds {SHOWN[0]} to {SHOWN[-1]}", "", "All of them, whatever they show."]
    for result in singles:
        lines += ["", f"![{result.name}](figures/{file_name(result.edits[0])})"]
    return introduction + "\n".join(lines) + "\n"


def _measure(edits: Edits, seeds: range) -> Result:
    studio = of_this_worker()
    result = measure(studio, edits, seeds)
    if len(edits) == 1:
        sheet(studio, edits[0])
    print(line(result), flush=True)
    return result


def _tune(edit: Edit) -> None:
    for setting, found in try_settings(of_this_worker(), edit):
        print(
            f"{edit.name:25s} {setting.scale:5g} / {setting.threshold:.3f}  n {found.count:3d}  "
            f"success {found.success:.2f}  preserved {found.preservation:.2f}",
            flush=True,
        )


def main() -> None:
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=256, help="how many to evaluate")
    options.add_argument("--only", default="", help="measure only edits whose name contains this")
    options.add_argument("--tune", action="store_true")
    args = options.parse_args()

    begin = time.monotonic()
    by_concept = {edit.concept: edit for edit in ADDITIONS}
    singles = [edit for edit in (*ADDITIONS, *REMOVALS, *OPPOSITES) if args.only in edit.name]
    with workers(args) as pool:
        if args.tune:
            pool.map(_tune, singles, chunksize=1)
        else:
            seeds = range(args.seeds)
            tasks: list[Edits] = [(edit,) for edit in singles]
            if not args.only:
                tasks += [tuple(by_concept[name] for name in names) for names in TRIPLES]
            results = pool.starmap(_measure, [(edits, seeds) for edits in tasks], chunksize=1)
            text = report(results, seeds)
            print(text)
            if not args.only:
                (HERE / "RESULTS.md").write_text(text, "utf-8")
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
