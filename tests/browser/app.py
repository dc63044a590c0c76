"""Start `sega-session app`, and count its kernels."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from attrs import frozen

from .servers import end

ENDED = 30.0
"""Seconds to wait for kernels to end."""


@frozen
class App:
    """A running `sega-session app`.

    Attributes:
        url: the page's address, with the token.
        process: the command.
        folder: where it was started.
    """

    url: str
    process: psutil.Process
    folder: Path

    def kernels(self) -> list[psutil.Process]:
        """Return the processes of its kernels."""
        found = []
        for one in self.process.children(recursive=True):
            with suppress(psutil.Error):
                if "ipykernel_launcher" in one.cmdline() and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def wait_for_kernels(self, count: int) -> None:
        """Wait until there are only so many kernels."""
        deadline = time.monotonic() + ENDED
        while len(self.kernels()) > count:
            assert time.monotonic() < deadline, f"{len(self.kernels())} kernels"
            time.sleep(0.1)


@contextmanager
def running_app(folder: Path, *arguments: str) -> Iterator[App]:
    """Run the command in a folder, without the user's own settings."""
    command = [sys.executable, "-m", "sega_session", "app", "--no-browser", "--device", "cpu"]
    config = folder.parent / f"{folder.name}-jupyter"
    own = {f"JUPYTER_{kind}_DIR": str(config / kind) for kind in ("DATA", "RUNTIME", "CONFIG")}
    server = subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1].decode()
        yield App(url, psutil.Process(server.pid), folder)
    finally:
        server.terminate()
        server.communicate(timeout=60)
        end(server)
