"""The application: its commands, and its errors. Exit codes: 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.text import Text

from ..errors import SegaSessionError, printable, redirect_warnings
from . import demo, files, jupyter


def _line(kind: str, text: object) -> Text:
    """Return an error or a warning as one line."""
    return Text.assemble((f"{kind}:", "red"), " ", printable(" ".join(str(text).split("\n"))))


def explain(error: Exception) -> str:
    """Return an error in words, without the system's number of it."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{str(error.filename)!r}: " if error.filename is not None else ""
        return f"{where}{error.strerror}."
    return str(error)


def _wrong_use(error: CycloptsError) -> Text:
    return _line("error", error)


app = App(
    name="sega-session",
    help="Edit images along concepts, and keep what was computed.",
    help_epilogue="An error is one line; with --debug it is a traceback.",
    error_formatter=_wrong_use,
    error_console=Console(stderr=True, soft_wrap=True),
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
    stderr = Console(stderr=True, soft_wrap=True)
    try:
        with redirect_warnings(lambda warning: stderr.print(_line("warning", warning))):
            app(arguments)
    except (SegaSessionError, OSError) as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        stderr.print(_line("error", explain(error)))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as shells report a command that Ctrl+C ended


if __name__ == "__main__":
    main()
