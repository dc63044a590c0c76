"""The commands that start Jupyter: `lab` for the example notebooks, `app` for the panel's page."""

from __future__ import annotations

import json
import os
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
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from ..errors import CheckpointError, SegaSessionError
from ..saving import read_document
from .examples import example_files
from .loading import Device, DType
from .output import make_folder

LOOPBACK = "127.0.0.1"

PAGE = Path(__file__).parent / "page"
"""A folder of Jupyter's data, with the page's template."""

TEMPLATE = "sega-session"
"""The template's name."""

SERVER = "sega_session.cli.page_connection"
"""The module of the classes that Voilà is given."""

EXTENSIONS = (
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
)
"""What the page loads besides Voilà's own scripts; others that are installed could ask for more."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

Port = Annotated[int | None, Parameter(validator=Number(gte=1, lte=65535))]


def lab(folder: Path = Path("sega-examples"), *, port: Port = None, browser: bool = True) -> None:
    """Open the example notebooks in JupyterLab; Ctrl+C ends it.

    Parameters
    ----------
    folder
        The folder that the notebooks are copied to, unless they are there; created if it is
        missing.
    port
        The port of JupyterLab, on this machine only. Default: 8888, or a free one after it.
    browser
        Open it in a browser.
    """
    require("jupyterlab", "ipykernel", "ipywidgets", "anywidget")
    make_folder(folder)
    for path in example_files():
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    # Containers often run as root, and the token protects the server there as well.
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.ip={LOOPBACK}", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder.resolve()}"]
    command += [] if port is None else [f"--ServerApp.port={port}"]
    command += [] if browser else ["--no-browser"]
    sys.exit(serve(command))


def app(
    file: Path | None = None,
    *,
    model: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
    device: Device = None,
    dtype: DType = None,
    port: Port = None,
    browser: bool = True,
) -> None:
    """Open the panel as a page in the browser; Ctrl+C ends it.

    The page's address has a token, without which nobody can open it. It saves to the folder that
    the command is started in, and keeps edits there by itself: loading the page again, or starting
    the command again and choosing the session under "Open", goes on with them.

    Parameters
    ----------
    file
        A file that a session was saved to. Default: a new session.
    model
        A checkpoint: a directory in diffusers' layout, a .safetensors file or a Hugging Face hub
        id; for a session's file, the one that it was made with. Default: the embedded one.
    prompt
        A new session's prompt. Default: a portrait that suits the checkpoint.
    seed
        A new session's seed. Default: one that suits the checkpoint.
    port
        The port of the page, on this machine only. Default: any free one.
    browser
        Open the page in a browser; its address is printed anyway.
    """
    arguments = {"prompt": prompt, "seed": seed, "device": device, "dtype": dtype}
    sys.exit(serve_page(file, model, arguments, port, browser=browser))


def check_scene_or_file(
    file: Path | None = None, *, prompt: str | None = None, seed: int | None = None, **_: object
) -> None:
    """Raise ValueError if `app` is given a file and a prompt or a seed."""
    if file is not None and (prompt is not None or seed is not None):
        raise ValueError(
            "A session file has a prompt and seeds of its own: leave out --prompt "
            "and --seed, or the file."
        )


def serve_page(
    file: Path | None,
    model: str | None,
    arguments: Mapping[str, str | int | None],
    port: int | None,
    *,
    browser: bool,
) -> int:
    """Serve the panel as a page at an address with a token, until Ctrl+C.

    Args:
        file: a session's file; None: a new session.
        model: a checkpoint, a directory, a file or a hub id; None: the embedded one.
        arguments: further arguments of `sega_widgets.app.open_panel`.
        port: the port to listen on; None: any free one.
        browser: whether to open the page in a browser.

    Returns:
        Voilà's exit code.

    Raises:
        CheckpointError: the model is neither a checkpoint's directory or file nor a hub id.
        SegaSessionError: a package is missing, or the port is in use.
        SessionFormatError, SessionFileError: the file cannot be read as a session's.
    """
    require("voila", "ipykernel", "ipywidgets", "anywidget")
    arguments = dict(arguments)
    if file is not None:
        read_document(file)
        arguments["file"] = str(file.resolve())
    if model is not None:
        arguments["model"] = resolve_checkpoint(model)
    port, token = find_port(port), secrets.token_hex(24)
    with tempfile.TemporaryDirectory(prefix="sega-session-") as name:
        folder = Path(name)
        (folder / "sega-session.ipynb").write_text(make_notebook(arguments))
        # Every user of the machine can read a command line, but only its owner this folder. Voilà
        # is started in it, so these settings take precedence over the user's own.
        (folder / "voila.json").write_text(json.dumps(page_settings(token)))
        command = [sys.executable, "-m", "voila", "sega-session.ipynb", f"--Voila.ip={LOOPBACK}"]
        command += [f"--Voila.port={port}", "--Voila.port_retries=0"]
        # Voilà would open the page without the token. It logs a traceback for every page that is
        # left while it loads; what goes wrong is shown on the page.
        command += ["--no-browser", "--Voila.log_level=CRITICAL"]
        command += [f"--Voila.connection_dir_root={folder}"]
        # The panel saves to the folder that the command was started in, not beside the notebook.
        command += [f"--MappingKernelManager.root_dir={Path.cwd()}"]
        url = f"http://{LOOPBACK}:{port}/?token={token}"
        return serve(command, folder, url, browser=browser, environment=page_environment())


def page_settings(token: str) -> dict[str, dict[str, object]]:
    """Return Voilà's settings."""
    return {
        "Voila": {
            "token": token,
            "kernel_websocket_connection_class": f"{SERVER}.PageConnection",
        },
        "VoilaConfiguration": {
            "template": TEMPLATE,
            "multi_kernel_manager_class": f"{SERVER}.PageKernels",
            "extension_allowlist": EXTENSIONS,
            # The address of the page must not choose another template.
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
        },
        # A kernel that crashed would be started again with nothing in it that its page knows.
        "KernelRestarter": {"restart_limit": 0},
    }


