"""A session as one safetensors file. FORMAT.md says what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from attrs import evolve, frozen
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ..engine.store import TrajectoryStore
from ..errors import SessionFileError, SessionFormatError
from ..files import replace_file
from ..sega.guider import Branches
from ..sega.recipe import make_recipe
from ..sega.trajectory import LATENTS, Key, latent_keys
from ..state.edits import EditState
from ..state.values import Include
from .document import (
    METADATA_KEY,
    Document,
    Predictions,
    Recorded,
    dump_document,
    latents_name,
    prediction_name,
    read_document,
)


@frozen(eq=False)
class Stored:
    """A session as it goes into a file, or comes out of one; tensors by their name there."""

    document: Document
    tensors: Mapping[str, Tensor]


@frozen
class Saved:
    """A file that was written.

    Attributes:
        bytes: its size.
        renders: how many recorded renders it holds.
    """

    path: Path
    bytes: int
    renders: int

    def __str__(self) -> str:
        renders = f"{self.renders} recorded {'render' if self.renders == 1 else 'renders'}"
        return f"{self.path}: {self.bytes / 1e6:.2f} MB, {renders}"


def with_recorded(
    stored: Stored, store: TrajectoryStore, branches: Branches, include: Include
) -> Stored:
    """A session with the recorded renders that ``include`` asks for."""
    document, tensors = stored.document, dict(stored.tensors)
    numbers: dict[str, int] = {}
    recorded = []
    seen: set[Key] = set()
    for entry in _entries(document, include):
        recipe = make_recipe(document.history[entry].state, document.calls)
        keys = latent_keys(recipe)
        if Key(keys[-1], LATENTS) in seen or Key(keys[-1], LATENTS) not in store:
            continue
        wanted: dict[str, list[int]] = {LATENTS: list(range(len(keys)))}
        for call, step in enumerate(recipe.steps):
            for branch in branches.needed(step):
                wanted.setdefault(branch, []).append(call)
        found: dict[str, list[int]] = {}
        for branch, calls in wanted.items():
            rows = {}
            for call in calls:
                key = Key(keys[call], branch)
                tensor = None if key in seen else store.peek(key)
                if tensor is not None:
                    rows[call] = tensor
                    seen.add(key)
            if rows:
                found[branch] = list(rows)
                name = latents_name(entry)
                if branch != LATENTS:
                    name = prediction_name(entry, numbers.setdefault(branch, len(numbers)))
                tensors[name] = torch.stack(list(rows.values()))
        predictions = tuple(
            Predictions(numbers[branch], tuple(calls))
            for branch, calls in found.items()
            if branch != LATENTS
        )
        recorded.append(Recorded(entry, tuple(found.get(LATENTS, ())), predictions))
    document = evolve(document, conditions=tuple(numbers), recorded=tuple(recorded))
    return Stored(document, tensors)


def _entries(document: Document, include: Include) -> tuple[int, ...]:
    """The history's entries whose renders go into a file."""
    history = document.history
    if include == "state":
        return ()
    if include == "base":
        return tuple(dict.fromkeys((0, history.current)))
    return tuple(range(len(history)))


def record(stored: Stored, store: TrajectoryStore) -> None:
    """Put recorded renders into a store, the current one last, so that it leaves last."""
    document = stored.document
    base = latent_keys(make_recipe(EditState(), document.calls))[-1]
    current = document.history.current
    for render in sorted(document.recorded, key=lambda one: one.entry == current):
        keys = latent_keys(make_recipe(document.history[render.entry].state, document.calls))
        store.begin(keys[-1], (base,))
        runs = [(LATENTS, latents_name(render.entry), render.latents)]
        runs += [
            (
                document.conditions[one.condition],
                prediction_name(render.entry, one.condition),
                one.calls,
            )
            for one in render.predictions
        ]
        for condition, name, calls in runs:
            for row, call in enumerate(calls):
                store.put(Key(keys[call], condition), stored.tensors[name][row])


def write(path: Path, stored: Stored) -> Saved:
    """Write a session's file anew; until it is complete the old one stays.

    Raises:
        SessionFileError: it cannot be written, or is larger than `read_file` allows.
    """
    host = {name: tensor.detach().cpu().contiguous() for name, tensor in stored.tensors.items()}
    content = save(host, {METADATA_KEY: dump_document(stored.document)})

    def put(file: BinaryIO) -> None:
        file.write(content)

    def check(temp: Path) -> None:
        try:
            read_document(temp)
        except SessionFormatError as error:
            raise SessionFileError(f"it could not be read back: {error}") from error

    replace_file(path, put, check)
    return Saved(path, len(content), len(stored.document.recorded))


def read_file(path: Path, device: torch.device) -> Stored:
    """A session from its file, checked before any tensor is touched.

    Raises:
        SessionFormatError: it is no session's file, or it is damaged.
        SessionFileError: it cannot be read.
    """
    document = read_document(path)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise SessionFileError(f"{path} cannot be read: {error}") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise SessionFormatError(f"{path} is damaged: {name} has values that are not finite.")
    return Stored(document, tensors)
