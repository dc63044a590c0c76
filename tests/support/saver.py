"""Kill processes that write a file over and over, and check what they leave.

Run as a program, this module forks a writer for every line of its input and prints the writer's
process id, and "dead" when the writer has ended. Forking a small process is many times faster than
starting one.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from filelock import FileLock

from sega_session.files import append_line, locked, replace_file

CHUNKS, CHUNK_BYTES = 16, 20_000


def content(which: int) -> bytes:
    """Return one of the two contents: a body, and its checksum at the end."""
    body = hashlib.shake_256(bytes([which])).digest(CHUNKS * CHUNK_BYTES)
    return body + hashlib.sha256(body).digest()


def is_whole(found: bytes) -> bool:
    return hashlib.sha256(found[:-32]).digest() == found[-32:]


def left_beside(path: Path) -> list[str]:
    """Return the names in a file's folder, without the file's own."""
    return sorted({one.name for one in path.parent.iterdir()} - {path.name})


def is_free(path: Path) -> bool:
    """Return True if a file's lock can be taken at once; raise Timeout if not."""
    lock = path.with_name(f".{path.name}.lock")
    there = lock.exists()
    with FileLock(lock, timeout=0):
        if not there:
            lock.unlink()
        return True


class Killer:
    """A server of writers that are killed after a random time."""

    def __init__(self, path: Path, work: str) -> None:
        self._random = random.Random(7)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.saver", path, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Killer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, traceback)

    def kill_one(self) -> None:
        server = self._server
        assert server.stdin
        assert server.stdout
        server.stdin.write(b"\n")
        server.stdin.flush()
        child = int(server.stdout.readline())
        time.sleep(self._random.uniform(0, 0.04))
        os.kill(child, 9)
        assert server.stdout.readline() == b"dead\n"


def kill_saves(path: Path, kills: int) -> tuple[int, int]:
    """Kill writers of a file, and check after each that the file is complete.

    Returns:
        How many kills left a temporary file, and how many found other content than before.
    """
    path.write_bytes(content(0))
    during, changed, before = 0, 0, content(0)
    with Killer(path, "save") as killer:
        for _ in range(kills):
            killer.kill_one()
            found = path.read_bytes()
            assert is_whole(found)
            assert found in (content(0), content(1))
            # A killed writer leaves its lock too, which nobody holds.
            left = [name for name in left_beside(path) if not name.endswith(".lock")]
            assert len(left) <= 1
            during += len(left)
            changed += found != before
            before = found
            assert is_free(path)
    return during, changed


def kill_appends(path: Path, kills: int) -> int:
    """Kill writers of a journal, check what they said to have written, and count the lines."""
    count, acknowledged = 0, path.with_name("acknowledged")
    with Killer(path, "append") as killer:
        for _ in range(kills):
            acknowledged.write_bytes(b"")
            killer.kill_one()
            lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
            assert lines == [b"%d " % number + b"x" * 5000 for number in range(len(lines))]
            assert len(lines) - acknowledged.stat().st_size in (0, 1)
            count += len(lines)
            path.unlink(missing_ok=True)
    return count


def save_forever(path: Path) -> None:
    contents = [content(0), content(1)]
    which = 0
    while True:
        which = 1 - which

        def write(file: BinaryIO, new: bytes = contents[which]) -> None:
            for begin in range(0, len(new), CHUNK_BYTES):
                file.write(new[begin : begin + CHUNK_BYTES])
                file.flush()

        with locked(path) as target:
            replace_file(target, write)


def append_forever(path: Path) -> None:
    number, size = 0, 0
    with path.with_name("acknowledged").open("ab", buffering=0) as acknowledged:
        while True:
            with locked(path) as target:
                size = append_line(target, b"%d " % number + b"x" * 5000, size) or 0
            acknowledged.write(b".")
            number += 1


def serve(path: Path, work: str) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            {"save": save_forever, "append": append_forever}[work](path)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
