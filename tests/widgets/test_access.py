"""The JavaScript and CSS files, without a browser."""

from __future__ import annotations

import re

import pytest
from sega_widgets import CompareView
from sega_widgets import access as module
from sega_widgets.access import STATIC, Access

CLASSES = {module.PANEL, module.CHOICE, module.IMAGE, module.CAPTION, module.FORM}


@pytest.mark.parametrize("name", ["access.js", "access.css"])
def test_the_files_use_the_classes_that_the_widgets_set(name: str) -> None:
    used = set(re.findall(r"\.(sega-[a-z]+)", (STATIC / name).read_text(encoding="utf-8")))
    assert used <= CLASSES
    if name == "access.js":
        assert used == CLASSES


@pytest.mark.parametrize(
    ("widget", "name"), [(lambda: Access(print), "access"), (CompareView, "compare")]
)
def test_a_page_gets_the_files(widget: type, name: str) -> None:
    state = widget().get_state()
    assert state["_esm"] == (STATIC / f"{name}.js").read_text(encoding="utf-8")
    assert state["_css"] == (STATIC / f"{name}.css").read_text(encoding="utf-8")
