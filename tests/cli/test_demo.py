"""The demo's steps and its sheet."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from PIL import Image

from sega_session.cli.demo import BAR, FILL, GAP, TILE, TRACK, Row, demo_sheet, run_demo
from sega_session.models import PUBLISHED, Preset, Recommended
from sega_session.testing import FakeModel

BLUE = {"blue hair": Preset(scale=6, threshold=0.9, warmup=0.1)}


@pytest.mark.parametrize(("more", "third"), [({}, "add beard"), (BLUE, "add blue hair")])
def test_the_steps_cost_less_than_from_scratch(more: Mapping[str, Preset], third: str) -> None:
    settings = Recommended(
        prompt="x", seed=1, guidance_scale=5, concepts={**PUBLISHED.concepts, **more}, removals={}
    )
    done: list[tuple[int, int]] = []
    rows = [*run_demo(FakeModel(), "x", settings, lambda *counts: done.append(counts))]
    assert [row.label for row in rows] == [
        *("base", "add glasses", "add smile", third),
        *("remove glasses", "disable smile", "undo twice", "back to the base"),
    ]
    assert [row.scratch_evaluations for row in rows] == [100, 150, 200, 250, 200, 150, 250, 100]
    assert [row.evaluations for row in rows[-2:]] == [0, 0]
    assert all(row.evaluations < row.scratch_evaluations for row in rows[1:])
    approximate = [row.label for row in rows if row.quality != "exact"]
    assert approximate == ["remove glasses", "disable smile"]
    assert done[-1] == (800, 800)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_bars_are_as_long_as_the_costs() -> None:
    image = Image.new("RGB", (8, 16), "red")
    rows = [
        Row(f"step {evaluations}", image, "exact", evaluations, 0.1, scratch, 0.2)
        for evaluations, scratch in ((100, 100), (50, 200), (0, 50))
    ]
    sheet = demo_sheet(rows, columns=3)
    assert sheet.width == 3 * (TILE + GAP) + GAP
    y = GAP + TILE + 44 + BAR // 2
    for column, row in enumerate(rows):
        left = GAP + column * (TILE + GAP)
        line = [sheet.getpixel((left + x, y)) for x in range(TILE)]
        for colour, share in (
            (FILL, row.evaluations / 200),
            (TRACK, (row.scratch_evaluations - row.evaluations) / 200),
        ):
            assert abs(line.count(rgb(colour)) - share * TILE) <= 6
    # Images keep their proportions.
    tall = [sheet.getpixel((GAP + x, GAP + TILE // 2)) for x in range(TILE)]
    assert tall.count((255, 0, 0)) == TILE // 2
