"""The JSON Schema of scripts is written anew after each change, and agrees with the reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sega_session import scripts
from sega_session.errors import ScriptError
from sega_session.scripts import Script
from sega_session.scripts.schema import json_schema, script_schema
from tests.files.test_strict_json import Drawing
from tests.scripts.test_script import EVERY_KEY, VALIDATOR, document

SCHEMA = Path(scripts.__file__).with_name("script.schema.json")


def test_the_schema_is_up_to_date() -> None:
    found = SCHEMA.read_text(encoding="utf-8")
    assert found == json.dumps(script_schema(), indent=2) + "\n", (
        "python -m sega_session.scripts.schema > sega_session/scripts/script.schema.json"
    )
    Draft202012Validator.check_schema(json.loads(found))


def test_the_schema_knows_every_key() -> None:
    VALIDATOR.validate(EVERY_KEY)
    without = {key: value for key, value in EVERY_KEY.items() if key != "$schema"}
    VALIDATOR.validate(without)


@pytest.mark.parametrize(
    "step",
    [
        "undo",
        {},
        {"op": "sing"},
        {"op": "undo", "steps": 2},
        {"op": "add"},
        {"op": "add", "prompt": "a", "scale": "5"},
        {"op": "add", "prompt": "a", "scale": True},
        {"op": "add", "prompt": "a", "warmup": 1.5},
        {"op": "add", "prompt": "a", "inverted": None},
        {"op": "update", "name": "a", "fields": {"scale": None}},
        {"op": "update", "name": "a", "fields": {"embedding": "a"}},
        {"op": "transaction", "label": "a", "operations": {}},
        {"op": "transaction", "label": "a", "operations": [{"op": "undo"}]},
        {"op": "checkout", "target": True},
        {"op": "checkout", "target": None},
        {"op": "render", "mode": "fast"},
        {"op": "render", "mode": {"every": "3"}},
        {"op": "save", "output": None},
        {"op": "save", "output": "a.safetensors", "include": "some"},
        {"op": "expect"},
    ],
)
def test_the_schema_refuses_operations_as_the_reader_does(step: Any) -> None:
    text = document({"op": "render"}, step)
    with pytest.raises(ScriptError):
        Script.parse(text)
    assert not VALIDATOR.is_valid(json.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 4},
        {"format_version": True},
        {"$schema": 3},
        {"scene": {}},
        {"scene": {"prompt": "a", "seeds": 7}},
        {"scene": {"prompt": "a", "seeds": [1.5]}},
        {"scene": {"prompt": "a", "height": "64"}},
        {"operations": {}},
        {"steps": []},
    ],
)
def test_the_schema_refuses_documents_as_the_reader_does(change: dict[str, Any]) -> None:
    plain = {**EVERY_KEY, **change}
    with pytest.raises(ScriptError):
        Script.parse(json.dumps(plain))
    assert not VALIDATOR.is_valid(plain)


def test_types_that_scripts_do_not_have() -> None:
    properties = json_schema(Drawing)["$defs"]["Drawing"]["properties"]
    assert properties["sizes"] == {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "integer"}},
        "default": {},
    }
    assert properties["depth"] == {"type": ["integer", "null"]}
