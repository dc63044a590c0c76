"""The pages of docs/ are complete. `make docs` checks their links."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
import sega_widgets

import sega_session
from sega_session import errors
from sega_session.cli.main import app
from sega_session.models import DiffusionModel, Recommended
from sega_session.scripts.schema import script_schema
from tests.support.markdown import DOCS, ROOT

DOCUMENTED = re.compile(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)(?:\(.*)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def pages() -> Any:
    spec = importlib.util.spec_from_file_location("pages", DOCS / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented(pages: str) -> set[str]:
    """Return the names that pages document."""
    return {name for path in DOCS.glob(pages) for name in DOCUMENTED.findall(path.read_text())}


def test_every_public_name_is_in_the_reference() -> None:
    package: Any = sega_session
    public = {f"sega_session.{name}" for name in package.__all__ if not name.startswith("_")}
    widgets: Any = sega_widgets
    public |= {f"sega_widgets.{name}" for name in widgets.__all__}
    assert public - documented("api*.md") - documented("errors.md") == set()


def test_every_error_says_what_to_do() -> None:
    text = (DOCS / "errors.md").read_text()
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    sections = dict(re.findall(r"^##+ (\w+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))
    bases = {"SegaSessionError", "SegaSessionWarning"}
    assert {name for name, body in sections.items() if "**What to do.**" in body} == kinds - bases
    assert {f"sega_session.{name}" for name in kinds} == documented("errors.md")


def test_the_commands_are_those_of_the_program(pages: Any) -> None:
    text = pages.commands()
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert re.search(rf"^#+ .*\b{name}\b", text, re.MULTILINE), name
    assert "--max-evaluations" in text
    assert re.search(r"^sega-session info .*FILE$", text, re.MULTILINE)


def test_the_script_page_has_every_class_and_key(pages: Any) -> None:
    text = pages.script()
    for name, kind in script_schema()["$defs"].items():
        title = kind["properties"].get("op", {"const": name})["const"]
        (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert kind["description"] in section
        assert re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE) == [*kind["properties"]]
    assert "| `scale` | number | `5.0` |" in text


def test_signatures_are_those_of_the_fields(pages: Any) -> None:
    def signature(value: object, what: str = "class", given: str = "(given)") -> Any:
        return pages.plain_signature(None, what, "", value, None, given, None)

    assert signature(sega_session.Limits)[0] == (
        "(*, operations: int = 1000, evaluations: int = 100000, pixels: int = 16777216, "
        "seeds: int = 64)"
    )
    assert signature(Recommended)[0].endswith("opposites: Mapping[str, Preset] = ...)")
    assert signature(errors.InvalidValueError, "exception") == ("", "")
    assert signature(sega_session.EditSession) is None
    anything = "(*args: t.Any, **kwargs: t.Any)"
    assert signature(sega_widgets.EditPanel, given=anything)[0].startswith("(session: ")
    assert signature(DiffusionModel, given=anything)[0] == "()"


@pytest.mark.parametrize(
    ("page", "text", "found"),
    [
        ("edits.md", "[x](../FORMAT.md#sizes)", "[x](file-format.md#sizes)"),
        ("edits.md", "[x](../benchmarks/NOTES.md)", "[x](numbers/notes.md)"),
        ("edits.md", "[x](masks.md)", "[x](masks.md)"),
        ("edits.md", "[x](missing.md) [x](https://a.b/c.md) [x](#y)", None),
        ("numbers/notes.md", "[x](results/fidelity.md)", "[x](fidelity.md)"),
        ("numbers/masks.md", "![x](masks.png)", "![x](../../benchmarks/results/masks.png)"),
        ("contributing.md", "[x](docs/architecture.md)", "[x](architecture.md)"),
    ],
)
def test_links_lead_to_pages(pages: Any, page: str, text: str, found: str | None) -> None:
    assert pages.with_links(text, DOCS / page) == (text if found is None else found)


def test_the_copies_are_not_committed(pages: Any) -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for page in pages.COPIED:
        kept = page if page.parent == DOCS else page.parent
        assert f"/{kept.relative_to(ROOT)}" in [line.rstrip("/") for line in ignored]


def test_every_picture_is_shown() -> None:
    named = re.findall(r"images/([\w.-]+)\.webp", (DOCS / "sega.md").read_text())
    assert {f"{name}.webp" for name in named} == {
        path.name for path in (DOCS / "images").glob("*.webp")
    }
