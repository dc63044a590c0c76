"""Pages in Markdown: their tables, and their code, which runs in the order of the page."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from sega_session.scripts import Script

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

Row = dict[str, str]

OUTPUT = re.compile(r"^print\(.*\)  # (?P<stated>.+)$")


def tables(path: Path) -> list[list[Row]]:
    """Return the tables of a Markdown file: the rows, with the cells by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", path.read_text(), flags=re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        )
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def table(path: Path, *columns: str) -> list[Row]:
    """Return the one table of a Markdown file that begins with these columns."""
    (found,) = (rows for rows in tables(path) if tuple(rows[0])[: len(columns)] == columns)
    return found


def run_python(example: Example) -> None:
    """Run a block of code.

    ``print(...)  # 0: why`` states that 0 is printed.
    """
    printed: dict[int, str] = {}

    def record(*values: object) -> None:
        caller = inspect.stack(context=0)[1]
        printed[caller.lineno] = " ".join(map(str, values))

    example.namespace["print"] = record
    where = f"{Path(example.path).name}, line {example.line}"
    exec(compile(example.parsed, where, "exec"), example.namespace)
    for number, line in enumerate(example.parsed.splitlines(), start=1):
        if match := OUTPUT.match(line):
            stated, found = match["stated"], printed[number]
            assert stated == found or stated.startswith(f"{found}: "), f"{where}: {found}"
    example.namespace["printed"] = list(printed.values())


def compare_output(example: Example) -> None:
    """Compare a block of text with the last print of the code before it."""
    assert example.parsed.rstrip("\n") == example.namespace["printed"][-1].rstrip("\n")


def read_script(example: Example) -> None:
    """Read a block of JSON as a script."""
    Script.parse(json.dumps(json.loads(example.parsed)))


def read_toml(example: Example) -> None:
    tomllib.loads(example.parsed)


def check_commands(example: Example) -> None:
    """Check that the commands of a shell block exist, and their options."""
    for line in example.parsed.splitlines():
        program, *words = shlex.split(line, comments=True)
        if [program, *words[:2]] == ["python", "-m", "sega_session"]:
            program, words = "sega-session", words[2:]
        match program:
            case "make":
                assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case "pip" if words[0] == "install":
                _check_install(words[1:])
            case "pip":
                assert words == ["wheel", "--no-deps", "-w", "dist", "."]
            case "python3" | ".":
                assert words in (["-m", "venv", ".venv"], [".venv/bin/activate"])
            case _:
                assert program == "sega-session", line
                _check_command(words)


def _check_install(words: list[str]) -> None:
    """Check the arguments of ``pip install``: the package is on no index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert words[:2] == ["-c", "constraints.txt"]
    match = re.fullmatch(r"(\.|dist/sega_session-(.+)-py3-none-any.whl)(\[(\w+)\])?", words[2])
    assert match is not None
    assert match[2] in (None, project["version"])
    assert match[4] is None or match[4] in project["optional-dependencies"]


def _check_command(words: list[str]) -> None:
    if words == ["--version"]:
        return
    command = [sys.executable, "-m", "sega_session", words[0], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {word for word in words if word.startswith("--")} <= set(done.stdout.split())


EVALUATORS = {
    "python": run_python,
    "text": compare_output,
    "json": read_script,
    "toml": read_toml,
    "sh": check_commands,
}
"""How a block of each language is run or checked."""


def parse_page(path: Path) -> Document:
    """Return a page with its blocks of code, which `run_page` runs."""
    parsers = [CodeBlockParser(*one) for one in EVALUATORS.items()]
    document: Document = Document.parse(str(path), *parsers, SkipParser())
    return document


def run_page(document: Document) -> None:
    """Run the blocks of a page, except those that it marks as not run, with a reason."""
    for example in document.examples():
        with suppress(SkipTest):
            example.evaluate()
