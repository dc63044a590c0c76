"""Modules and style sheets, joined into what one widget sends."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sega_widgets import front_end
from sega_widgets.front_end import script, style

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes modules, by name, into a folder of their own."""
    monkeypatch.setattr(front_end, "STATIC", tmp_path)
    for one in (script, style):
        one.cache_clear()

    def write(**modules: str) -> None:
        for name, text in modules.items():
            (tmp_path / f"{name.replace('_', '-')}.js").write_text(text, "utf-8")

    yield write
    for one in (script, style):
        one.cache_clear()


def run(text: str, tmp_path: Path) -> object:
    """Return the default export of a joined module, as node evaluates it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is missing")
    (tmp_path / "joined.mjs").write_text(text, "utf-8")
    code = 'import one from "./joined.mjs"; console.log(JSON.stringify(one));'
    command = [node, "--input-type=module", "--eval", code]
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    return json.loads(ended.stdout)


def test_a_module_alone_stays_as_it_is(write: Write) -> None:
    text = "const one = 1;\nexport default { one };\n"
    write(part=text)
    assert script("part") == text


def test_imports_become_values_of_one_module(write: Write, tmp_path: Path) -> None:
    write(
        part='import { one, Two as Second } from "./some-parts.js";\n'
        "export default { one: one(), two: new Second().value };\n",
        some_parts="const hidden = 1;\n"
        "export function one() { return hidden; }\n"
        "export class Two { value = 2; }\n",
    )
    joined = script("part")
    assert "import" not in joined
    assert run(joined, tmp_path) == {"one": 1, "two": 2}


def test_names_of_modules_do_not_meet(write: Write, tmp_path: Path) -> None:
    write(
        part='import { one } from "./first.js";\nimport { two } from "./second.js";\n'
        "const name = 3;\nexport default [one, two, name];\n",
        first="const name = 1;\nexport const one = name;\n",
        second="const name = 2;\nexport const two = name;\n",
    )
    assert run(script("part"), tmp_path) == [1, 2, 3]


def test_a_module_that_several_import_is_there_once(write: Write, tmp_path: Path) -> None:
    write(
        part='import { left } from "./left.js";\nimport { right } from "./right.js";\n'
        'import { count } from "./shared.js";\nexport default [left, right, count()];\n',
        left='import { count } from "./shared.js";\nexport const left = count();\n',
        right='import { count } from "./shared.js";\nexport const right = count();\n',
        shared="let calls = 0;\nexport function count() { return ++calls; }\n",
    )
    assert run(script("part"), tmp_path) == [1, 2, 3]
    assert script("part").count("let calls") == 1


@pytest.mark.parametrize(
    "exported",
    [
        "export async function one() {}",
        "export function* one() {}",
        "export const one = () => 1;",
        "export class one {}",
    ],
)
def test_each_kind_of_export_is_found(write: Write, tmp_path: Path, exported: str) -> None:
    write(
        part='import { one } from "./other.js";\nexport default typeof one;\n',
        other=f"{exported}\n",
    )
    assert run(script("part"), tmp_path) == "function"


def test_a_missing_module_is_an_error(write: Write) -> None:
    write(part='import { one } from "./absent.js";\nexport default one;\n')
    with pytest.raises(FileNotFoundError, match=r"absent\.js"):
        script("part")


def test_styles_begin_with_the_tokens(write: Write, tmp_path: Path) -> None:
    for name in ("tokens", "one", "other"):
        (tmp_path / f"{name}.css").write_text(f".{name} {{}}", "utf-8")
    assert style("other", "one") == ".tokens {}\n.other {}\n.one {}"


@pytest.mark.parametrize("path", sorted(front_end.STATIC.glob("*.js")), ids=lambda path: path.stem)
def test_every_module_can_be_joined(path: Path) -> None:
    """No import is left, which a page could not resolve."""
    lines = script(path.stem).splitlines()
    assert [line for line in lines if line.startswith(("import ", "} from "))] == []
