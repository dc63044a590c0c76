"""Run the code of README.md and of docs/ in the order of each page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import DOCS, EVALUATORS, README, parse_page, run_page

OTHERS = ("speed.md", "studio.md")
"""Pages whose code test_speed_page.py and test_studio_page.py run."""

OWN = [path for path in sorted(DOCS.glob("*.md")) if "generated" not in path.parts]
COPIES = {"changelog.md", "contributing.md", "file-format.md"}
PAGES = [README, *(path for path in OWN if path.name not in {*OTHERS, *COPIES})]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.filterwarnings("default")
def test_the_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(parse_page(page))


@pytest.mark.parametrize("page", [README, *OWN], ids=lambda page: page.name)
def test_every_block_is_run_or_marked(page: Path) -> None:
    """Blocks without a language, and those in a language that no test runs, have no place."""
    text = page.read_text()
    opened = re.findall(r"^ *```(.*)$", text, flags=re.MULTILINE)[::2]
    if page.name not in COPIES:
        assert {one for one in opened if not one.startswith("{")} <= EVALUATORS.keys()
    assert "<!-- skip: next -->" not in text  # without a reason
