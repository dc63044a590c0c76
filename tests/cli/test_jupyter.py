"""`sega-session lab` and `app` start servers, and refuse wrong arguments before that."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from sega_widgets.app import open_panel
from sega_widgets.panel import EditPanel

from sega_session.cli import examples
from sega_session.cli import jupyter as cli_jupyter
from sega_session.cli.examples import example_files, find_script, find_sweep
from sega_session.cli.jupyter import (
    PAGE,
    TEMPLATE,
    find_port,
    make_notebook,
    require,
    resolve_checkpoint,
    serve,
)
from sega_session.cli.main import main
from sega_session.errors import CheckpointError, ScriptError, SegaSessionError

GOLDEN = Path(__file__).parents[1] / "data" / "session-v1.safetensors"
TREE = Path(__file__).parents[2]


class Served:
    """The arguments of `serve`, and the files in its folder."""

    command: list[str]
    folder: Path | None = None
    url: str | None = None
    browser = False
    environment: Mapping[str, str] | None = None
    cell = ""
    settings: Any = None


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Served:
    """Replace `serve` by a server that ends with code 7 at once; all packages are found."""
    found = Served()

    def serve(
        command: list[str],
        folder: Path | None = None,
        url: str | None = None,
        *,
        browser: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        found.environment = environment
        found.command, found.folder, found.url, found.browser = command, folder, url, browser
        if folder is not None:
            (cell,) = nbformat.read(folder / "sega-session.ipynb", as_version=4).cells
            found.cell = cell.source
            found.settings = json.loads((folder / "voila.json").read_text())
            assert folder.stat().st_mode & 0o077 == 0
        return 7

    monkeypatch.setattr(cli_jupyter, "serve", serve)
    monkeypatch.setattr(cli_jupyter, "find_spec", lambda _: True)
    monkeypatch.chdir(tmp_path)
    return found


def command(*arguments: str) -> int:
    """Run `sega-session` with these arguments, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sega-session", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def evaluated(cell: str) -> dict[str, Any]:
    """Return the arguments that a cell passes to `open_panel` after IPython's transformation."""
    found: dict[str, Any] = {}
    lines = TransformerManager().transform_cell(cell).splitlines()  # type: ignore[no-untyped-call]
    assert lines[:2] == ["from sega_widgets.app import open_panel", ""]
    exec("\n".join(lines[2:]), {"open_panel": lambda **given: found.update(given)})
    return found


def test_lab_copies_the_notebooks_and_leaves_changed_ones(served: Served, tmp_path: Path) -> None:
    assert command("lab", "--no-browser", "--port", "9000") == 7
    folder = tmp_path / "sega-examples"
    assert served.command == [
        *(sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", "--allow-root"),
        *(f"--ServerApp.root_dir={folder}", "--ServerApp.port=9000", "--no-browser"),
    ]
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        *("01_first_edit.ipynb", "02_panel.ipynb", "03_history_and_files.ipynb"),
        *("04_your_photo.ipynb", "05_masks.ipynb", "06_grids_and_sweeps.ipynb", "panel.png"),
    ]
    assert (folder / "panel.png").read_bytes() == (TREE / "examples" / "panel.png").read_bytes()

    (folder / "01_first_edit.ipynb").write_text("mine")
    (folder / "panel.png").unlink()
    assert command("lab", str(folder)) == 7
    assert served.command[-1] == f"--ServerApp.root_dir={folder}"
    assert (folder / "01_first_edit.ipynb").read_text() == "mine"
    assert (folder / "panel.png").exists()


def test_a_wheel_has_the_examples_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = example_files()
    shutil.copytree(TREE / "examples", tmp_path / "examples")
    monkeypatch.setattr(examples, "PACKAGE", tmp_path)
    assert [path.name for path in example_files()] == [path.name for path in beside]
    assert {path.parent for path in example_files()} == {tmp_path / "examples"}
    assert find_script(Path("avatars")) == tmp_path / "examples" / "scripts" / "avatars.json"
    assert find_sweep(Path("portraits")) == tmp_path / "examples" / "sweeps" / "portraits.toml"
    wheel = (TREE / "pyproject.toml").read_text()
    for name in [*(path.name for path in beside), "scripts", "sweeps"]:
        assert f'"examples/{name}" = "sega_session/examples/{name}"' in wheel


def test_scripts_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scripts = TREE / "examples" / "scripts"
    for path in scripts.iterdir():
        assert find_script(Path(path.stem)) == path
    for given in ("avatars.json", "./a/avatars", "none.json", "a/none"):
        assert find_script(Path(given)) == Path(given)
    with pytest.raises(ScriptError, match=r"^'none' is no file; .* name: avatars, boulevard"):
        find_script(Path("none"))
    with pytest.raises(ScriptError, match=r"^'none' is no file; .* a sweep's file, .*: portraits"):
        find_sweep(Path("none"))
    Path("avatars").touch()
    assert find_script(Path("avatars")) == Path("avatars")


