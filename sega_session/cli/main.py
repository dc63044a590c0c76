"""The application: its commands, and its errors. Exit codes: 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import sys

from cyclopts import App
from rich.console import Console
from rich.markup import escape

from ..errors import SegaSessionError
from . import demo, files, jupyter

app = App(
    name="sega-session",
    help="Edit images along concepts, and keep what was computed.",
    help_epilogue="An error is one line; with --debug it is a traceback.",
)
app.command(demo.demo)
app.command(files.run)
app.command(files.info)
app.command(files.render)
app.command(files.export_script)
app.command(jupyter.lab)
app.command(jupyter.app, validator=jupyter.check_scene_or_file)


def main() -> None:
    """Run the command; print an error as one line on stderr, with --debug as a traceback."""
    arguments = [one for one in sys.argv[1:] if one != "--debug"]
    try:
        app(arguments)
    except (SegaSessionError, OSError) as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
