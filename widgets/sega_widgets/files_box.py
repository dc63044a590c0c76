"""What goes into files, and comes from them."""

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
    """Save, load, export the script, download the picture.

    Args:
        session: what is saved.
        guard: shared by the parts of a panel.
        save: writes the session while nothing is drawn; returns what to say of it.
        load: goes on with a file.
        png: the picture as a PNG file, or None where there is none.
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
            tooltip="Where to save to and load from, on the machine of the kernel",
            layout=Layout(width="auto", max_width="30em"),
        )
        small = Layout(width="auto")
        self.save = Button(
            description="Save", tooltip="Save the session: history and cache", layout=small
        )
        self.load = Button(
            description="Load", tooltip="Go on with the file's session", layout=small
        )
        self.script = Button(
            description="Export script",
            tooltip="Write the history as JSON beside the file: it makes the same history again",
            layout=small,
        )
        self.download = Button(
            description="Download PNG",
            tooltip="Make a link to the picture, with what made it",
            layout=small,
        )
        self.link = HTML()
        self.save.on_click(
            lambda _: guard.act(lambda: guard.messages.note(f"Saved: {save(self._path())}"))
        )
        self.load.on_click(lambda _: guard.act(lambda: load(self._path())))
        self.script.on_click(lambda _: guard.act(self._export))
        self.download.on_click(lambda _: guard.act(self._link))
        buttons = HBox(
            [self.save, self.load, self.script, self.download],
            layout=Layout(flex_flow="row wrap"),
        )
        super().__init__([self.file, buttons, self.link])

    def refresh(self) -> None:
        """Take back the link to a picture, after an edit."""
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

    def _link(self) -> None:
        png = self._png()
        if png is None:
            self._guard.messages.note("There is no picture yet.")
            return
        name = html.escape(f"{self._path().stem or 'picture'}.png")
        data = base64.b64encode(png).decode()
        self.link.value = (
            f'<a download="{name}" href="data:image/png;base64,{data}">Download {name}</a>'
            f" ({len(png) / 1000:.0f} kB)"
        )
