"""Recommendations of checkpoints are read strictly, and used by the demo and the panel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sega_widgets import ConceptList

from sega_session import EditSession, load_avatars, recommended
from sega_session.cli.demo import demo_edits
from sega_session.errors import CheckpointError
from sega_session.models import PRESETS_FILE, PUBLISHED, recommended_or_published

TEXT: dict[str, Any] = {
    "format_version": 1,
    "prompt": "a cat",
    "seed": 3,
    "guidance_scale": 6,
    "concepts": {"hat": {"scale": 4, "threshold": 0.8, "warmup": 0.2}},
    "removals": {"hat": {"scale": 7, "threshold": 0.85, "warmup": 0.1}},
}


def of(folder: Path) -> Any:
    return SimpleNamespace(config=SimpleNamespace(_name_or_path=str(folder)))


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
    }
    assert hat.arguments(8)["warmup"] == 2
    removal = found.removals["hat"].arguments(50)
    assert removal == {"scale": 7.0, "threshold": 0.85, "warmup": 5, "inverted": True}


def test_without_a_file_nothing_is_recommended(tmp_path: Path) -> None:
    assert recommended(of(tmp_path)) is None
    assert recommended(object()) is None
    assert recommended(None) is None
    assert recommended_or_published(None) is PUBLISHED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "this release reads version 1"),
        ({"seed": "3"}, "seed: '3' is not an integer"),
        ({"concepts": {"hat": {"scale": 4}}}, "'threshold' is missing"),
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
    for _, edit in demo_edits(found.concepts)[:4]:
        edit(session)
    for concept in session.concepts:
        preset = found.concepts[concept.name]
        used = {"scale": concept.scale, "threshold": concept.threshold, "warmup": concept.warmup}
        assert preset.arguments(session.num_calls) == {**used, "inverted": False}


def test_the_panel_offers_what_is_recommended(pipeline: Any) -> None:
    session = EditSession(pipeline, "a portrait of a person", num_inference_steps=20)
    concepts, found = ConceptList(session, lambda moving: None), recommended(pipeline)
    assert found is not None
    removals = tuple(f"remove {prompt}" for prompt in found.removals)
    assert concepts.text.options == (*found.concepts, *removals)
    concepts.text.value = "hat"
    concepts.text.value = "a dragon"
    concepts.text.value = "remove glasses"
    hat, dragon, glasses = session.concepts
    preset = found.concepts["hat"]
    assert (hat.scale, hat.threshold, hat.warmup) == (preset.scale, preset.threshold, 4)
    assert (dragon.scale, dragon.threshold, dragon.warmup) == (5, 0.9, 4)
    removal = found.removals["glasses"]
    assert (glasses.name, glasses.inverted) == ("glasses", True)
    assert (glasses.scale, glasses.threshold) == (removal.scale, removal.threshold)


def test_readme_and_examples_use_what_is_recommended(pipeline: Any) -> None:
    found = recommended(pipeline)
    assert found is not None
    root = Path(__file__).parents[2]
    files = [root / "README.md", *sorted((root / "examples").glob("*.[ip]*y*"))]
    adds = re.compile(r'add\(\\?"([a-z ]+)\\?", scale=([0-9.]+), threshold=([0-9.]+)')
    seen = set[str]()
    for path in files:
        for prompt, scale, threshold in adds.findall(path.read_text("utf-8")):
            preset = found.concepts.get(prompt)
            if preset and path.stem != "published_example":
                seen.add(path.name)
                assert (float(scale), float(threshold)) == (preset.scale, preset.threshold), path
    assert {"README.md", "first_edit.py", "01_first_edit.ipynb"} <= seen
