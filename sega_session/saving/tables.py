"""A history as tables, in which states share concepts and entries share states.

A list for each field is many times smaller than an object for each entry, and read faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from ..errors import InvalidValueError, shorten
from ..files import StrictError
from ..state import Concept, EditState, Entry, History, Mask


@frozen(kw_only=True)
class ConceptTable:
    """The fields of `Concept`, each as a list of one value for each distinct concept."""

    name: tuple[str, ...]
    prompt: tuple[str, ...]
    embedding: tuple[str | None, ...]
    opposite: tuple[str | None, ...]
    mask: tuple[Mask | None, ...]
    scale: tuple[float, ...]
    threshold: tuple[float, ...]
    warmup: tuple[int, ...]
    cooldown: tuple[int | None, ...]
    weight: tuple[float, ...]
    inverted: tuple[bool, ...]
    enabled: tuple[bool, ...]


@frozen(kw_only=True)
class StateTable:
    """The fields of `EditState`, each as a list of one value for each distinct state.

    Attributes:
        concepts: the numbers of the state's concepts in the table of concepts.
        momentum_scale, momentum_beta, region: as in `EditState`.
    """

    concepts: tuple[tuple[int, ...], ...]
    momentum_scale: tuple[float, ...]
    momentum_beta: tuple[float, ...]
    region: tuple[Mask | None, ...]


@frozen(kw_only=True)
class EntryTable:
    """The fields of `Entry`, and `History.visited`, each as a list of one value for each entry.

    Attributes:
        parent: as in `Entry`.
        state: the number of the entry's state in the table of states.
        label: as in `Entry`.
        visited: as in `History`.
    """

    parent: tuple[int | None, ...]
    state: tuple[int, ...]
    label: tuple[str, ...]
    visited: tuple[int | None, ...]


@frozen(kw_only=True)
class HistoryTables:
    """A history as tables; `current`, `branches` and `branch` are those of `History`."""

    concepts: ConceptTable
    states: StateTable
    entries: EntryTable
    current: int
    branches: Mapping[str, int]
    branch: str | None


def pack(history: History) -> HistoryTables:
    """Return a history's tables, in the order in which its entries use concepts and states."""
    concepts: dict[Concept, int] = {}
    states: dict[tuple[tuple[int, ...], float, float, Mask | None], int] = {}
    # States share concepts as objects, so most of them are found without comparing fields.
    known: dict[int, int] = {}
    numbers = []
    for entry in history.entries:
        state = entry.state
        for concept in state.concepts:
            if id(concept) not in known:
                known[id(concept)] = concepts.setdefault(concept, len(concepts))
        row = tuple(known[id(concept)] for concept in state.concepts)
        key = row, state.momentum_scale, state.momentum_beta, state.region
        numbers.append(states.setdefault(key, len(states)))
    return HistoryTables(
        concepts=ConceptTable(
            **{
                one.name: tuple(getattr(concept, one.name) for concept in concepts)
                for one in attrs.fields(ConceptTable)
            }
        ),
        states=StateTable(
            concepts=tuple(row for row, _, _, _ in states),
            momentum_scale=tuple(scale for _, scale, _, _ in states),
            momentum_beta=tuple(beta for _, _, beta, _ in states),
            region=tuple(region for _, _, _, region in states),
        ),
        entries=EntryTable(
            parent=tuple(entry.parent for entry in history.entries),
            state=tuple(numbers),
            label=tuple(entry.label for entry in history.entries),
            visited=tuple(history.visited),
        ),
        current=history.current,
        branches=history.branches,
        branch=history.branch,
    )


def unpack(tables: HistoryTables) -> History:
    """Return the history of its tables.

    Raises:
        StrictError: the lists of a table differ in length, a number leads to nothing, or a value is
            outside its range. Call `History.problems` too, which says whether entries fit.
    """
    concepts = [_built(Concept, row) for row in _rows(tables.concepts, "concepts")]
    states = []
    for row in _rows(tables.states, "states"):
        members = tuple(_member(concepts, one, "concept") for one in row["concepts"])
        states.append(_built(EditState, {**row, "concepts": members}))
    entries = tuple(
        _built(
            Entry,
            {
                "id": number,
                "parent": row["parent"],
                "state": _member(states, row["state"], "state"),
                "label": row["label"],
            },
        )
        for number, row in enumerate(_rows(tables.entries, "entries"))
    )
    return History(
        entries=entries,
        current=tables.current,
        visited=tables.entries.visited,
        branches=tables.branches,
        branch=tables.branch,
    )


def _rows(table: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield a table's rows as objects."""
    columns: dict[str, Any] = {
        one.name: getattr(table, one.name) for one in attrs.fields(type(table))
    }
    lengths = {field: len(column) for field, column in columns.items()}
    if len({*lengths.values()}) > 1:
        raise StrictError(f"the lists differ in length: {lengths}", ("history", name))
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _member(members: list[Any], number: int, what: str) -> Any:
    if not 0 <= number < len(members):
        raise StrictError(f"{what} {shorten(number)} is named, and there are {len(members)}")
    return members[number]


def _built(kind: Any, row: dict[str, Any]) -> Any:
    try:
        return kind(**row)
    except InvalidValueError as error:
        raise StrictError(str(error).removesuffix(".")) from None
