"""Scripts are read as they were written; errors name the operation and the reason."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sega_session.errors import InvalidValueError, ScriptError
from sega_session.files import Unset
from sega_session.scripts import Limits, Script, ScriptScene
from sega_session.scripts.operations import (
    Add,
    Branch,
    Checkout,
    Disable,
    Edit,
    Enable,
    Expect,
    Fields,
    Invert,
    Momentum,
    Operation,
    Redo,
    Remove,
    Render,
    Reweight,
    Save,
    Transaction,
    Undo,
    Update,
)
from sega_session.scripts.schema import script_schema
from sega_session.state import MODES, Anchored, Concept, anchored
from tests.files.test_strict_json import NAMES, POSITIVE, SHARES, TEXTS

EVERY_KEY: dict[str, Any] = {
    "$schema": "script.schema.json",
    "format_version": 3,
    "scene": {
        "prompt": "a portrait of a woman",
        "negative_prompt": "",
        "seeds": [7],
        "num_inference_steps": 50,
        "guidance_scale": 7.5,
        "height": None,
        "width": None,
        "eta": 0.0,
        "photograph": {"files": ["me/a.jpg"], "digest": None, "fit": "pad", "skip": 0.2},
    },
    "operations": [
        {
            "op": "add",
            "prompt": "glasses",
            "name": None,
            "scale": 5,
            "threshold": 0.9,
            "warmup": 10,
            "cooldown": None,
            "weight": 1,
            "inverted": False,
            "opposite": None,
            "mask": None,
        },
        {"op": "remove", "name": "glasses"},
        {"op": "reweight", "name": "glasses", "scale": 3, "weight": None},
        {"op": "invert", "name": "glasses"},
        {
            "op": "update",
            "name": "glasses",
            "fields": {
                "name": "specs",
                "prompt": "round glasses",
                "scale": 5,
                "threshold": 0.5,
                "warmup": 3,
                "cooldown": None,
                "weight": 2,
                "inverted": True,
                "opposite": "no glasses",
                "mask": "masks/left.png",
                "enabled": False,
            },
        },
        {"op": "enable", "name": "glasses"},
        {"op": "disable", "name": "glasses"},
        {"op": "momentum", "scale": 0.3, "beta": 0.5},
        {"op": "protect", "mask": "data:image/png;base64,AA=="},
        {"op": "transaction", "label": "age her", "operations": [{"op": "invert", "name": "a"}]},
        {"op": "undo"},
        {"op": "redo"},
        {"op": "checkout", "target": 3},
        {"op": "checkout", "target": "main"},
        {"op": "branch", "name": "main"},
        {"op": "render", "output": "steps/smile.png", "mode": "preview"},
        {"op": "render", "output": None, "mode": {"every": 3}, "keep_outside": True},
        {"op": "render", "mode": {"tolerance": 0.1}},
        {"op": "expect", "at_most": 117},
        {"op": "save", "output": "portrait.safetensors", "include": "base"},
    ],
}


def document(*steps: Any, **scene: Any) -> str:
    """Return the JSON of a script with these operations."""
    plain = {"format_version": 3, "scene": {"prompt": "a", **scene}, "operations": steps}
    return json.dumps(plain)


UNSET = st.just(Unset.UNSET)
EDITS = st.one_of(
    st.builds(
        Add,
        prompt=NAMES,
        name=st.none() | NAMES,
        scale=POSITIVE,
        threshold=SHARES,
        warmup=st.integers(0, 50),
        cooldown=st.none() | st.integers(50, 99),
        weight=POSITIVE,
        inverted=st.booleans(),
    ),
    st.builds(Remove, name=NAMES),
    st.builds(Reweight, name=NAMES, scale=st.none() | POSITIVE, weight=st.none() | POSITIVE),
    st.builds(Invert, name=NAMES),
    st.builds(
        Update,
        name=NAMES,
        fields=st.builds(
            Fields,
            name=UNSET | NAMES,
            prompt=UNSET | NAMES,
            scale=UNSET | POSITIVE,
            threshold=UNSET | SHARES,
            warmup=UNSET | st.integers(0, 50),
            cooldown=UNSET | st.none() | st.integers(50, 99),
            weight=UNSET | POSITIVE,
            inverted=UNSET | st.booleans(),
            enabled=UNSET | st.booleans(),
        ),
    ),
    st.builds(Enable, name=NAMES),
    st.builds(Disable, name=NAMES),
    st.builds(Momentum, scale=st.none() | SHARES, beta=st.none() | SHARES),
)
LINES = NAMES.filter(str.isprintable)
ANCHORED = st.builds(Anchored, every=st.integers(1, 9)) | st.builds(
    Anchored, tolerance=st.floats(0, 9, exclude_min=True)
)
OPERATIONS = st.one_of(
    EDITS,
    st.builds(Transaction, label=LINES, operations=st.lists(EDITS, max_size=3).map(tuple)),
    st.builds(Undo),
    st.builds(Redo),
    st.builds(Checkout, target=st.integers(0, 99) | LINES),
    st.builds(Branch, name=LINES),
    st.builds(Render, output=st.sampled_from([None, "a.png"]), mode=st.sampled_from([*MODES])),
    st.builds(Render, mode=ANCHORED),
    st.builds(Save, output=st.just("é/a.safetensors"), include=st.sampled_from(["state", "all"])),
)
SCRIPTS = st.builds(
    Script,
    scene=st.builds(
        ScriptScene,
        prompt=TEXTS,
        negative_prompt=TEXTS,
        seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3),
        num_inference_steps=st.integers(1, 99),
        guidance_scale=POSITIVE,
        height=st.none() | st.integers(1, 999),
        width=st.none() | st.integers(1, 999),
        eta=SHARES,
    ),
    operations=st.lists(OPERATIONS, max_size=6).map(
        lambda found: (*found, Render(), Expect(at_most=len(found)))
    ),
)
VALIDATOR = Draft202012Validator(script_schema())


@settings(deadline=None)
@given(SCRIPTS)
def test_scripts_round_trip(one: Script) -> None:
    text = one.dump()
    assert Script.parse(text) == one
    assert Script.parse(text.encode()) == one
    assert VALIDATOR.is_valid(json.loads(text))


def test_every_key() -> None:
    one = Script.parse(json.dumps(EVERY_KEY))
    assert {type(step) for step in one.operations} == {*get_args(Operation)}
    assert one.operations[0] == Add(prompt="glasses", warmup=10)
    assert one.operations[-3:] == (
        Render(mode=anchored(tolerance=0.1)),
        Expect(at_most=117),
        Save(output="portrait.safetensors", include="base"),
    )
    assert Script.parse(one.dump()) == one
    assert hash(one) == hash(Script.parse(one.dump()))


def test_a_script_of_version_1_starts_its_concepts_at_10() -> None:
    adds = '{"op": "add", "prompt": "a"}, {"op": "add", "prompt": "b", "warmup": 3}'
    text = (
        '{"format_version": 1, "scene": {"prompt": "x"}, "operations": ['
        f'{adds}, {{"op": "transaction", "label": "two", "operations": [{adds}]}}]}}'
    )
    a, b = Add(prompt="a", warmup=10), Add(prompt="b", warmup=3)
    one = Script.parse(text)
    assert one.operations == (a, b, Transaction(label="two", operations=(a, b)))
    assert Script.parse(one.dump()) == one
    # In the present version, the start is a share of the calls.
    assert Script.parse(text.replace("1", "2", 1)).operations[0] == Add(prompt="a", warmup=None)


def test_defaults_are_left_out() -> None:
    one = Script(
        ScriptScene(prompt="a woman", seeds=[3]),  # type: ignore[arg-type]
        (
            Add(prompt="glasses", scale=7),
            Update(name="glasses", fields=Fields(scale=5, cooldown=None)),
            Render(output="a.png", mode=anchored(every=5)),
        ),
    )
    assert one.dump() == (
        """\
{
  "format_version": 3,
  "scene": {
    "prompt": "a woman",
    "seeds": [
      3
    ]
  },
  "operations": [
    {
      "op": "add",
      "prompt": "glasses",
      "scale": 7.0
    },
    {
      "op": "update",
      "name": "glasses",
      "fields": {
        "scale": 5.0,
        "cooldown": null
      }
    },
    {
      "op": "render",
      "output": "a.png",
      "mode": {
        "every": 5
      }
    }
  ]
}
"""
    )


def test_fields_are_what_update_takes() -> None:
    assert Fields(scale=5, cooldown=None).given() == {"scale": 5.0, "cooldown": None}
    known = [field.name for field in attrs.fields(Concept) if field.name != "embedding"]
    assert [field.name for field in attrs.fields(Fields)] == known


def test_tags_are_the_names_of_the_classes() -> None:
    kinds = get_args(Operation)
    assert [kind.op for kind in kinds] == [kind.__name__.lower() for kind in kinds]


def test_files(tmp_path: Path) -> None:
    one = Script.parse(document({"op": "add", "prompt": "猫"}))
    path = tmp_path / "script.json"
    one.save(path)
    assert Script.load(path) == Script.load(str(path)) == one
    assert "猫".encode() in path.read_bytes()
    with pytest.raises(ScriptError, match=r"nothing\.json' cannot be read: No such file"):
        Script.load(tmp_path / "nothing.json")
    with pytest.raises(ScriptError, match="cannot be read: Is a directory"):
        Script.load(tmp_path)
    with pytest.raises(ScriptError, match=r"cannot be read: .*null"):
        Script.load(tmp_path / "a\0b")
    with pytest.raises(ScriptError, match="cannot be written: Is a directory"):
        one.save(tmp_path)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"op": "sing"}, "op: 'sing' is not one of 'add', 'remove', 'reweight', 'invert', 'enable"),
        ({"name": "a"}, "'op' is missing; allowed: 'add', 'remove', 'reweight', 'invert', 'enable"),
        ("undo", "'undo' is not an object."),
        ({"op": "undo", "steps": 2}, "'steps' is unknown; allowed: "),
        ({"op": "add"}, "'prompt' is missing."),
        ({"op": "add", "prompt": " "}, "prompt is ' '; allowed: text, not empty."),
        ({"op": "add", "prompt": "a", "name": ""}, "name is ''; allowed: text, not empty."),
        ({"op": "add", "prompt": "a", "scale": "5"}, "scale: '5' is not a number."),
        ({"op": "add", "prompt": "a", "scale": -1}, "scale is -1.0; allowed: a finite number, at "),
        ({"op": "add", "prompt": "a", "threshold": 1}, "threshold is 1.0; allowed: a finite numb"),
        (
            {"op": "add", "prompt": "a", "warmup": 10, "cooldown": 5},
            "cooldown is 5; allowed: None, or at least",
        ),
        ({"op": "add", "prompt": "a", "embedding": "x"}, "'embedding' is unknown; allowed: promp"),
        ({"op": "remove", "name": 3}, "name: 3 is not text."),
        ({"op": "reweight", "name": "a", "weight": -1}, "weight is -1.0; allowed: a finite number"),
        ({"op": "update", "name": "a"}, "'fields' is missing."),
        ({"op": "update", "name": "a", "fields": []}, "fields: [] is not an object."),
        ({"op": "update", "name": "a", "fields": {"x": 1}}, "fields: 'x' is unknown; allowed: na"),
        ({"op": "update", "name": "a", "fields": {"embedding": "x"}}, "fields: 'embedding' is unk"),
        ({"op": "update", "name": "a", "fields": {"scale": None}}, "fields.scale: None is not a n"),
        ({"op": "update", "name": "a", "fields": {"prompt": ""}}, "fields: prompt is ''; allowed:"),
        (
            {"op": "update", "name": "a", "fields": {"warmup": 9, "cooldown": 8}},
            "fields: cooldown is 8; allowed: None, or at least warmup (9).",
        ),
        ({"op": "momentum", "scale": 2}, "scale is 2.0; allowed: a finite number, at least 0, at"),
        ({"op": "momentum", "beta": 1}, "beta is 1.0; allowed: a finite number, at least 0, less"),
        ({"op": "transaction", "operations": []}, "'label' is missing."),
        (
            {"op": "transaction", "label": "a\nb", "operations": []},
            r"label is 'a\nb'; allowed: tex",
        ),
        ({"op": "transaction", "label": "a", "operations": {}}, "operations: {} is not a list."),
        ({"op": "checkout", "target": True}, "target: True is not an integer or text."),
        ({"op": "checkout", "target": -1}, "target is -1; allowed: an integer, at least 0."),
        ({"op": "checkout", "target": 1.0}, "target: 1.0 is not an integer or text."),
        ({"op": "branch", "name": "a\tb"}, r"name is 'a\tb'; allowed: text in one line, not empt"),
        ({"op": "render", "mode": "fast"}, "mode: 'fast' is not one of 'exact', 'anchored', 'rep"),
        ({"op": "render", "mode": {}}, "mode: anchored(every=, tolerance=) is (None, None); all"),
        ({"op": "render", "mode": {"every": 0}}, "mode: every is 0; allowed: an integer, at least"),
        ({"op": "render", "mode": {"every": 2, "tolerance": 1}}, "mode: anchored(every=, toleranc"),
        ({"op": "render", "mode": {"tolerance": "0.1"}}, "mode.tolerance: '0.1' is not a number o"),
        ({"op": "render", "output": 3}, "output: 3 is not text or null."),
        ({"op": "save", "output": None}, "output: None is not text."),
        ({"op": "save", "output": "a.safetensors", "include": "some"}, "include: 'some' is not on"),
        ({"op": "expect", "at_most": 1.5}, "at_most: 1.5 is not an integer."),
        ({"op": "expect", "at_most": -1}, "at_most is -1; allowed: an integer, at least 0."),
    ],
)
def test_a_wrong_operation(step: Any, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        Script.parse(document({"op": "render"}, step))
    assert str(caught.value).startswith(f"operation 1: {message}")
    assert caught.value.index == 1
    if isinstance(step, dict) and step.get("op") in ("add", "invert", "momentum"):
        group = {"op": "transaction", "label": "a", "operations": [{"op": "momentum"}, step]}
        with pytest.raises(ScriptError) as caught:
            Script.parse(document(group))
        assert str(caught.value).startswith(f"operation 0: member 1: {message}")
        assert caught.value.index == 0


@pytest.mark.parametrize("op", ["transaction", "undo", "render", "expect"])
def test_a_transaction_has_edits_only(op: str) -> None:
    group = {"op": "transaction", "label": "a", "operations": [{"op": op}]}
    with pytest.raises(ScriptError, match=f"operation 0: member 0: op: '{op}' is not one of 'add'"):
        Script.parse(document(group))
    with pytest.raises(TypeError):
        Transaction(label="a", operations=(Undo(),))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Script(ScriptScene(prompt="a"), ("undo",))  # type: ignore[arg-type]
    assert {*get_args(Edit)} < {*get_args(Operation)}


def test_expect_needs_a_render() -> None:
    render, expect = {"op": "render"}, {"op": "expect", "at_most": 3}
    Script.parse(document(render, {"op": "undo"}, expect, expect))
    with pytest.raises(ScriptError, match="operation 1: there is no render before this expect"):
        Script.parse(document({"op": "undo"}, expect, render))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is not JSON: Expecting value"),
        (b"\xff", "the text is not UTF-8"),
        ("[]", "[] is not an object."),
        ("{}", "format_version is None; this release reads versions 1 to 3."),
        (
            '{"format_version": 4}',
            "format_version is 4; this release reads versions 1 to 3. Read it with",
        ),
        ('{"format_version": 3}', "'scene' is missing."),
        ('{"format_version": 3, "scene": {"prompt": "a"}}', "'operations' is missing."),
        ('{"format_version": 3, "steps": []}', "'steps' is unknown; allowed: scene, operations."),
        ('{"format_version": 3, "$schema": 3}', "['$schema']: 3 is not text."),
        ('{"format_version": 3, "format_version": 3}', "the key 'format_version' is there twice"),
        (document(seeds=[]), "scene: seed is (); allowed: an integer, or at least one in a list."),
        (document(seeds=7), "scene.seeds: 7 is not a list."),
        (document(height=0), "scene: height is 0; allowed: an integer, at least 1, at most 16384."),
        (document(width="64"), "scene.width: '64' is not an integer or null."),
        (document(eta=2), "scene: eta is 2.0; allowed: a finite number, at least 0, at most 1."),
        (document(guidance_scale=float("nan")), "NaN is not a finite number."),
        (document(seed=7), "scene: 'seed' is unknown; allowed: prompt, negative_prompt, seeds, nu"),
        (" " * (4 * 2**20 + 1), "the script is too large; allowed: 4194304 bytes."),
        ("[" * 100_000, "values are nested too deep"),
    ],
)
def test_a_wrong_script(text: str | bytes, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        Script.parse(text)
    assert str(caught.value).startswith(message)
    assert caught.value.index is None


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
def test_a_script_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(ScriptError, match="cannot be read: it is no regular file"):
            Script.load(tmp_path / name)


def test_a_script_has_limits(tmp_path: Path) -> None:
    undo = {"op": "undo"}
    group = {"op": "transaction", "label": "a", "operations": [{"op": "momentum"}] * 999}
    assert Script.parse(document(*[undo] * 1_000)).size == 1_000
    assert Script.parse(document(group)).size == 1_000
    with pytest.raises(ScriptError, match=r"asks for 1001 operations; allowed: 1000\. If"):
        Script.parse(document(undo, group))
    (tmp_path / "long.json").write_text(document(undo, group))
    with pytest.raises(ScriptError, match=r"long\.json: the script asks for 1001 operations"):
        Script.load(tmp_path / "long.json")
    assert Script.load(tmp_path / "long.json", Limits(operations=1_001)).size == 1_001
    (tmp_path / "long.json").write_bytes(b" " * (4 * 2**20 + 1))
    with pytest.raises(ScriptError, match="it has more than 4194304 bytes"):
        Script.load(tmp_path / "long.json")


def test_operations_are_counted_before_they_are_read() -> None:
    # A wrong one is not reached.
    with pytest.raises(ScriptError, match="asks for 5000 operations; allowed: 1000"):
        Script.parse(document(*[{"op": "nonsense"}] * 5_000))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "9", None])
def test_a_limit_is_an_integer(value: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"seeds is .*; allowed: an integer, at least 1"):
        Limits(seeds=value)


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(document({"op": "undo"}, {"op": "nonsense"}))
    with pytest.raises(ScriptError) as error:
        Script.load(path)
    assert str(error.value).startswith(f"{path}: operation 1: op: 'nonsense' is not one of")
    assert (error.value.index, error.value.file) == (1, path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are POSIX's")
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for name, reason in (
        ("pipe.json", "it is no regular file"),
        (".", "Is a directory"),
        ("none.json", "No such file or directory"),
        ("a\0.json", "embedded null byte"),
    ):
        with pytest.raises(ScriptError, match=f"cannot be read: {reason}"):
            Script.load(tmp_path / name)
    script = Script.parse(document({"op": "undo"}))
    with pytest.raises(ScriptError, match=r"cannot be written: embedded null"):
        script.save(tmp_path / "a\0.json")


def test_json_shows_no_control_characters() -> None:
    prompt = "a\x1b[2J\x9b\u202e\u2028\x7f\U000e0001é😀"
    script = Script.parse(document({"op": "add", "prompt": prompt, "name": "x"}))
    text = script.dump()
    assert text.replace("\n", "").isprintable()
    assert "é😀" in text
    assert Script.parse(text) == script


def test_a_value_is_checked_in_python_too() -> None:
    with pytest.raises(InvalidValueError, match="scale is -1"):
        Add(prompt="a", scale=-1)
    with pytest.raises(InvalidValueError, match="mode is 'fast'; allowed: one of 'exact', 'anch"):
        Render(mode="fast")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="include is 'some'; allowed: one of 'state', 'ba"):
        Save(output="a.safetensors", include="some")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="output is None"):
        Save(output=None)  # type: ignore[arg-type]
    assert type(Add(prompt="a", scale=3).scale) is float
