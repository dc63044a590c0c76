"""A process that forks writers for test_files to kill: each saves one file over and over.

For every line on its input it forks a writer and prints that writer's number; the next line comes
when the writer is dead. Forking a small process is many times faster than starting one.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from sega_session.files import append_line, replace_file

CHUNKS, CHUNK_BYTES = 16, 20_000


def content(which: int) -> bytes:
    """One of the two contents: a body, and its checksum at the end."""
    body = hashlib.shake_256(bytes([which])).digest(CHUNKS * CHUNK_BYTES)
    return body + hashlib.sha256(body).digest()


def is_whole(found: bytes) -> bool:
    return hashlib.sha256(found[:-32]).digest() == found[-32:]


def save_forever(path: Path) -> None:
    contents = [content(0), content(1)]
    which = 0
    while True:
        which = 1 - which

        def write(file: BinaryIO, new: bytes = contents[which]) -> None:
            for begin in range(0, len(new), CHUNK_BYTES):
                file.write(new[begin : begin + CHUNK_BYTES])
                file.flush()

        replace_file(path, write)


def append_forever(path: Path) -> None:
    number = 0
    while True:
        append_line(path, b"%d " % number + b"x" * 5000)
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
