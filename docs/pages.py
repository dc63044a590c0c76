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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
EXAMPLES = ROOT / "examples"

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
            for path in sorted(EXAMPLES.glob("*.ipynb"))
        },
    }.items()
}
"""The pages that are copied, and the files that they are copied from."""

PAGES = {source: page for page, source in COPIED.items()}

LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")
"""The target of a link or an image that is no address, without the anchor."""

PLACEHOLDER = re.compile(r"<!-- generated: (\w+) -->")


def copy_pages() -> None:
    """Copy the pages that belong elsewhere, where they have changed."""
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


def hide_signature(
    app: Sphinx,
    what: str,
    name: str,
    value: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str] | None:
    """Leave out the arguments of errors and warnings, which only this package raises."""
    return ("", "") if what == "exception" and signature else None


def commands() -> str:
    """Return the reference of the command: its own help, as Markdown."""
    from cyclopts.docs.markdown import generate_markdown_docs

    from sega_session.cli.main import app

    # Cyclopts takes the program that runs now for the command.
    with mock.patch.object(sys, "argv", [app.name[0]]):
        return generate_markdown_docs(app, generate_toc=False, no_root_title=True, heading_level=2)


def script() -> str:
    """Return the keys of a script and of its operations, from the JSON Schema."""
    from sega_session.scripts.schema import script_schema

    kinds = script_schema()["$defs"]
    operations = kinds["Script"]["properties"]["operations"]["items"]["anyOf"]
    parts = ["## The document", *_keys(kinds.pop("Script"))]
    parts += ["## The scene", *_keys(kinds.pop("ScriptScene"))]
    parts += ["### ScriptPhotograph", *_keys(kinds.pop("ScriptPhotograph")), "## Operations"]
    for one in operations:
        kind = kinds.pop(_name(one))
        parts += [f"### {kind['properties'].pop('op')['const']}", *_keys(kind)]
    parts.append("## Other values")
    for name, kind in kinds.items():
        parts += [f"### {name}", *_keys(kind)]
    return "\n\n".join(parts)


def _keys(kind: Mapping[str, Any]) -> list[str]:
    """Return the description of an object, and the table of its keys."""
    rows = [
        f"| `{key}` | {_value(value)} | {_default(key, value, kind['required'])} |"
        for key, value in kind["properties"].items()
    ]
    if not rows:
        return [kind["description"]]
    return [kind["description"], "\n".join(["| key | value | default |", "| --- | --- | --- |", *rows])]


def _value(schema: Mapping[str, Any]) -> str:
    """Return the values that a schema allows, in words."""
    match schema:
        case {"$ref": _}:
            name = _name(schema)
            return "the scene below" if name == "ScriptScene" else f"[{name}](#{name.lower()})"
        case {"anyOf": members}:
            if len(members) > 5:
                return "operations"
            return " or ".join(map(_value, members))
        case {"enum": values}:
            return ", ".join(f'`"{one}"`' for one in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "items": items}:
            found = _value(items)
            return "a list of operations" if found == "operations" else f"a list: {found}"
        case {"type": "object"}:
            return "an object"
        case {"type": kinds}:
            return " or ".join([kinds] if isinstance(kinds, str) else kinds)
    return "any"


def _default(key: str, schema: Mapping[str, Any], required: list[str]) -> str:
    if key in required:
        return "required"
    if "default" not in schema:
        return ""
    return f"`{json.dumps(schema['default'])}`"


def _name(reference: Mapping[str, str]) -> str:
    """Return the name of the class that a schema refers to."""
    return reference["$ref"].rpartition("/")[2]


GENERATED: Mapping[str, Callable[[], str]] = {"commands": commands, "script": script}
"""What takes the place of ``<!-- generated: name -->``."""