def test_app_serves_on_loopback_with_a_token(served: Served, tmp_path: Path) -> None:
    assert command("app") == 7
    assert served.url is not None
    address, token = served.url.split("/?token=")
    assert len(token) == 48
    assert address.startswith("http://127.0.0.1:")
    port = address.rsplit(":", 1)[1]
    assert served.command == [
        *(sys.executable, "-m", "voila", "sega-session.ipynb", "--Voila.ip=127.0.0.1"),
        *(f"--Voila.port={port}", "--Voila.port_retries=0", "--no-browser"),
        *("--Voila.log_level=CRITICAL", f"--Voila.connection_dir_root={served.folder}"),
        f"--MappingKernelManager.root_dir={tmp_path}",
    ]
    module = "sega_session.cli.page_connection"
    assert served.settings["Voila"] == {
        "token": token,
        "kernel_websocket_connection_class": f"{module}.PageConnection",
    }
    configuration = served.settings["VoilaConfiguration"]
    assert configuration["multi_kernel_manager_class"] == f"{module}.PageKernels"
    assert configuration["template"] == TEMPLATE
    assert served.browser
    assert served.folder is not None
    assert not served.folder.exists()
    defaults = {"prompt": None, "seed": None, "device": None, "dtype": None}
    assert evaluated(served.cell) == defaults

    first = served.url
    assert command("app", "--no-browser") == 7
    assert not served.browser
    assert served.url.split("=")[1] != first.split("=")[1]


HOSTILE = "' \" \\ \n %run x\n!ls\n{1} ${HOME} é 😀 '''\"\"\"); raise SystemExit #?"


def test_app_passes_its_arguments_on(served: Served, tmp_path: Path) -> None:
    model = tmp_path / "it's a model"
    model.mkdir()
    (model / "model_index.json").touch()
    arguments = ("--prompt", HOSTILE, "--seed", "3", "--device", "cpu", "--dtype", "float16")
    assert command("app", "--model", "it's a model", *arguments) == 7
    assert evaluated(served.cell) == {
        "model": str(model),
        **{"prompt": HOSTILE, "seed": 3, "device": "cpu", "dtype": "float16"},
    }
    file = tmp_path / "a '\n}b.safetensors"
    shutil.copy(GOLDEN, file)
    assert command("app", file.name) == 7
    assert evaluated(served.cell)["file"] == str(file)


@pytest.mark.parametrize("value", [HOSTILE, "?", "%%bash\nls", "\udc80", "a?", "!!"])
def test_a_cell_passes_any_text_on(value: str) -> None:
    (cell,) = nbformat.reads(make_notebook({"file": value, "seed": None}), as_version=4).cells
    assert evaluated(cell.source) == {"file": value, "seed": None}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.safetensors",), 1, "error: 'none.safetensors' cannot be read: No such file"),
        (("--model", "nowhere"), 1, "error: checkpoint 'nowhere' is neither a directory with"),
        ((str(GOLDEN), "--seed", "3"), 2, "A session file has a prompt"),
        (("--port", "70000"), 2, 'Invalid value "70000" for --port'),
    ],
)
def test_wrong_arguments_are_refused_before_the_start(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    served: Served,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("app", *arguments) == code
    assert message in capsys.readouterr().err
    assert not hasattr(served, "command")


def test_a_model_is_a_folder_or_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("stable-diffusion-v1-5/stable-diffusion-v1-5") == (
        "stable-diffusion-v1-5/stable-diffusion-v1-5"
    )
    (tmp_path / "a" / "b").mkdir(parents=True)
    for wrong in ("a/b", "a", "nowhere", "../b/c", "", "a/b/c"):
        with pytest.raises(CheckpointError, match="neither a directory with"):
            resolve_checkpoint(wrong)
    (tmp_path / "a" / "b" / "model_index.json").touch()
    assert resolve_checkpoint("a/b") == str(tmp_path / "a" / "b")


@pytest.mark.parametrize(("name", "package"), [("lab", "jupyterlab"), ("app", "voila")])
def test_a_missing_package_is_named(
    name: str,
    package: str,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli_jupyter, "find_spec", lambda one: None if one == package else True)
    assert command(name) == 1
    message = f'error: {package} is not installed. Install sega-session with its extra "app"; '
    message += "README says how.\n"
    assert capsys.readouterr().err == message
    assert not hasattr(served, "command")


def test_required_packages() -> None:
    require("ipywidgets", "anywidget")
    with pytest.raises(SegaSessionError, match="no_such_package is not installed"):
        require("ipywidgets", "no_such_package")


def test_a_port_is_free() -> None:
    assert 0 < find_port(None) < 65536
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SegaSessionError, match=f"port {port} cannot be used: .* in use"):
            find_port(port)
    assert find_port(port) == port


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_server_s_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"import os; raise SystemExit(3 if os.getcwd() == {str(tmp_path)!r} else 4)"
    assert serve(python(code), tmp_path) == 3
    # The server ends before it answers.
    assert serve(python("raise SystemExit(1)"), None, "http://127.0.0.1:1/?token=x") == 1
    assert capsys.readouterr().out == ""


