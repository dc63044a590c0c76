"""The pages of the site that other files hold or code describes, and the links to them.

Sphinx reads only files in docs/. So that nothing is written twice, `copy_pages` copies pages that
belong elsewhere, and `finish_page` fills in what is generated. In all pages links are relative to
the files as they lie in the project, and are led to the site's pages here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from cyclopts.docs.markdown import generate_markdown_docs
from sphinx.application import Sphinx
from sphinx.util import inspect
from sphinx.util.inspect import stringify_signature

from sega_session.cli.main import app as command
from sega_session.scripts.schema import script_schema

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

COPIED: Mapping[Path, Path] = {
    DOCS / page: ROOT / source
    for page, source in {
        "changelog.md": "CHANGELOG.md",
        "contributing.md": "CONTRIBUTING.md",
        "file-format.md": "FORMAT.md",
        "numbers/avatars-model-card.md": "sega_session/avatars/checkpoint/README.md",
        "numbers/avatars-claims.md": "tools/avatars/CLAIMS.md",
        "numbers/avatars-results.md": "tools/avatars/RESULTS.md",
        "numbers/avatars-training.md": "tools/avatars/README.md",
        "numbers/notes.md": "benchmarks/NOTES.md",
        **{
            f"numbers/{path.name}": f"benchmarks/results/{path.name}"
            for path in sorted((ROOT / "benchmarks" / "results").glob("*.md"))
        },
        **{
            f"tutorials/{path.name}": f"examples/{path.name}"
            for path in sorted((ROOT / "examples").glob("*.ipynb"))
        },
    }.items()
}
"""The pages that are copied, and the files that they are copied from."""

PAGES = {source: page for page, source in COPIED.items()}

LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")
"""The target of a link or an image that is no address, without the anchor."""

VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

PLACEHOLDER = re.compile(r"<!-- generated: (\w+) -->")


def copy_pages() -> None:
    """Copy the pages that belong elsewhere, where they have changed, and remove old copies."""
    for folder in {page.parent for page in COPIED} - {DOCS}:
        for path in folder.glob("*"):
            if path not in COPIED:
                path.unlink()
    for page, source in COPIED.items():
        content = source.read_bytes()
        if not page.exists() or page.read_bytes() != content:
            page.parent.mkdir(exist_ok=True)
            page.write_bytes(content)


def finish_page(app: Sphinx, name: str, content: list[str]) -> None:
    """Fill in what a page has from code, and lead its links to the site's pages."""
    page = Path(app.env.doc2path(name))
    filled = PLACEHOLDER.sub(lambda found: GENERATED[found[1]](), content[0])
    content[0] = with_links(filled, page)


def with_links(text: str, page: Path) -> str:
    """Return a page's text with its links to files of the project made relative to the page.

    A link to a file that is not there stays as it is, and Sphinx reports it.

    Args:
        text: Markdown, or the JSON of a notebook.
        page: the page's path.
    """
    folder = COPIED.get(page, page).parent

    def lead(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[1]))
        if not target.exists():
            return link[1]
        return Path(os.path.relpath(PAGES.get(target, target), page.parent)).as_posix()

    return LINK.sub(lead, text)


def plain_signature(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str] | None:
    """Return the arguments of a class as they are shown; None: as Sphinx shows them.

    Errors and warnings are raised by this package only, so theirs are left out. Those of an attrs
    class are its fields, with the types that their converters return. Widgets and protocols are
    made by a function that takes anything; what they need is in ``__init__``.
    """
    if what == "exception" and signature:
        return "", ""
    if what == "class" and attrs.has(value):
        return f"({', '.join(_arguments(attrs.fields(value)))})", ""
    if what == "class" and signature is not None and signature.startswith("(*args"):
        return _of_init(value), ""
    return None


def _of_init(kind: Any) -> str:
    """Return the arguments of a class that it names itself."""
    own = inspect.signature(kind.__init__, bound_method=True)
    named = [one for one in own.parameters.values() if one.kind not in VARIADIC]
    own = own.replace(parameters=named, return_annotation=own.empty)
    return stringify_signature(own, unqualified_typehints=True)


def _arguments(fields: Iterable[attrs.Attribute[Any]]) -> Iterator[str]:
    """Yield the arguments of an attrs class."""
    by_name = False
    for one in fields:
        if one.kw_only and not by_name:
            by_name = True
            yield "*"
        default = ""
        if one.default is not attrs.NOTHING:
            made = isinstance(one.default, attrs.Factory)  # type: ignore[arg-type]
            default = " = ..." if made else f" = {one.default!r}"
        yield f"{one.alias}: {one.type}{default}"


def commands() -> str:
    """Return the reference of the command: its own help, as Markdown."""
    # Cyclopts takes the program that runs now for the command.
    with mock.patch.object(sys, "argv", [command.name[0]]):
        return generate_markdown_docs(
            command, generate_toc=False, no_root_title=True, heading_level=2
        )


def script() -> str:
    """Return the keys of a script and of its operations, from the JSON Schema."""
    kinds = script_schema()["$defs"]
    operations = kinds["Script"]["properties"]["operations"]["items"]["anyOf"]
    scene = ("Script", "ScriptScene", "ScriptPhotograph")
    names = [*scene, *map(_name, operations)]
    names += [name for name in kinds if name not in names]
    titles = {name: _title(name, kinds[name]) for name in names}
    parts = []
    for name in names:
        parts += [f"## {titles[name]}", kinds[name]["description"], _table(kinds[name], titles)]
    return "\n\n".join(parts)


def _title(name: str, kind: Mapping[str, Any]) -> str:
    """Return the name of an operation, or of another class."""
    title: str = kind["properties"].get("op", {"const": name})["const"]
    return title


def _table(kind: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the table of an object's keys."""
    rows = []
    for key, value in kind["properties"].items():
        default = f"`{json.dumps(value['default'])}`" if "default" in value else ""
        default = "required" if key in kind["required"] else default
        rows.append(f"| `{key}` | {_values(value, titles)} | {default} |")
    return "\n".join(["| key | value | default |", "| --- | --- | --- |", *rows])


def _values(schema: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the values that a schema allows, in words."""
    match schema:
        case {"$ref": _}:
            title = titles[_name(schema)]
            found = f"[{title}](#{title.lower()})"
        case {"anyOf": kinds}:
            found = ", ".join(_values(one, titles) for one in kinds)
        case {"enum": values}:
            found = ", ".join(f"`{json.dumps(one)}`" for one in values)
        case {"const": value}:
            found = f"`{json.dumps(value)}`"
        case {"items": kind}:
            found = f"list of {_values(kind, titles)}"
        case {"type": kind}:
            found = kind if isinstance(kind, str) else " or ".join(kind)
    return found


def _name(reference: Mapping[str, str]) -> str:
    """Return the name of the class that a schema refers to."""
    return reference["$ref"].rpartition("/")[2]


GENERATED: Mapping[str, Callable[[], str]] = {"commands": commands, "script": script}
"""What takes the place of ``<!-- generated: name -->``."""
