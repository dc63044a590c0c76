"""Options in words are read as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sega_session import grids
from sega_session.cli.options import (
    CONCEPT_FIELDS,
    MAX_VALUES,
    SCENE_FIELDS,
    STATE_FIELDS,
    parse_addition,
    parse_axis,
    parse_setting,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "name", "opposite", "scale"),
    [
        ("glasses", "glasses", None, None),
        ("a red hat:4", "a red hat", None, 4),
        ("smile:-2.5", "smile", None, -2.5),
        ("3:16:2", "3:16", None, 2),
        ("old instead of young", "old", "young", None),
        ("no glasses instead of glasses:1e1", "no glasses", "glasses", 10),
    ],
)
def test_additions(text: str, name: str, opposite: str | None, scale: float | None) -> None:
    found = parse_addition(text)
    assert (found.name, found.opposite, found.scale) == (name, opposite, scale)


@pytest.mark.parametrize("text", ["", " ", ":3", "a:", "a:b", "a instead of :3", " instead of b"])
def test_wrong_additions(text: str) -> None:
    with pytest.raises(ValueError, match=r"; allowed: (NAME|a number)"):
        parse_addition(text)


@pytest.mark.parametrize(
    ("text", "concept", "field", "value"),
    [
        ("glasses.scale=4", "glasses", "scale", 4.0),
        ("Mr. T's hat.warmup=3", "Mr. T's hat", "warmup", 3),
        ("hat.prompt=a.scale=3, or so", "hat", "prompt", "a.scale=3, or so"),
        ("hat.cooldown=none", "hat", "cooldown", None),
        ("hat.opposite=none", "hat", "opposite", None),
        ("hat.opposite=no hat", "hat", "opposite", "no hat"),
        ("hat.name=none", "hat", "name", "none"),
        ("hat.inverted=true", "hat", "inverted", True),
        ("hat.enabled=No", "hat", "enabled", False),
        ("hat.mask=a/b.png", "hat", "mask", Path("a/b.png")),
        ("hat.mask=none", "hat", "mask", None),
        ("momentum_scale=0", None, "momentum_scale", 0.0),
        ("momentum-beta=.5", None, "momentum_beta", 0.5),
    ],
)
def test_settings(text: str, concept: str | None, field: str, value: Any) -> None:
    found = parse_setting(text)
    assert (found.concept, found.field, found.value) == (concept, field, value)
    assert type(found.value) is type(value)


def test_every_field_of_a_concept_has_values_in_words() -> None:
    texts = {"mask": "a.png", "inverted": "yes", "enabled": "yes"}
    for field in CONCEPT_FIELDS:
        assert parse_setting(f"a.{field}={texts.get(field, '3')}").value is not None


def test_a_grid_varies_what_it_can_in_python() -> None:
    assert {*SCENE_FIELDS} == {*grids.SCENE_FIELDS, "mode"}
    assert {*STATE_FIELDS} == {*grids.MOMENTUM_FIELDS}


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("glasses.scale=0,3.5, 6", "glasses.scale", (0.0, 3.5, 6.0)),
        ("seed=0..3", "seed", (0, 1, 2, 3)),
        ("seed=7,1..2", "seed", (7, 1, 2)),
        ("hat.warmup=5..6", "hat.warmup", (5, 6)),
        ("hat.cooldown=none,4", "hat.cooldown", (None, 4)),
        ("prompt=a cat, asleep|a dog", "prompt", ("a cat, asleep", "a dog")),
        ("hat.opposite=none|cap", "hat.opposite", (None, "cap")),
        ("mode=preview,exact", "mode", ("preview", "exact")),
        ("steps=10,20", "num_inference_steps", (10, 20)),
        ("guidance-scale=1,7.5", "guidance_scale", (1.0, 7.5)),
        ("momentum_scale=0,0.5", "momentum_scale", (0.0, 0.5)),
        (f"seed=1..{MAX_VALUES}", "seed", tuple(range(1, MAX_VALUES + 1))),
    ],
)
def test_axes(text: str, field: str, values: tuple[object, ...]) -> None:
    found = parse_axis(text)
    assert (found.field, found.values) == (field, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=", r"^seed is ''; allowed: an integer\.$"),
        ("seed=3..1", r"^the range is '3\.\.1'; allowed: from a number to a higher one, at most"),
        (f"seed=0..{10**30}", r"^the range is '0\.\.10*'; allowed: from a number"),
        (
            "mode=exact,best",
            r"^mode is 'best'; allowed: one of exact, anchored, replay, preview\.$",
        ),
        ("seeds=1,2", r"^the field is 'seeds'; allowed: one of .* Did you mean 'seed'\?$"),
        ("scale=1,2", r"Give the concept, too, as in glasses\.scale\.$"),
        ("glasses.scale=0..3", r"^scale is '0\.\.3'; allowed: a number\.$"),
        ("photograph=a", r"^the field is 'photograph'; allowed: one of "),
    ],
)
def test_wrong_axes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_axis(text)


def test_sizes() -> None:
    assert parse_size("512") == (512, 512)
    assert parse_size("512x768") == (768, 512)
    for text in ("", "x", "512x", "-1", "5.5", "512 x 512", "1x2x3", "9" * 30):
        with pytest.raises(ValueError, match=r"; allowed: SIDE or WIDTHxHEIGHT, in pixels\.$"):
            parse_size(text)
