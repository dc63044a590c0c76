"""The picture, or a batch of them, with a word on how it was made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, cast

import PIL.Image
from ipywidgets import Box, Button, HBox, Image, Layout, ToggleButtons, VBox

from sega_session import EditSession, Render
from sega_session.errors import InvalidValueError
from sega_session.saving.png import png_text

from .access import CHOICE, IMAGE
from .choice import ConceptChoice
from .compare import CompareView
from .guard import Guard
from .messages import Caption
from .png import blank, described, encode, heated, title

LARGE = 512
"""Pixels that a picture is shown in at least, where there is room."""

LOOKS = {
    "Picture": "The picture alone",
    "Compare": "The picture over the unedited one, and a handle between them",
    "Where": "Where one concept acts: the strength of its recorded guidance",
}


class PictureView(VBox):
    """Shows what was drawn last: alone, over the unedited picture, or with a concept's heat map.

    Several seeds are a grid, of which one can be enlarged.

    Args:
        session: what is drawn.
        guard: shared by the parts of a panel.
        redraw: called to have the current state drawn once more, from what is recorded.
        colour: of a concept, by its name.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        *,
        redraw: Callable[[], object],
        colour: Callable[[str], str],
    ) -> None:
        self._session = session
        self._guard = guard
        self._redraw = redraw
        self._colour = colour
        # Held while a picture is put up: they come from the thread that draws.
        self._lock = threading.Lock()
        self._render: Render | None = None
        self._chosen: int | None = None if len(session.scene.seeds) > 1 else 0
        size = session.scene.width, session.scene.height
        nothing = [blank(*size)] * len(session.scene.seeds)
        self._pngs = nothing
        # With the concept that they are of.
        self._heats: tuple[str, list[bytes]] | None = None
        self._unedited: list[bytes] | None = None
        self.caption = Caption("Nothing is drawn yet.")
        room = {"width": "100%", "max_width": f"{max(LARGE, size[0])}px"}
        self.large = Image(value=nothing[0], format="png", layout=Layout(**room))
        self.compared = CompareView(
            before=nothing[0], after=nothing[0], before_label="unedited", layout=Layout(**room)
        )
        self.cells = tuple(Image(value=one, format="png") for one in nothing)
        self.enlarge = tuple(self._enlarge(number) for number in range(len(nothing)))
        self._grid = Box(
            [VBox(pair) for pair in zip(self.cells, self.enlarge, strict=True)],
            layout=Layout(
                display="grid",
                grid_template_columns="repeat(auto-fill, minmax(10em, 1fr))",
                grid_gap="6px",
            ),
        )
        for cell in self._grid.children:
            cell.add_class(CHOICE)
        self.all_seeds = Button(description="All seeds", tooltip="Back to the pictures of all")
        self.all_seeds.on_click(lambda _: guard.act(lambda: self._choose(None)))
        self.look = ToggleButtons(
            options=list(LOOKS),
            tooltips=list(LOOKS.values()),
            style={"button_width": "auto"},
            layout=Layout(width="max-content"),
        )
        self.look.observe(lambda _: guard.act(self._look), "value")
        self.concept = ConceptChoice()
        self.concept.observe(lambda _: guard.act(self._look), "value")
        bar = HBox([self.look, self.concept, self.all_seeds], layout=Layout(flex_flow="row wrap"))
        super().__init__([self.caption, self.large, self.compared, self._grid, bar])
        self.add_class(IMAGE)
        self.refresh()
        self._arrange()

    @property
    def render(self) -> Render | None:
        """What was drawn last."""
        return self._render

    @property
    def wants_unedited(self) -> bool:
        """Whether the comparison waits for the unedited picture."""
        return self.look.value == "Compare" and self._unedited is None

    def show(self, render: Render) -> None:
        """Put up a picture, from the thread that draws."""
        pngs = [encode(image) for image in render.images]
        with self._lock:
            self._render, self._pngs, self._heats = render, pngs, None
            if render.exact and render.state == self._session.history[0].state:
                self._unedited = pngs
            self._fill()
            self._describe()

    def show_unedited(self, render: Render) -> None:
        """Give the comparison its other picture, from the thread that draws."""
        with self._lock:
            self._unedited = [encode(image) for image in render.images]
            self._fill()

    def refresh(self) -> None:
        """Follow the session: its concepts, and whether it has gone on since the picture."""
        with self._guard.setting():
            self.concept.follow(self._session)
        with self._lock:
            self._fill()
            self._describe()

    def png(self) -> bytes | None:
        """What was drawn, as a PNG file that says what made it; of a grid the first picture."""
        render = self._render
        if render is None:
            return None
        number = self._chosen or 0
        file, image = BytesIO(), cast(PIL.Image.Image, render.images[number])
        text = png_text(render.provenance(), number)
        image.save(file, "PNG", pnginfo=text)
        return file.getvalue()

    def heated(self) -> Callable[[], None] | None:
        """Draw the chosen concept's heat map, if it is looked at; what puts it up.

        Both are for the thread that draws, with no other picture shown between them.
        """
        render, name = self._render, self.concept.value
        if self.look.value != "Where" or render is None or not render.exact:
            return None
        if name not in {concept.name for concept in render.state}:
            return None
        try:
            heat = self._session.heat_map(render, name)
        except InvalidValueError:  # The cache had no room for what led to this picture.
            return partial(self._put_heats, name, [])
        images: Any = render.images
        colour = self._colour(name)
        heats = [encode(heated(one, at, colour)) for one, at in zip(images, heat, strict=True)]
        return partial(self._put_heats, name, heats)

    def _put_heats(self, name: str, heats: list[bytes]) -> None:
        with self._lock:
            self._heats = name, heats
            self._fill()
            self._describe()

    def _shown_heats(self) -> list[bytes] | None:
        """The heat maps, if they are of what is looked at; none where they are not recorded."""
        if self.look.value != "Where" or self._heats is None:
            return None
        name, heats = self._heats
        return heats if name == self.concept.value else None

    def _describe(self) -> None:
        """Say what is shown, how it was made, and whether it is of a state before."""
        render, seeds = self._render, self._session.scene.seeds
        if render is None:
            return
        words = [title(render)]
        if len(seeds) > 1 and self._chosen is not None:
            words.insert(0, f"seed {seeds[self._chosen]}")
        if render.state != self._session.state:
            words.append("of a state before")
        if self.look.value == "Where":
            name, heats = self.concept.value, self._shown_heats()
            if name is None:
                words.append("no concept acts yet")
            elif heats is not None:
                words.append(f"where “{name}” acts{'' if heats else ' is not recorded'}")
        about = described(self._session.scene.prompt, render.state)
        self.caption.say(" · ".join(words), about)

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

    def _look(self) -> None:
        """Show another side of the picture, and draw what that takes."""
        self._arrange()
        if self.look.value == "Where" or self.wants_unedited:
            self._redraw()

    def _arrange(self) -> None:
        """Show the comparison, the grid or one picture."""
        shown = self._shown()
        for view, display in ((self.compared, ""), (self._grid, "grid"), (self.large, "")):
            view.layout.display = display if view is shown else "none"
        one_of_several = len(self.cells) > 1 and self._chosen is not None
        self.all_seeds.layout.display = "" if one_of_several else "none"
        self.concept.layout.display = "" if self.look.value == "Where" else "none"
        with self._lock:
            self._fill()
            self._describe()

    def _shown(self) -> object:
        if self.look.value == "Compare":
            return self.compared
        return self._grid if self._chosen is None else self.large

    def _fill(self) -> None:
        """Give what is shown its pictures, and nothing else: each is sent to the page."""
        shown, number, pngs = self._shown(), self._chosen or 0, self._shown_heats() or self._pngs
        if shown is self._grid:
            for cell, png in zip(self.cells, pngs, strict=True):
                cell.value = png
        elif shown is self.compared:
            if self._unedited is not None:
                self.compared.before = self._unedited[number]
            self.compared.before_label = "unedited" if self._unedited else "unedited: not drawn yet"
            self.compared.after = self._pngs[number]
            after = "edited" if self._render is None else title(self._render)
            seeds = self._session.scene.seeds
            which = f"seed {seeds[number]} · " if len(seeds) > 1 else ""
            self.compared.after_label = which + after
        else:
            self.large.value = pngs[number]
