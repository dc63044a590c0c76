"""Short texts and HTML tables of values, for consoles and notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import attrs


def call_text(value: Any) -> str:
    """Return the call that makes an attrs value, without arguments that are the defaults.

    >>> call_text(Concept(name="hat", prompt="hat", scale=7, inverted=False))
    "Concept(name='hat', prompt='hat', scale=7.0)"
    """
    kind = type(value)
    given = (
        f"{field.name}={found!r}"
        for field in attrs.fields(kind)
        if (found := getattr(value, field.name)) != field.default
    )
    return f"{kind.__name__}({', '.join(given)})"


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table; columns that are empty in every row are left out.

    Args:
        columns: the header of each column.
        rows: the texts of each row, one per column.
        caption: the text below, "" for none.
    """
    body = [*rows]
    used = [at for at in range(len(columns)) if any(row[at] for row in body)]

    def line(tag: str, cells: Sequence[str]) -> str:
        shown = (f'<{tag} style="text-align: left">{html.escape(cells[at])}</{tag}>' for at in used)
        return f"<tr>{''.join(shown)}</tr>"

    below = ""
    if caption:
        style = 'style="caption-side: bottom; text-align: left"'
        below = f"<caption {style}>{html.escape(caption)}</caption>"
    lines = "".join(line("td", row) for row in body)
    return f"<table>{below}<thead>{line('th', columns)}</thead><tbody>{lines}</tbody></table>"
