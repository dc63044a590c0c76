"""Write docs/support.md: what works with which family, as the tests found it.

    python tools/support.py

runs the suites whose tests are rows of the tables, and writes what passed and why the rest was
skipped. A failed test is an error, and nothing is written then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.families import FAMILIES  # noqa: E402 - the folder of the tests is found now
from tests.support.features import Outcomes, tables  # noqa: E402

PAGE = ROOT / "docs" / "support.md"
OUTCOMES = ROOT / "docs" / "support.json"
SUITES = ("test_families.py", "test_variants.py", "test_family_samplers.py")

HEAD = """# What works with which family

Written by `python tools/support.py` from the tests that it ran: each "yes" is a test that passed,
on a tiny pipeline of the family with random weights, and each "no" has its reason below. Where a
test compares images, the oracle is the family's own pipeline in diffusers. Where a scheduler's cell
is empty, it is for models that predict something else, and refused by name.

"""


def run() -> Outcomes:
    """Run the suites, in the order of their tests. Return the outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        suites = [str(ROOT / "tests" / "models" / one) for one in SUITES]
        # In one process, so that rows come in the order of the tests.
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *suites]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "SUPPORT": str(path)}, check=True)
        found: Outcomes = json.loads(path.read_text())
        return found


def page(outcomes: Outcomes) -> str:
    """Return the page of outcomes."""
    return HEAD + "\n".join(tables(outcomes, map(str, FAMILIES))) + "\n"


def main() -> None:
    """Run the suites and write the page."""
    outcomes = run()
    OUTCOMES.write_text(json.dumps(outcomes, indent=1) + "\n")
    PAGE.write_text(page(outcomes))


if __name__ == "__main__":
    main()
