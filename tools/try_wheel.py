"""Install a wheel into a new virtual environment outside of the checkout, and use it there.

    python tools/try_wheel.py dist/*.whl                     # with the versions of constraints.txt
    python tools/try_wheel.py dist/*.whl --versions lowest   # with pyproject.toml's lower bounds
    python tools/try_wheel.py dist/*.whl --versions newest   # with what pip chooses

torch keeps the version of constraints.txt, so that the one that suits the machine is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

IMPORTS = """
import pkgutil
import sega_session, sega_widgets
from sega_session import *
from sega_session.testing import *
from sega_widgets import *
for package in (sega_session, sega_widgets):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.ispkg:
            exec(f"from {module.name} import *")
    assert "site-packages" in package.__file__
print(sega_session.__version__)
"""

COMMANDS = (
    ("python", "-m", "pip", "check"),
    ("python", "-c", IMPORTS),
    ("python", "-m", "sega_session", "--help"),
    ("sega-session", "demo", "--out", "demo"),
    ("sega-session", "run", "avatars", "--out", "run"),
    ("sega-session", "info", "run/session.safetensors"),
    ("sega-session", "render", "run/session.safetensors", "--out", "now.png"),
)
"""What must work without the checkout."""


def main() -> None:
    """Install, print the versions, and run every command."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("wheel", type=Path)
    options.add_argument("--versions", choices=("tested", "lowest", "newest"), default="tested")
    given = options.parse_args()
    wheel = given.wheel.resolve()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv", "bin", "python")
        venv.create(python.parent.parent, with_pip=True)
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(versions(given.versions)))
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(python, *install, "--constraint", constraints, f"{wheel}[widgets]", cwd=folder)
        run(python, "-m", "pip", "list", "--format", "freeze", cwd=folder)
        for name, *arguments in COMMANDS:
            print("$", name, *arguments, flush=True)
            run(python.with_name(name), *arguments, cwd=folder)


def versions(which: str) -> Iterator[str]:
    """Yield the lines of a constraints file."""
    tested = (ROOT / "constraints.txt").read_text().splitlines()
    if which == "tested":
        yield from tested
        return
    yield next(line for line in tested if line.startswith("torch=="))
    if which == "lowest":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        for requirement in (*project["dependencies"], *extras["widgets"]):
            if not requirement.startswith("torch>="):
                yield re.sub(">=", "==", requirement)


def run(program: Path, *arguments: str | Path, cwd: str) -> None:
    """Run a program of the new environment; stop if it fails."""
    # Nothing of the checkout may be found there.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([program, *arguments], cwd=cwd, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{program.name} {' '.join(map(str, arguments))} failed.")


if __name__ == "__main__":
    main()
