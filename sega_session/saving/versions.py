"""Migrate documents of older session files, one version at a time. FORMAT.md lists the changes.

Documents that arrive here are parsed JSON that nobody has checked. A migration leaves values of
the wrong type as they are, since they are refused when the migrated document is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import asdict, frozen

from ..errors import printable
from ..files import Migration, StrictError, structure, unstructure
from ..state import Entry, History
from .tables import pack

FORMAT_VERSION = 4
"""The version that is written."""


def _from_1_to_2(document: dict[str, Any]) -> dict[str, Any]:
    """Rename "branch", where it means what a prediction is conditioned on, to "condition"."""

    def migrate_render(render: Any) -> Any:
        return _map_key(render, "predictions", lambda one: _rename_key(one, "branch", "condition"))

    renamed = _rename_key(document, "branches", "conditions")
    migrated: dict[str, Any] = _map_key(renamed, "recorded", migrate_render)
    return migrated


NEW_IN_CONCEPT: Mapping[str, Any] = MappingProxyType({"opposite": None, "mask": None})
NEW_IN_STATE: Mapping[str, Any] = MappingProxyType({"region": None})
NEW_IN_DOCUMENT: Mapping[str, Any] = MappingProxyType({"masks": {}})
NEW_IN_SCENE: Mapping[str, Any] = MappingProxyType(
    {
        "prompt_embedding": None,
        "negative_embedding": None,
        "guidance_rescale": 0.0,
        "clip_skip": None,
    }
)
"""The fields that version 3 has and version 2 had not, with the values that mean the same."""


@frozen
class _History2:
    """A history as version 2 wrote it."""

    entries: tuple[Entry, ...]
    current: int
    visited: tuple[int | None, ...]
    branches: Mapping[str, int]
    branch: str | None


def _from_2_to_3(document: dict[str, Any]) -> dict[str, Any]:
    """Turn the history's objects, one for each entry, into tables, and labels into one line.

    Labels name concepts, and those were written as they are, line breaks included. Concepts had no
    opposites, and scenes fewer settings.
    """

    def migrate_entry(entry: Any) -> Any:
        if not isinstance(entry, dict):
            return entry
        state = _add_keys(entry.get("state"), NEW_IN_STATE)
        state = _map_key(state, "concepts", lambda one: _add_keys(one, NEW_IN_CONCEPT))
        label = entry.get("label")
        label = printable(label) if isinstance(label, str) else label
        return {**entry, "state": state, "label": label}

    plain = _map_key(document.get("history"), "entries", migrate_entry)
    found = structure(plain, _History2, ("history",))
    if unstructure(found) != plain:
        raise StrictError("a field is left out", ("history",))
    history = History(**asdict(found, recurse=False))
    for problem in history.problems():
        raise StrictError(problem)
    return {
        **_add_keys(document, NEW_IN_DOCUMENT),
        "scene": _add_keys(document.get("scene"), NEW_IN_SCENE),
        "history": unstructure(pack(history)),
    }


NEW_IN_DOCUMENT_4: Mapping[str, Any] = MappingProxyType({"photograph": []})
NEW_IN_SCENE_4: Mapping[str, Any] = MappingProxyType({"photograph": None, "skip": 0.0})
"""The fields that version 4 has and version 3 had not, with the values that mean the same."""


def _from_3_to_4(document: dict[str, Any]) -> dict[str, Any]:
    """Add what version 3 had not: photographs."""
    scene = _add_keys(document.get("scene"), NEW_IN_SCENE_4)
    return {**_add_keys(document, NEW_IN_DOCUMENT_4), "scene": scene}


MIGRATIONS: Mapping[int, Migration] = MappingProxyType(
    {1: _from_1_to_2, 2: _from_2_to_3, 3: _from_3_to_4}
)
"""For each older version, the function that turns a document of it into one of the next."""


def _rename_key(value: Any, old: str, new: str) -> Any:
    if not isinstance(value, dict):
        return value
    if new in value:
        raise StrictError(f"{new!r} is unknown; allowed in this version: {old!r}")
    return {new if key == old else key: one for key, one in value.items()}


def _add_keys(value: Any, added: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    for key in added.keys() & value.keys():
        raise StrictError(f"{key!r} is unknown in this version")
    return {**value, **added}


def _map_key(value: Any, key: str, change: Callable[[Any], Any]) -> Any:
    """Apply a change to each member of the list under a key."""
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        return value
    return {**value, key: [change(one) for one in value[key]]}
