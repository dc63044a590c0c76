"""JSON Schema of the kinds that `strict` reads, for editors that complete and check scripts.

The schema knows keys and types. Ranges, and what spans several values, only the reader knows.

    python -m sega_session.scripts.schema > sega_session/scripts/script.schema.json
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import attrs

from ..files import TAG, UNION, Unset, kinds_of, members_of, tag_of, unstructure
from .script import FORMAT_VERSION, Script

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}


def json_schema(kind: type) -> dict[str, Any]:
    """The schema of an attrs class; the classes in it are its ``$defs``, by their names."""
    definitions: dict[str, Any] = {}
    root = _schema(kind, definitions)
    return {"$schema": DIALECT, **root, "$defs": dict(sorted(definitions.items()))}


def script_schema() -> dict[str, Any]:
    """The schema of a script's document: of `Script`, and the keys of the document itself."""
    schema = json_schema(Script)
    script = schema["$defs"]["Script"]
    document = {"$schema": {"type": "string"}, "format_version": {"const": FORMAT_VERSION}}
    script["properties"] = {**document, **script["properties"]}
    script["required"] = ["format_version", *script["required"]]
    return schema


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a kind; classes that are met are added to the definitions."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in TYPES:
        return {"type": TYPES[kind]}
    if origin in UNION:
        return _union([_schema(member, definitions) for member in members_of(kind)])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _union(members: list[dict[str, Any]]) -> dict[str, Any]:
    if len(members) == 1:
        return members[0]
    if all(list(member) == ["type"] for member in members):
        return {"type": [member["type"] for member in members]}
    return {"anyOf": members}


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of an attrs class itself, described by the first line of its docstring."""
    properties = {TAG: {"const": tag_of(kind)}} if tag_of(kind) else {}
    required = list(properties)
    for attribute in attrs.fields(kind):
        schema = _schema(kinds_of(kind)[attribute.name], definitions)
        if attribute.default is attrs.NOTHING:
            required.append(attribute.name)
        elif attribute.default is not Unset.UNSET:
            schema["default"] = unstructure(attribute.default)
        properties[attribute.name] = schema
    return {
        "description": inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


if __name__ == "__main__":
    print(json.dumps(script_schema(), indent=2))
