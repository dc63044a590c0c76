"""What the commands that start Jupyter do: the example notebooks, and the panel as a page."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from rich.console import Console

from ..errors import CheckpointError, SegaSessionError
from ..saving.document import read_document

HERE = Path(__file__).resolve().parents[1]

LOOPBACK = "127.0.0.1"

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def open_lab(folder: Path, port: int | None, *, browser: bool) -> int:
    """Copy the example notebooks to a folder, and serve it through JupyterLab until Ctrl+C.

    Files that are there stay as they are.

    Returns:
        JupyterLab's exit code.

    Raises:
        SegaSessionError: a package is missing.
    """
    require("jupyterlab", "ipykernel", "ipywidgets", "anywidget")
    folder.mkdir(parents=True, exist_ok=True)
    for path in examples():
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    # Root is common in containers, and the token stands guard there as well.
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.ip={LOOPBACK}", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder.resolve()}"]
    command += [] if port is None else [f"--ServerApp.port={port}"]
    command += [] if browser else ["--no-browser"]
    return serve(command)


def examples() -> list[Path]:
    """The notebooks and the picture in them: a wheel has them inside, a checkout beside."""
    inside = HERE / "examples"
    folder = inside if inside.is_dir() else HERE.parent / "examples"
    return [*sorted(folder.glob("*.ipynb")), folder / "panel.png"]


def open_page(
    file: Path | None,
    model: str | None,
    arguments: Mapping[str, str | int | None],
    port: int | None,
    *,
    browser: bool,
) -> int:
    """Serve the panel as a page, to those who have its address with the token, until Ctrl+C.

    Args:
        arguments: more arguments of `sega_widgets.app.open_panel`.

    Returns:
        Voilà's exit code.

    Raises:
        CheckpointError: the model can be no checkpoint.
        SegaSessionError: a package is missing, or the port is taken.
        SessionFormatError, SessionFileError: the file cannot be read as a session's.
    """
    require("voila", "ipykernel", "ipywidgets", "anywidget")
    arguments = dict(arguments)
    if file is not None:
        read_document(file)
        arguments["file"] = str(file.resolve())
    if model is not None:
        arguments["model"] = checked(model)
    port, token = free_port(port), secrets.token_hex(24)
    with tempfile.TemporaryDirectory(prefix="sega-session-") as name:
        folder = Path(name)
        # Voilà's page has the notebook's name for its title.
        (folder / "sega-session.ipynb").write_text(notebook(arguments))
        # Command lines are for everybody to see, and this folder for its owner alone. Voilà, which
        # is started in it, puts these settings before those that a person has elsewhere.
        (folder / "voila.json").write_text(json.dumps({"Voila": {"token": token}}))
        command = [sys.executable, "-m", "voila", "sega-session.ipynb", f"--Voila.ip={LOOPBACK}"]
        command += [f"--Voila.port={port}", "--Voila.port_retries=0"]
        # Voilà would open the page without the token.
        command += ["--no-browser", "--Voila.log_level=ERROR"]
        command += [f"--Voila.connection_dir_root={folder}"]
        # The panel saves where the command was started, not beside the notebook.
        command += [f"--MappingKernelManager.root_dir={Path.cwd()}"]
        url = f"http://{LOOPBACK}:{port}/?token={token}"
        return serve(command, folder, url, browser=browser)


def checked(model: str) -> str:
    """A checkpoint's full path, or its hub id, as far as that can be told without loading it."""
    path = Path(model)
    if path.is_dir() and (path / "model_index.json").is_file():
        return str(path.resolve())
    if path.exists() or not HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"checkpoint {model!r} is neither a directory with model_index.json nor a hub id. "
            'Give one or the other, such as "stable-diffusion-v1-5/stable-diffusion-v1-5".'
        )
    return model


def notebook(arguments: Mapping[str, str | int | None]) -> str:
    """A notebook of one cell, which opens the panel."""
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    cell: dict[str, object] = {
        "cell_type": "code",
        "execution_count": None,
        "id": "panel",
        "metadata": {},
        "outputs": [],
        "source": f"from sega_widgets.app import open_panel\n\nopen_panel({given})",
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


def require(*packages: str) -> None:
    """Refuse to go on without these packages."""
    for one in packages:
        if find_spec(one) is None:
            raise SegaSessionError(
                f'{one} is not installed. Install it: pip install "sega-session[app]".'
            )


def free_port(port: int | None) -> int:
    """The port, once nobody else listens on it; None: any that is free."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((LOOPBACK, port or 0))
        except OSError as error:
            raise SegaSessionError(
                f"port {port} cannot be used: {error.strerror}. Give another, or none: then a "
                "free one is found."
            ) from None
        return int(one.getsockname()[1])


def serve(
    command: list[str], folder: Path | None = None, url: str | None = None, *, browser: bool = False
) -> int:
    """Run a server until it ends by itself or, once asked to by Ctrl+C, has ended its kernels.

    Args:
        folder: where it is started; None: here.
        url: printed when the server answers.
        browser: open the URL, too.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it, as in a shell.
    """
    # In a session of its own, the server is told to stop once and in one way, wherever the signal
    # came from; a terminal's Ctrl+C would reach it beside what is passed on here.
    with subprocess.Popen(command, cwd=folder, start_new_session=True) as server:
        asked = False

        def stop(_: int, __: FrameType | None) -> None:
            nonlocal asked
            if asked:
                server.kill()  # kernels end by themselves when their server is gone
            else:
                server.terminate()
            asked = True

        signals = [signal.SIGINT, signal.SIGTERM]
        signals += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
        before = {one: signal.signal(one, stop) for one in signals}
        try:
            if url is not None and _answers(server, url):
                Console(soft_wrap=True, highlight=False, markup=False).print(
                    f"The panel: {url}\nCtrl+C ends it."
                )
                if browser:
                    webbrowser.open(url)
            code = server.wait()
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
    return code if code >= 0 else 128 - code


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until a server takes requests; False: it ended before."""
    host, port = url.split("/")[2].split(":")
    while server.poll() is None:
        with socket.socket() as one:
            if one.connect_ex((host, int(port))) == 0:
                return True
        time.sleep(0.1)
    return False
