"""Kill sessions that autosave, and check that no edit they acknowledged is lost.

    python -m tests.slow.saving.killing FOLDER KILLS

A process forks sessions, because torch takes seconds to import and a fork takes milliseconds. Each
session edits and renders until it is killed, and writes the number of every edit that returned
into a pipe.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

from sega_session import EditSession
from sega_session.testing import FakeModel

MOST, LONGEST = 40, 0.02
"""The edits after which a session is killed, at most, and the seconds after these."""

RENDER_EVERY, SAVE_EVERY = 5, 17
"""The edits between two renders, each of which rewrites the file, and between two plain saves."""


def momentum(number: int) -> float:
    """Return the setting by which an edit is recognised."""
    return number / 2**20


def edit_forever(path: Path, acknowledge: int) -> None:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=3)
    session.autosave(path)
    number = 0
    while True:
        # One byte for each edit that returned: 0 is the file itself.
        os.write(acknowledge, b"x")
        number += 1
        session.momentum(scale=momentum(number))
        if number % RENDER_EVERY == 0:
            session.render(output_type="latent")
        if number % SAVE_EVERY == 0:
            session.save(path)


def kill_one(path: Path, edits: int, seconds: float) -> tuple[int, int]:
    """Kill a session after some edits; return those acknowledged and those recovered."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            edit_forever(path, writer)
        finally:
            os._exit(1)
    os.close(writer)
    acknowledged = 0
    while acknowledged < edits and (more := os.read(reader, 4096)):
        acknowledged += len(more)
    time.sleep(seconds)
    os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    while more := os.read(reader, 4096):
        acknowledged += len(more)
    os.close(reader)
    session = EditSession.recover(path, FakeModel())
    assert all(one.state.momentum_scale == momentum(one.id) for one in session.history if one.id)
    # The first byte is the file's; one more edit may have been written but not acknowledged.
    assert len(session.history) - acknowledged in (0, 1)
    assert session.history.current == len(session.history) - 1
    return acknowledged - 1, len(session.history) - 1


def main(folder: Path, kills: int) -> None:
    dice = random.Random(7)
    acknowledged = unacknowledged = beside = 0
    for number in range(kills):
        path = folder / str(number) / "a.safetensors"
        path.parent.mkdir()
        edits, recovered = kill_one(path, dice.randint(1, MOST), dice.uniform(0, LONGEST))
        acknowledged += edits
        unacknowledged += recovered - edits
        names = {one.name for one in path.parent.iterdir()}
        beside += any("journal" not in one and "lock" not in one for one in names - {path.name})
    print(
        json.dumps(
            {
                "acknowledged": acknowledged,
                "written but not acknowledged": unacknowledged,
                "killed while the file was written": beside,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
