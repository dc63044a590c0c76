"""The JSON Schema of scripts, for editors that complete and check them.

The schema covers keys and types. Ranges, and rules that span several values, are checked by the
reader only. After a change, write it again:

    python -m sega_session.scripts.schema > sega_session/scripts/script.schema.json
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import attrs

from .. import files as strict
from .script import FORMAT_VERSION, Script

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", NoneType: "null"}


def script_schema() -> dict[str, Any]:
    """Return the schema of a script's document: `Script` and the document's own keys."""
    schema = json_schema(Script)
    script = schema["$defs"]["Script"]
    document = {"$schema": {"type": "string"}, "format_version": {"const": FORMAT_VERSION}}
    script["properties"] = {**document, **script["properties"]}
    script["required"] = ["format_version", *script["required"]]
    return schema


def json_schema(kind: type) -> dict[str, Any]:
    """Return the schema of an attrs class; the classes in it are its ``$defs``, by name."""
    definitions: dict[str, Any] = {}
    root = _schema(kind, definitions)
    return {"$schema": DIALECT, **root, "$defs": dict(sorted(definitions.items()))}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type, and add the classes in it to the definitions."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in TYPES:
        return {"type": TYPES[kind]}
    if origin in strict.UNION:
        return _union([_schema(member, definitions) for member in strict.members_of(kind)])
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
    """Return the schema of an attrs class, described by the first line of its docstring."""
    tag = strict.tag_of(kind)
    properties: dict[str, Any] = {strict.TAG: {"const": tag}} if tag else {}
    required = list(properties)
    kinds = strict.kinds_of(kind)
    for attribute in attrs.fields(kind):
        schema = _schema(kinds[attribute.name], definitions)
        if attribute.default is attrs.NOTHING:
            required.append(attribute.name)
        elif attribute.default is not strict.Unset.UNSET:
            schema["default"] = strict.unstructure(attribute.default)
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
