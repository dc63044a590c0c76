"""Make the pictures of the demo in examples/: its sheet, and sliders as they move.

    make .venv/installed && .venv/bin/python tools/demo_pictures.py

Takes two minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sega_session import load_avatars
from sega_session.cli.demo import demo_sheet, run_demo
from sega_session.models import recommended_or_published

EXAMPLES = Path(__file__).parent.parent / "examples"


def main() -> None:
    """Write demo.png and slider.webp."""
    pipeline = load_avatars()
    pipeline.set_progress_bar_config(disable=True)
    write_sheet(pipeline)


def write_sheet(pipeline: Any) -> None:
    """Write the sheet of `sega-session demo`."""
    settings = recommended_or_published(pipeline)
    rows = [*run_demo(pipeline, settings.prompt, settings, lambda done, total: None)]
    demo_sheet(rows).save(EXAMPLES / "demo.png", optimize=True)


if __name__ == "__main__":
    main()
