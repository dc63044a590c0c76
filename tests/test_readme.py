"""Compare the tables of README.md and docs/ with the code and the measurements.

tests/slow/test_page_code.py runs their code.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

from diffusers import SemanticStableDiffusionPipeline

import sega_session
from sega_session import EditSession, Limits
from sega_session.testing import FakeModel
from tests.support.markdown import DOCS, README, ROOT, table, tables

CHANGELOG = ROOT / "CHANGELOG.md"
RESULTS = ROOT / "benchmarks" / "results"


def test_the_first_block_is_the_first_example() -> None:
    code = (ROOT / "examples" / "first_edit.py").read_text().partition('"""\n\n')[2]
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks[0] == code


def names(cell: str) -> list[str]:
    """Return the first words of a cell's code."""
    return re.findall(r"`(\w+)", cell)


def test_the_calls_exist() -> None:
    for row in table(DOCS / "edits.md", "to", "call"):
        for call in re.findall(r"(\w+)\(", row["call"]):
            assert any(hasattr(one, call) for one in (EditSession, sega_session)), call


def test_the_arguments_of_diffusers_exist() -> None:
    theirs = inspect.signature(SemanticStableDiffusionPipeline.__call__).parameters
    ours = {
        name
        for call in (EditSession, EditSession.add, EditSession.momentum, EditSession.render)
        for name in inspect.signature(call).parameters
    }
    for row in table(DOCS / "diffusers.md", "diffusers", "here"):
        assert set(names(row["diffusers"])) <= set(theirs)
        arguments = re.findall(r"(\w+)=", row["here"]) or names(row["here"])
        assert set(arguments) <= ours


def test_the_development_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for row in table(ROOT / "CONTRIBUTING.md", "command", "runs"):
        command = row["command"].strip("`")
        target = command.removeprefix("make ")
        there = (ROOT / command).exists() or re.search(rf"^{target}:", makefile, re.MULTILINE)
        assert there, command


def counts(model: Any, **arguments: Any) -> dict[str, int]:
    """Count the evaluations of each row of the table of costs."""
    session = EditSession(model, "a portrait", **arguments)

    def render() -> int:
        planned = session.plan()
        assert session.render(output_type="latent").evaluations == planned
        return planned

    found = {"base": render()}
    session.add("hat")
    found["add a concept"] = render()
    changes: tuple[Callable[[], object], ...] = (
        lambda: session.reweight("hat", scale=6),
        lambda: session.invert("hat"),
        lambda: session.update("hat", threshold=0.8),
    )
    for change in changes:
        change()
        found.setdefault("reweight, invert, new threshold", count := render())
        assert found["reweight, invert, new threshold"] == count
    visited = []
    moves: tuple[Callable[[], object], ...] = (
        *(session.undo, session.redo),
        *(lambda: session.disable("hat"), lambda: session.enable("hat")),
        lambda: session.remove("hat"),
    )
    for move in moves:
        move()
        visited.append(render())
    found["undo, redo, remove, disable, enable: any state rendered before"] = max(visited)
    return found


def check_costs(model: Any) -> None:
    costs = table(README, "edit", "evaluations", "from scratch")
    recorded, scratch = counts(model), counts(model, cache_bytes=0)
    assert {row["edit"]: int(row["evaluations"]) for row in costs} == recorded
    for row in costs[:-1]:
        assert int(row["from scratch"]) == scratch[row["edit"]]
    assert costs[-1]["from scratch"] == f"{scratch['base']} or {scratch['add a concept']}"


def test_the_costs_are_those_of_plan() -> None:
    check_costs(FakeModel())


def test_adding_without_momentum() -> None:
    session = EditSession(FakeModel(), "a portrait")
    session.momentum(scale=0)
    session.render(output_type="latent")
    session.add("hat")
    assert f"adding a concept takes {session.plan()} evaluations" in (DOCS / "cache.md").read_text()


def test_the_modes_are_as_measured() -> None:
    measured = {row["mode"]: row for row in tables(RESULTS / "fidelity.md")[0]}
    quoted = table(DOCS / "modes.md", "mode", "evaluations", "PSNR median")
    assert len(quoted) == 8
    for row in quoted:
        assert row.items() <= measured[row["mode"]].items()


def test_the_seconds_are_as_measured() -> None:
    results = json.loads((RESULTS / "speed.json").read_text())
    measured = {
        (row["operation"], row["mode"]): row
        for row in results["rows"]
        if (row["concepts"], row["steps"]) == (2, 50)
    }
    quoted = table(DOCS / "numbers.md", "edit", "mode", "evaluations", "model calls")
    assert len(quoted) == 12
    for row in quoted:
        edit, mode, *cells = row.values()
        one = measured[edit, mode]
        assert cells == [
            *(str(one["evaluations"]), str(one["model_calls"]), f"{one['seconds']:.2f}"),
            *(f"{one['of_p1']:.1%}", f"{one['of_p0']:.1%}"),
        ]
    fit, overhead = results["fit"], results["overhead"]
    (row,) = table(DOCS / "numbers.md", "ms per evaluation", "ms per model call")
    assert list(row.values()) == [
        *(f"{fit['ms_per_evaluation']:.1f}", f"{fit['ms_per_model_call']:.1f}"),
        *(f"{fit['r_squared']:.2f}", f"{overhead['ratio']:.2%}"),
    ]


def test_install_lines_work_in_a_checkout() -> None:
    texts = [path.read_text() for path in (README, DOCS / "install.md")]
    lines = re.findall(r"^ *pip install .*$", "".join(texts), flags=re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        assert line.lstrip().startswith("pip install -c constraints.txt ")
        assert '"sega-session' not in line  # which is on no index
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    for text in texts:
        assert f"Python {python.removeprefix('>=')} or later" in text


def test_the_archive_has_what_the_pages_link_to() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    included = set(tools["hatch"]["build"]["targets"]["sdist"]["include"])
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", README.read_text())
    assert len(links) > 10
    assert {README.name, *(link.split("/")[0] for link in links)} <= included


def test_the_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", CHANGELOG.read_text(), re.MULTILINE)
    assert versions[0] == sega_session.__version__
    assert f"sega_session-{sega_session.__version__}-py3" in (DOCS / "install.md").read_text()


def test_limits_are_the_defaults() -> None:
    (stated,) = re.findall(r"`Limits\((operations=[^)]*)\)`", (DOCS / "scripts.md").read_text())
    assert eval(f"Limits({stated})", {"Limits": Limits}) == Limits()
