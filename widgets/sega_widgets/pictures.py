"""The picture, or a batch of them, with a word on how it was made."""

from __future__ import annotations

import threading
from io import BytesIO
from typing import cast

import PIL.Image
from ipywidgets import Box, Button, HBox, Image, Label, Layout, ToggleButton, VBox

from sega_session import EditSession, Render
from sega_session.provenance import png_text

from .compare import CompareView
from .guard import Guard
from .png import blank, encode, title

LARGE = 512
"""Pixels that a picture is shown in at least, where there is room."""


class PictureView(VBox):
    """Shows what was drawn last. Several seeds are a grid, of which one can be enlarged.

    Args:
        session: what is drawn.
        guard: shared by the parts of a panel.
    """

    def __init__(self, session: EditSession, guard: Guard) -> None:
        self._session = session
        self._guard = guard
        # Held while a picture is put up: they come from the thread that draws.
        self._lock = threading.Lock()
        self._render: Render | None = None
        self._chosen: int | None = None if len(session.scene.seeds) > 1 else 0
        size = session.scene.width, session.scene.height
        nothing = blank(*size)
        self._pngs = [nothing] * len(session.scene.seeds)
        self._unedited = self._pngs
        self.caption = Label("Nothing is drawn yet.")
        room = {"width": "100%", "max_width": f"{max(LARGE, size[0])}px"}
        self.large = Image(value=nothing, format="png", layout=Layout(**room))
        self.compared = CompareView(
            before=nothing, after=nothing, before_label="unedited", layout=Layout(**room)
        )
        self.cells = tuple(Image(value=nothing, format="png") for _ in self._pngs)
        self.enlarge = tuple(self._enlarge(number) for number in range(len(self._pngs)))
        self._grid = Box(
            [VBox(pair) for pair in zip(self.cells, self.enlarge, strict=True)],
            layout=Layout(
                display="grid", grid_template_columns="repeat(auto-fill, minmax(10em, 1fr))"
            ),
        )
        self.all_seeds = Button(description="All seeds", tooltip="Back to the pictures of all")
        self.all_seeds.on_click(lambda _: guard.act(lambda: self._choose(None)))
        self.compare = ToggleButton(
            description="Compare",
            tooltip="Compare with the unedited picture, as soon as that was drawn exactly",
            disabled=True,
        )
        self.compare.observe(lambda _: guard.act(self._arrange), "value")
        super().__init__(
            [
                self.caption,
                self.large,
                self.compared,
                self._grid,
                HBox([self.compare, self.all_seeds]),
            ]
        )
        self._arrange()

    @property
    def render(self) -> Render | None:
        """What was drawn last."""
        return self._render

    def show(self, render: Render) -> None:
        """Put up a picture, from any thread."""
        pngs = [encode(image) for image in render.images]
        with self._lock:
            self._render, self._pngs = render, pngs
            if render.exact and render.state == self._session.history[0].state:
                self._unedited = pngs
                self.compare.disabled = False
            self._fill()
        self.refresh()

    def refresh(self) -> None:
        """Say how the picture was made, and whether the session has gone on since."""
        render = self._render
        if render is None:
            return
        words = [title(render)]
        if len(self.cells) > 1 and self._chosen is not None:
            words.insert(0, f"seed {self._session.scene.seeds[self._chosen]}")
        if render.state != self._session.state:
            words.append("of a state before")
        self.caption.value = " · ".join(words)

    def png(self) -> bytes | None:
        """What is shown, as a PNG file that says what made it; of a grid the first picture."""
        render = self._render
        if render is None:
            return None
        number = self._chosen or 0
        file, image = BytesIO(), cast(PIL.Image.Image, render.images[number])
        text = png_text(render.provenance(), number)
        image.save(file, "PNG", pnginfo=text)
        return file.getvalue()

    def _enlarge(self, number: int) -> Button:
        seed = self._session.scene.seeds[number]
        button = Button(
            description=f"Seed {seed}",
            tooltip=f"Enlarge the picture of seed {seed}",
            layout=Layout(width="100%"),
        )
        button.on_click(lambda _: self._guard.act(lambda: self._choose(number)))
        return button

    def _choose(self, number: int | None) -> None:
        self._chosen = number
        self._arrange()
        self.refresh()

    def _arrange(self) -> None:
        """Show the comparison, the grid or one picture."""
        shown = self._shown()
        for view, display in ((self.compared, ""), (self._grid, "grid"), (self.large, "")):
            view.layout.display = display if view is shown else "none"
        several = len(self.cells) > 1
        self.all_seeds.layout.display = "" if several and shown is not self._grid else "none"
        with self._lock:
            self._fill()

    def _shown(self) -> object:
        if self.compare.value:
            return self.compared
        return self._grid if self._chosen is None else self.large

    def _fill(self) -> None:
        """Give what is shown its pictures, and nothing else: each is sent to the page."""
        shown, number = self._shown(), self._chosen or 0
        if shown is self._grid:
            for cell, png in zip(self.cells, self._pngs, strict=True):
                cell.value = png
        elif shown is self.compared:
            self.compared.before = self._unedited[number]
            self.compared.after = self._pngs[number]
            self.compared.after_label = "edited" if self._render is None else title(self._render)
        else:
            self.large.value = self._pngs[number]