def page_environment() -> dict[str, str]:
    """Return the variables with which Voilà finds the page's template."""
    paths = [str(PAGE), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    return {"JUPYTER_PATH": os.pathsep.join(paths)}


def resolve_checkpoint(model: str) -> str:
    """Return a checkpoint's full path, or its hub id, without loading it.

    Raises:
        CheckpointError: the model is neither a checkpoint's directory or file nor a hub id.
    """
    path = Path(model).expanduser()
    if path.is_dir() and (path / "model_index.json").is_file():
        return str(path.resolve())
    if path.is_file() and path.suffix == ".safetensors":
        # A link may lead to a file with another ending.
        return str(path.absolute())
    if path.exists() or not HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"checkpoint {model!r} is neither a directory with model_index.json, a .safetensors "
            "file nor a hub id. Give one of them, such as "
            '"stable-diffusion-v1-5/stable-diffusion-v1-5".'
        )
    return model


def make_notebook(arguments: Mapping[str, str | int | None]) -> str:
    """Return the JSON of a notebook whose only cell opens the panel with these arguments."""
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
    """Raise SegaSessionError unless these packages are installed."""
    for one in packages:
        if find_spec(one) is None:
            raise SegaSessionError(
                f'{one} is not installed. Install sega-session with its extra "app"; README says '
                "how."
            )


def find_port(port: int | None) -> int:
    """Return the port if it is free, or for None any free port. Raises SegaSessionError."""
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
    command: list[str],
    folder: Path | None = None,
    url: str | None = None,
    *,
    browser: bool = False,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a server until it ends, by itself or after Ctrl+C; it ends its kernels first.

    Args:
        command: the server's command line.
        folder: the folder that it is started in; None: the current one.
        url: the address to print as soon as the server answers.
        browser: whether to open the address in a browser, too.
        environment: variables that it gets besides those of this process.

    Returns:
        Its exit code, or 128 plus the number of the signal that ended it, as in a shell.
    """
    # The server gets a process session of its own: a terminal's Ctrl+C would otherwise reach it
    # in addition to the signal that is passed on here.
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, cwd=folder, env=variables, start_new_session=True) as server:
        asked = False

        def stop(_: int, __: FrameType | None) -> None:
            nonlocal asked
            if asked:
                server.kill()  # kernels end by themselves without their server
            else:
                server.terminate()
            asked = True

        signals = [signal.SIGINT, signal.SIGTERM]
        signals += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
        before = {one: signal.signal(one, stop) for one in signals}
        try:
            if url is not None and _wait_until_ready(server, url):
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


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until a server takes requests; return False if it ends before."""
    host, port = url.split("/")[2].split(":")
    while server.poll() is None:
        with socket.socket() as one:
            if one.connect_ex((host, int(port))) == 0:
                return True
        time.sleep(0.1)
    return False
