"""Controls that save, load and export a session."""

from __future__ import annotations

import base64
import html
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
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        *,
        save: Callable[[Path], str],
        load: Callable[[Path], None],
        png: Callable[[], bytes | None],
    ) -> None:
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

    def _path(self) -> Path:
        name = self.file.value.strip()
        if not Path(name).name:
            raise InvalidValueError("File", name, "the name of a file")
        return Path(name)

    def _export(self) -> None:
        path = self._path().with_suffix(".json")
        self._session.script().save(path)
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
