"""The keys of a panel, without a browser."""

from __future__ import annotations

import re

from sega_widgets import keys as module
from sega_widgets.front_end import STATIC
from sega_widgets.keys import SHORTCUTS, Keys

from .fakes import send


def test_a_key_is_a_step() -> None:
    steps: list[str] = []
    keys = Keys(steps.append)
    for name in ("undo", "redo", "save"):
        send(keys, {"kind": "step", "name": name})
    send(keys, {"kind": "of another version"})
    assert steps == ["undo", "redo", "save"]


def test_the_sheet_lists_what_it_is_given() -> None:
    assert Keys(print).shortcuts == {group: dict(keys) for group, keys in SHORTCUTS.items()}
    mine = {"Image": {"Larger": "+"}}
    assert Keys(print, mine).shortcuts == mine


def test_the_files_use_the_class_of_the_panel() -> None:
    for name in ("keys.js", "keys.css"):
        text = (STATIC / name).read_text(encoding="utf-8")
        assert re.findall(r"\.(sega-panel)\b", text) == [module.PANEL]