LISTENS = """
import signal, socket, sys, time
signal.signal(signal.SIGTERM, {on_term})
with socket.socket() as one:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", {port}))
    one.listen()
    time.sleep(60)
"""


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Interrupt this process the given number of times when a page is opened; return the pages."""
    timers: list[threading.Timer] = []

    def after(times: int) -> list[str]:
        opened: list[str] = []

        def browse(url: str) -> None:
            opened.append(url)
            for number in range(times):
                seconds = 0.1 + 0.2 * number
                timers.append(threading.Timer(seconds, os.kill, args=(os.getpid(), signal.SIGINT)))
                timers[-1].start()

        monkeypatch.setattr("webbrowser.open", browse)
        return opened

    yield after
    for timer in timers:
        timer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("on_term", "times", "code"),
    [("lambda *_: sys.exit(0)", 1, 0), ("signal.SIG_DFL", 1, 143), ("signal.SIG_IGN", 2, 137)],
)
def test_ctrl_c_ends_a_server(
    on_term: str,
    times: int,
    code: int,
    interrupt: Callable[[int], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened = interrupt(times)
    handler = signal.getsignal(signal.SIGINT)
    port = find_port(None)
    url = f"http://127.0.0.1:{port}/?token={'x' * 200}"
    program = LISTENS.format(on_term=on_term, port=port)
    assert serve(python(program), None, url, browser=True) == code
    assert opened == [url]
    assert capsys.readouterr().out == f"The panel: {url}\nCtrl+C ends it.\n"
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_panel_on_the_embedded_model(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sega_widgets.app.SHOWN", 0)  # there is no page

    def opened(**arguments: Any) -> EditPanel:
        page = open_panel(device="cpu", **arguments)
        page.wait()
        assert page.panel is not None, page.loading.error
        page.close()
        return page.panel

    panel = opened()
    assert panel.session.scene.prompt == "a portrait of a person"
    assert (panel.session.scene.seeds, panel.session.scene.guidance_scale) == ((8,), 5.0)
    file = tmp_path / "saved.safetensors"
    panel.session.save(file)
    panel = opened(file=str(file))
    # The page keeps its files in the folder it was started in.
    assert panel.view.files.name == "saved"
    assert not [*Path.cwd().iterdir()]

    panel = opened(prompt="a portrait of a woman", seed=3, dtype="float32")
    assert panel.session.scene.prompt == "a portrait of a woman"
    assert panel.session.scene.seeds == (3,)
    assert capfd.readouterr() == ("", "")


def test_errors_are_shown_on_the_page() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"device": "nonsense"}, "device is 'nonsense'"),
        ({"dtype": "nonsense"}, "nonsense"),
    ]
    for given, text in cases:
        page = open_panel(**given)
        page.wait()
        assert page.panel is None
        assert text in page.loading.error


def test_voila_finds_the_template(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (PAGE / "voila" / "templates" / TEMPLATE / "index.html.j2").is_file()
    monkeypatch.setenv("JUPYTER_PATH", "mine")
    assert command("app") == 7
    assert served.environment == {"JUPYTER_PATH": f"{PAGE}{os.pathsep}mine"}
    monkeypatch.delenv("JUPYTER_PATH")
    assert command("app") == 7
    assert served.environment == {"JUPYTER_PATH": str(PAGE)}


def test_a_server_gets_variables(tmp_path: Path) -> None:
    code = "import os; raise SystemExit(int(os.environ['CODE']) + ('PATH' not in os.environ))"
    assert serve(python(code), tmp_path, environment={"CODE": "5"}) == 5


def test_the_page_asks_no_other_host() -> None:
    text = (PAGE / "voila" / "templates" / TEMPLATE / "index.html.j2").read_text("utf-8")
    assert set(re.findall(r"https?://[^'\"]+", text)) == {"http://www.w3.org/2000/svg"}
