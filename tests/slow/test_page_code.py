"""Run the code of README.md and of docs/ in the order of each page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import DOCS, EVALUATORS, README, parse_page, run_page

COPIES = ("changelog.md", "contributing.md", "file-format.md")
"""Pages that docs/pages.py copies there."""

OTHERS = ("speed.md", "studio.md")
"""Pages whose code test_speed_page.py and test_studio_page.py run."""

PAGES = [README, *(path for path in sorted(DOCS.glob("*.md")) if path.name not in COPIES)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in OTHERS], ids=lambda page: page.name
)
@pytest.mark.filterwarnings("default")
def test_the_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(parse_page(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_marked(page: Path) -> None:
    """A block has a language that is run or checked, and one that is left out says why."""
    text = page.read_text()
    languages = re.findall(r"^ *```(.*)$", text, flags=re.MULTILINE)[::2]
    assert {one for one in languages if not one.startswith("{")} <= EVALUATORS.keys()
    assert "<!-- skip: next -->" not in text
