"""The output of commands: lines, progress, and files that are not overwritten by accident."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from .. import files
from ..errors import ModelMismatchError, SegaSessionError, SessionFileError, printable

FAILED, INTERRUPTED = 1, 130
"""Exit codes; the second is that with which shells report a command that Ctrl+C ended."""

Force = Annotated[bool, Parameter(help="Overwrite files that are there already.", negative="")]


def say(console: Console, text: str) -> None:
    """Print one line, whatever characters are in it; a narrow terminal may wrap it."""
    console.print(Text(printable(text)), soft_wrap=True)


def make_folder(folder: Path) -> None:
    """Create a folder unless it is there. Raises SessionFileError."""
    try:
        files.make_folder(folder)
    except SessionFileError as error:
        if isinstance(error.__cause__, FileExistsError | NotADirectoryError):
            raise SessionFileError(
                f"{str(folder)!r} cannot be created: a file is in its place. Choose another folder."
            ) from None
        raise


def check_targets(targets: Iterable[Path], *, force: bool) -> None:
    """Raise SegaSessionError unless files can be written, before the work for them begins.

    Args:
        targets: the files.
        force: overwrite files that are there already.
    """
    for target in targets:
        shown = repr(str(target))
        if not target.parent.is_dir():
            raise SessionFileError(f"{shown} has no folder to be in. Create the folder first.")
        if target.exists() and not target.is_file():
            raise SessionFileError(f"{shown} is no file. Choose another --out.")
        if os.path.lexists(target) and not force:
            raise SessionFileError(
                f"{shown} is there already. Choose another --out, or overwrite it with --force."
            )
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise SessionFileError(f"{shown} may not be written. Change the permissions.")


@contextmanager
def about(file: Path) -> Iterator[None]:
    """Raise errors about a file with its name, and in the words of commands.

    Raises: what the block raises, or SegaSessionError instead.
    """
    try:
        yield
    except ModelMismatchError as error:
        raise SegaSessionError(
            f"{file}: {error.found} Give that checkpoint as --model, and its precision as --dtype."
        ) from error
    except SegaSessionError as error:
        if str(error).startswith((f"{file}: ", f"{file} ", repr(str(file)))):
            raise
        raise SegaSessionError(f"{file}: {error}") from error


@contextmanager
def progress(console: Console, what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on terminals; elsewhere callers print a line for each image instead.

    Yields:
        The function to call with the number of units done, and with their total.
    """
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with Progress(*columns, console=console, transient=True) as bar:
        # Shown from the first unit on: most files need no inversion, and some renders no call.
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
