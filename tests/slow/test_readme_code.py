"""Run the code of README.md in order, and check its output and its commands."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

ROOT = Path(__file__).parents[2]
OUTPUT = re.compile(r"^print\(.*\)  # (?P<stated>.+)$")


def run_python(example: Example) -> None:
    """Run a block of code.

    ``print(...)  # 0: why`` states that 0 is printed.
    """
    printed: dict[int, str] = {}

    def record(*values: object) -> None:
        caller = inspect.stack(context=0)[1]
        printed[caller.lineno] = " ".join(map(str, values))

    example.namespace["print"] = record
    exec(compile(example.parsed, f"README.md, line {example.line}", "exec"), example.namespace)
    for number, line in enumerate(example.parsed.splitlines(), start=1):
        if match := OUTPUT.match(line):
            stated, found = match["stated"], printed[number]
            assert stated == found or stated.startswith(f"{found}: ")
    example.namespace["printed"] = list(printed.values())


def compare_output(example: Example) -> None:
    """Compare a block of text with the last print of the code before it."""
    assert example.parsed.rstrip("\n") == example.namespace["printed"][-1].rstrip("\n")


def parse_commands(example: Example) -> None:
    """Check that the commands of a shell block exist, and their options."""
    for line in example.parsed.splitlines():
        program, *words = shlex.split(line, comments=True)
        match program:
            case "make":
                assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case "pip" if words[0] == "install":
                assert words[1:3] == ["-c", "constraints.txt"]
                project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
                match = re.fullmatch(
                    r"(\.|dist/sega_session-(.+)-py3-none-any.whl)(\[(\w+)\])?", words[3]
                )
                assert match is not None
                assert match[2] in (None, project["version"])
                assert match[4] is None or match[4] in project["optional-dependencies"]
            case "pip":
                assert words == ["wheel", "--no-deps", "-w", "dist", "."]
            case "python3" | ".":
                assert words in (["-m", "venv", ".venv"], [".venv/bin/activate"])
            case "sega-session" if words == ["--version"]:
                pass
            case _:
                assert program == "sega-session"
                command = [sys.executable, "-m", "sega_session", words[0], "--help"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                assert {word for word in words if word.startswith("--")} <= set(done.stdout.split())


@pytest.mark.filterwarnings("default")
def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = Document.parse(
        str(ROOT / "README.md"),
        CodeBlockParser("python", run_python),
        CodeBlockParser("text", compare_output),
        CodeBlockParser("sh", parse_commands),
        SkipParser(),
    )
    for example in document.examples():
        example.evaluate()
    document.namespace["panel"].close()
    assert {"base.png", "anchored(tolerance=0.1).png", "portrait.safetensors"} <= {
        path.name for path in tmp_path.iterdir()
    }
