"""Small sweeps, and what is in their folders."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sega_session import EditSession, Sweep
from sega_session.scripts.operations import Add, Reweight
from sega_session.sweeps import SceneSettings, SweepEdit
from sega_session.testing import FakeModel

STEPS = 4

EDITS = (
    SweepEdit("unedited"),
    SweepEdit("glasses", (Add(prompt="glasses", scale=6),)),
    SweepEdit("both", (Add(prompt="glasses", scale=6), Add(prompt="a hat"))),
)


def small_sweep(**changes: Any) -> Sweep:
    settings: dict[str, Any] = {
        "prompts": ["a cat", "a dog"],
        "seeds": "3-5",
        "seeds_together": 2,
        "scene": SceneSettings(num_inference_steps=STEPS),
        "edits": EDITS,
    }
    return Sweep(**{**settings, **changes})


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(out: Path) -> dict[str, bytes]:
    """Return the content of every file, by its path in the folder."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def images_of(out: Path) -> set[str]:
    return {name for name in files_of(out) if name.startswith("images/")}


def session_of(model: FakeModel, row: dict[str, str], edits: Sequence[SweepEdit]) -> EditSession:
    """Return a session in the state of a row of a table, made by the session's own methods."""
    session = EditSession(model, row["prompt"], seed=int(row["seed"]), num_inference_steps=STEPS)
    (edit,) = (one for one in edits if one.name == row["edit"])
    for operation in edit.operations:
        match operation:
            case Add():
                session.add(operation.prompt, scale=operation.scale)
            case Reweight(scale=float(scale)):
                session.reweight(operation.name, scale=scale)
    return session
