"""Start JupyterLab and Voilà, each with a notebook that shows panels."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
from attrs import frozen

START = 60.0
"""Seconds to wait for a server to answer and to exit."""

TOKEN = "for-tests-only"

# Every test starts with a new panel. Its CSS class tells it from the previous one, which may still
# be on the page.
PANELS = """
from ipywidgets import Button, HBox, VBox

from sega_session import EditSession, load_avatars
from sega_widgets import EditPanel

pipeline = load_avatars()
pipeline.set_progress_bar_config(disable=True)
place = VBox()
made = 0

def begin(steps):
    global made
    for old in place.children:
        old.close()
    session = EditSession(
        pipeline,
        "a portrait of a person",
        seed=33,
        guidance_scale=5,
        num_inference_steps=steps,
    )
    panel = EditPanel(session)
    made += 1
    panel.add_class(f"panel-{made}")
    place.children = [panel]

usual, slow = Button(description="New panel"), Button(description="Slow panel")
usual.on_click(lambda _: begin(25))
slow.on_click(lambda _: begin(400))
VBox([HBox([usual, slow]), place])
"""

# A panel in its own output, which is all that a notebook's file keeps of it.
ALONE = """
EditPanel(
    EditSession(
        pipeline, "a portrait of a person", seed=33, guidance_scale=5, num_inference_steps=5
    )
)
"""

# Sleeps until the test is done, so that no test waits longer than necessary.
BUSY = """
import time
from pathlib import Path

print("asleep", flush=True)
while not Path("wake").exists():
    time.sleep(0.1)
print("awake")
"""


@frozen
class Server:
    """A running server.

    Attributes:
        name: "lab" or "voila".
        address: its address.
        url: the notebook's address, with the token.
        folder: the notebook's folder, in which its kernel runs.
    """

    name: str
    address: str
    url: str
    folder: Path


@contextmanager
def running(name: str, folder: Path) -> Iterator[Server]:
    """Run a server with a notebook in an empty folder."""
    config = folder / "jupyter"
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    if name == "lab":
        write_notebook(folder / "panel.ipynb", PANELS, BUSY, ALONE)
        # Otherwise Lab covers the notebook with a question about fetching news.
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        settings = config / "labconfig" / "default_setting_overrides.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": quiet}))
        url = f"{address}/lab/tree/panel.ipynb?token={TOKEN}"
        command = [
            *("jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
            *(f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
            "--ServerApp.port_retries=0",
        ]
    else:
        write_notebook(folder / "panel.ipynb", PANELS)
        url = f"{address}/?token={TOKEN}"
        command = [
            *("voila", "panel.ipynb", "--no-browser", f"--token={TOKEN}"),
            *("--Voila.ip=127.0.0.1", f"--port={port}", "--Voila.port_retries=0"),
        ]
    # Ignore the user's own settings, kernels and open notebooks.
    own = {f"JUPYTER_{kind}_DIR": str(config / kind) for kind in ("DATA", "RUNTIME")}
    own |= {"JUPYTER_CONFIG_DIR": str(config), "IPYTHONDIR": str(config / "ipython")}
    log = folder / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=os.environ | own,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(process, port, log)
        yield Server(name, address, url, folder)
    finally:
        end(process)


def write_notebook(path: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
    )
    # Without a kernel name, Lab asks which kernel to start.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server does not answer:\n{log.read_text()}")


def end(process: subprocess.Popen[Any]) -> None:
    """End a server and all its processes; on SIGTERM it ends its kernels itself."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(START)
