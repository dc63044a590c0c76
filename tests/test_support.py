"""docs/support.md is what the tests found, and lists all of them."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

from tests.models import test_families, test_family_samplers, test_variants
from tests.support.families import FAMILIES
from tests.support.features import Outcomes

ROOT = Path(__file__).parents[1]

SPEC = importlib.util.spec_from_file_location("support", ROOT / "tools" / "support.py")


def outcomes() -> Outcomes:
    found: Outcomes = json.loads((ROOT / "docs" / "support.json").read_text())
    return found


def test_the_page_is_written_from_the_outcomes() -> None:
    assert SPEC is not None
    assert SPEC.loader is not None
    support: Any = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(support)
    assert (ROOT / "docs" / "support.md").read_text() == support.page(outcomes())


def test_every_row_was_run_and_none_failed() -> None:
    found = outcomes()
    families = [str(one) for one in FAMILIES]
    tests = [one for _, one in inspect.getmembers(test_families, inspect.isfunction)]
    marks = [mark for one in tests for mark in getattr(one, "pytestmark", ())]
    rows = {str(mark.args[1]) for mark in marks if mark.name == "feature"}
    for table, expected in (("a session", rows), ("a pipeline", {*test_variants.VARIANTS})):
        cells = {row: [*outcomes] for row, outcomes in found[table].items()}
        assert cells == dict.fromkeys(expected, families)
    cases = {(one.values[1], str(one.values[0])) for one in test_family_samplers.CASES}
    assert {(row, one) for row, cells in found["a scheduler"].items() for one in cells} == cases
    assert "failed" not in json.dumps(found)
