"""The application: its commands, and its errors. Exit codes: 0 done, 1 failed, 2 wrong use."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError
from rich import get_console
from rich.console import Console
from rich.text import Text

from ..errors import (
    IncompleteWarning,
    SegaSessionError,
    SegaSessionWarning,
    printable,
    redirect_warnings,
)
from . import contents, demo, files, images, jupyter, sweep
from .output import FAILED, INTERRUPTED
from .words import in_words

FLAGS = {"--debug", "--quiet"}
"""The options of every command."""


def _line(kind: str, text: object) -> Text:
    """Return an error or a warning as one line."""
    return Text.assemble((f"{kind}:", "red"), " ", printable(" ".join(str(text).split("\n"))))


def explain(error: Exception) -> str:
    """Return an error in words, without the system's number of it."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{str(error.filename)!r}: " if error.filename is not None else ""
        return f"{where}{error.strerror}."
    return in_words(str(error))


def _wrong_use(error: CycloptsError) -> Text:
    return _line("error", error)


app = App(
    name="sega-session",
    help="Edit images along concepts, and keep what was computed.",
    help_epilogue="With --quiet, only errors are printed, and what was asked for. An error is one "
    "line; with --debug it is a traceback.",
    error_formatter=_wrong_use,
    error_console=Console(stderr=True, soft_wrap=True),
)
app.command(demo.demo)
app.command(images.edit, validator=images.check_source)
app.command(images.render)
app.command(images.grid, validator=images.check_source)
app.command(sweep.sweep)
app.command(files.run)
app.command(contents.info)
app.command(files.export_script)
app.command(jupyter.lab)
app.command(jupyter.app, validator=jupyter.check_scene_or_file)
app.register_install_completion_command()


def main() -> None:
    """Run the command; print an error as one line on stderr, with --debug as a traceback."""
    flags = FLAGS.intersection(sys.argv[1:])
    arguments = [one for one in sys.argv[1:] if one not in flags]
    quiet = "--quiet" in flags
    get_console().quiet = quiet
    stderr = Console(stderr=True, soft_wrap=True)
    said: set[str] = set()

    def warn(warning: SegaSessionWarning) -> None:
        text = in_words(str(warning))
        # What is missing is said in any case. Each image of many may give the same warning.
        if text not in said and (not quiet or isinstance(warning, IncompleteWarning)):
            said.add(text)
            stderr.print(_line("warning", text))

    try:
        with redirect_warnings(warn):
            app(arguments)
    except (SegaSessionError, OSError) as error:
        if "--debug" in flags:
            raise
        stderr.print(_line("error", explain(error)))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
