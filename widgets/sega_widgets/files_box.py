"""Controls that save, load and export a session."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable
from pathlib import Path

from ipywidgets import HTML, Button, HBox, Layout, Text, VBox

from sega_session import EditSession
from sega_session.errors import InvalidValueError

from .guard import Guard


class FilesBox(VBox):
    """A file name, and buttons to save, load, export the script and download the image.

    Args:
        session: the session that is saved.
        guard: the guard of the panel.
        save: saves the session while nothing is rendered, and returns a summary.
        load: continues with the session in a file.
        png: returns the image as a PNG file, or None if there is none.
        folder: the folder that all files stay in; None: they may be anywhere.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        *,
        save: Callable[[Path], str],
        load: Callable[[Path], None],
        png: Callable[[], bytes | None],
        folder: Path | None = None,
    ) -> None:
        self._folder = folder
        # The script's file that was there, and that the next click replaces.
        self._replaced: Path | None = None
        self._session = session
        self._guard = guard
        self._png = png
        self.file = Text(
            value="session.safetensors",
            description="File",
            tooltip="The file to save to and load from, on the kernel's machine",
            layout=Layout(width="auto", max_width="30em"),
        )
        small = Layout(width="auto")
        self.save = Button(
            description="Save", tooltip="Save the session: history and cache", layout=small
        )
        self.load = Button(
            description="Load", tooltip="Continue with the file's session", layout=small
        )
        self.script = Button(
            description="Export script",
            tooltip="Write the history as JSON beside the file; running it repeats the history",
            layout=small,
        )
        self.download = Button(
            description="Download PNG",
            tooltip="Create a link to the image, with its scene and concepts as metadata",
            layout=small,
        )
        self.link = HTML()
        self.save.on_click(
            lambda _: guard.run(lambda: guard.messages.note(f"Saved: {save(self._path())}"))
        )
        self.load.on_click(lambda _: guard.run(lambda: load(self._path())))
        self.script.on_click(lambda _: guard.run(self._export))
        self.download.on_click(lambda _: guard.run(self._show_link))
        buttons = HBox(
            [self.save, self.load, self.script, self.download],
            layout=Layout(flex_flow="row wrap"),
        )
        super().__init__([self.file, buttons, self.link])

    def refresh(self) -> None:
        """Remove the link to the image, which is outdated after an edit."""
        self.link.value = ""
        self._replaced = None

    def _path(self) -> Path:
        """Return the path in the field. Raises InvalidValueError."""
        name = self.file.value.strip()
        if not Path(name).name:
            raise InvalidValueError("File", name, "the name of a file")
        if self._folder is not None and not _is_inside(self._folder / name, self._folder):
            raise InvalidValueError("File", name, f"a file in {self._folder}")
        return Path(name) if self._folder is None else self._folder / name

    def _export(self) -> None:
        """Write the script beside the session's file; one that is there, at the second click."""
        path = self._path()
        if path.suffix != ".safetensors":
            raise InvalidValueError(
                "File",
                self.file.value,
                "a name that ends in .safetensors",
                "The script gets .json.",
            )
        path = path.with_suffix(".json")
        if self._folder is not None and not _is_inside(path, self._folder):
            raise InvalidValueError("File", self.file.value, f"a file in {self._folder}")
        if os.path.lexists(path) and path != self._replaced:
            self._replaced = path
            self._guard.messages.note(f"{path} is there already. Export again to replace it.")
            return
        self._session.script().save(path)
        self._replaced = None
        self._guard.messages.note(f"Written: {path}")

    def _show_link(self) -> None:
        png = self._png()
        if png is None:
            self._guard.messages.note("There is no image yet.")
            return
        name = html.escape(f"{self._path().stem or 'image'}.png")
        data = base64.b64encode(png).decode()
        self.link.value = (
            f'<a download="{name}" href="data:image/png;base64,{data}">Download {name}</a>'
            f" ({len(png) / 1000:.0f} kB)"
        )


def _is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path leads down from a folder, with all links followed."""
    try:
        return folder.resolve() in path.resolve().parents
    except (OSError, RuntimeError, ValueError):  # links in a circle; a null character
        return False
