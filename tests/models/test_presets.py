"""Recommendations of checkpoints are read strictly, and used by the demo."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sega_session import EditSession, load_avatars, recommended
from sega_session.cli.demo import demo_steps
from sega_session.errors import CheckpointError
from sega_session.models import (
    PRESETS_FILE,
    PUBLISHED,
    Recommended,
    read_presets,
    recommended_or_published,
)

TEXT: dict[str, Any] = {
    "format_version": 2,
    "prompt": "a cat",
    "seed": 3,
    "guidance_scale": 6,
    "concepts": {"hat": {"scale": 4, "threshold": 0.8, "warmup": 0.2}},
    "removals": {"hat": {"scale": 7, "threshold": 0.85, "warmup": 0.1}},
}


def of(folder: Path) -> Any:
    return SimpleNamespace(config=SimpleNamespace(_name_or_path=str(folder)))


def read(folder: Path, change: dict[str, Any]) -> Recommended:
    (folder / PRESETS_FILE).write_text(json.dumps(TEXT | change))
    return read_presets(folder / PRESETS_FILE)


def test_settings_are_read_and_fit_any_number_of_calls(tmp_path: Path) -> None:
    (tmp_path / PRESETS_FILE).write_text(json.dumps(TEXT))
    found = recommended(of(tmp_path))
    assert found is not None
    assert (found.prompt, found.seed, found.guidance_scale) == ("a cat", 3, 6.0)
    hat = found.concepts["hat"]
    assert hat.arguments(50) == {
        "scale": 4.0,
        "threshold": 0.8,
        "warmup": 10,
        "inverted": False,
        "opposite": None,
    }
    assert hat.arguments(8)["warmup"] == 2


def test_a_removal_has_an_opposite_or_is_inverted(tmp_path: Path) -> None:
    opposite = {"scale": 5, "threshold": 0.9, "warmup": 0.2, "opposite": "a hat"}
    found = read(tmp_path, {"removals": {"no hat": opposite, "hat": TEXT["removals"]["hat"]}})
    assert found.removals["no hat"].arguments(50) == {
        "scale": 5.0,
        "threshold": 0.9,
        "warmup": 10,
        "inverted": False,
        "opposite": "a hat",
    }
    assert found.removals["hat"].inverted


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, {"format_version": 1})
    assert found.opposites == {}
    assert found.removals["hat"].arguments(50) == {
        "scale": 7.0,
        "threshold": 0.85,
        "warmup": 5,
        "inverted": True,
        "opposite": None,
    }


def test_without_a_file_nothing_is_recommended(tmp_path: Path) -> None:
    assert recommended(of(tmp_path)) is None
    assert recommended(object()) is None
    assert recommended(None) is None
    assert recommended_or_published(None) is PUBLISHED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 3}, "this release reads versions 1 to 2"),
        ({"seed": "3"}, "seed: '3' is not an integer"),
        ({"concepts": {"hat": {"scale": 4}}}, "'threshold' is missing"),
        ({"opposites": TEXT["concepts"]}, "opposites.hat: 'opposite' is missing"),
        ({"colour": 1}, "'colour' is unknown"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / PRESETS_FILE).write_text(json.dumps(TEXT | change))
    with pytest.raises(CheckpointError, match=message) as caught:
        recommended(of(tmp_path))
    assert str(tmp_path / PRESETS_FILE) in str(caught.value)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load_avatars(device="cpu")


def test_the_demo_starts_as_the_embedded_checkpoint_recommends(pipeline: Any) -> None:
    found = recommended(pipeline)
    assert found is not None
    assert recommended_or_published(pipeline) == found
    session = EditSession(pipeline, found.prompt, guidance_scale=found.guidance_scale)
    for step in demo_steps(found.concepts)[:4]:
        step.edit(session)
    assert len(session) == 3
    for concept in session.concepts:
        preset = found.concepts[concept.name]
        used = {"scale": concept.scale, "threshold": concept.threshold, "warmup": concept.warmup}
        rest = {"inverted": False, "opposite": None}
        assert preset.arguments(session.num_calls) == {**used, **rest}


def test_pages_and_examples_use_what_is_recommended(pipeline: Any) -> None:
    found = recommended(pipeline)
    assert found is not None
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    files = [*pages, *sorted((root / "examples").glob("*.[ip]*y*"))]
    adds = re.compile(r'add\(\\?"([a-z ]+)\\?", scale=([0-9.]+), threshold=([0-9.]+)')
    directions = re.compile(
        r'add\("([a-z ]+)", opposite="([a-z ]+)", scale=([0-9.]+), threshold=([0-9.]+)\)'
    )
    measured = {**found.removals, **found.opposites}
    seen = set[str]()
    for path in files:
        for prompt, scale, threshold in adds.findall(path.read_text("utf-8")):
            preset = found.concepts.get(prompt)
            if preset and path.stem != "published_example":
                seen.add(path.name)
                assert (float(scale), float(threshold)) == (preset.scale, preset.threshold), path
    shown = directions.findall((root / "docs" / "edits.md").read_text("utf-8"))
    assert len(shown) == 2
    for prompt, opposite, scale, threshold in shown:
        preset = measured[prompt]
        assert preset.opposite == opposite
        assert (float(scale), float(threshold)) == (preset.scale, preset.threshold)
    assert {"README.md", "history.md", "first_edit.py", "01_first_edit.ipynb"} <= seen
