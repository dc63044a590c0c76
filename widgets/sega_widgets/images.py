"""The image of a session, or its batch of images, with a caption."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ipywidgets import Box, Button, HBox, Image, Layout, ToggleButtons, VBox

from sega_session import EditSession, Render
from sega_session.errors import InvalidValueError

from .access import CHOICE, IMAGE
from .captions import Caption, describe_accuracy, describe_image
from .choice import ConceptChoice
from .compare import CompareView
from .guard import Guard
from .png import encode, encode_blank, overlay_heat_map

LARGE = 512
"""Width in pixels to which a smaller image is enlarged, space permitting."""

LOOKS = {
    "Image": "The image alone",
    "Compare": "The image over the unedited one, with a handle between them",
    "Where": "Where one concept acts: the strength of its recorded guidance",
}


class ImageView(VBox):
    """The latest render: alone, compared with the unedited image, or with a heat map.

    The images of several seeds are shown in a grid, and one of them can be enlarged.

    Args:
        session: the session that is rendered.
        guard: the guard of the panel.
        rerender: called to render the current state again, from recorded tensors.
        colour: returns a concept's colour by its name.

    Attributes:
        large: the single image.
        compared: the comparison.
        grid: the box of ``cells``, the images of several seeds, with their ``enlarge`` buttons.
    """

    def __init__(
        self,
        session: EditSession,
        guard: Guard,
        *,
        rerender: Callable[[], object],
        colour: Callable[[str], str],
    ) -> None:
        self._session = session
        self._guard = guard
        self._rerender = rerender
        self._colour = colour
        # Held while images change, since the render thread sets them.
        self._lock = threading.Lock()
        self._render: Render | None = None
        # The index of the enlarged image; None: the grid.
        self._selected: int | None = None if len(session.scene.seeds) > 1 else 0
        size = session.scene.width, session.scene.height
        self._pngs = (encode_blank(*size),) * len(session.scene.seeds)
        # Heat maps and the name of their concept; no heat maps if they are not recorded.
        self._heat_maps: tuple[str, tuple[bytes, ...]] | None = None
        self._unedited: tuple[bytes, ...] | None = None
        self.caption = Caption("No image yet.")
        room = {"width": "100%", "max_width": f"{max(LARGE, size[0])}px"}
        blank = self._pngs[0]
        self.large = Image(value=blank, format="png", layout=Layout(**room))
        self.compared = CompareView(
            before=blank, after=blank, before_label="unedited", layout=Layout(**room)
        )
        self.cells = tuple(Image(value=one, format="png") for one in self._pngs)
        self.enlarge = tuple(self._enlarge_button(number) for number in range(len(self.cells)))
        self.grid = Box(
            [VBox(pair) for pair in zip(self.cells, self.enlarge, strict=True)],
            layout=Layout(
                display="grid",
                grid_template_columns="repeat(auto-fill, minmax(10em, 1fr))",
                grid_gap="6px",
            ),
        )
        for cell in self.grid.children:
            cell.add_class(CHOICE)
        self.all_seeds = Button(
            description="All seeds", tooltip="Go back to the images of all seeds"
        )
        self.all_seeds.on_click(lambda _: guard.run(lambda: self._select(None)))
        self.look = ToggleButtons(
            options=list(LOOKS),
            tooltips=list(LOOKS.values()),
            style={"button_width": "auto"},
            layout=Layout(width="max-content"),
        )
        self.look.observe(lambda _: guard.run(self._change_look), "value")
        self.concept = ConceptChoice()
        self.concept.observe(lambda _: guard.run(self._change_look), "value")
        bar = HBox([self.look, self.concept, self.all_seeds], layout=Layout(flex_flow="row wrap"))
        super().__init__([self.caption, self.large, self.compared, self.grid, bar])
        self.add_class(IMAGE)
        self.refresh()
        self._arrange()

    @property
    def render(self) -> Render | None:
        """The latest render, or None before the first."""
        return self._render

    @property
    def pngs(self) -> tuple[bytes, ...]:
        """The latest images as bytes of PNG files, one per seed; transparent before the first."""
        return self._pngs

    @property
    def needs_unedited(self) -> bool:
        """True while the comparison is shown and lacks the unedited image."""
        return self.look.value == "Compare" and self._unedited is None

    def show(self, render: Render) -> None:
        """Show a render; called on the render thread."""
        pngs = tuple(encode(image) for image in render.images)
        with self._lock:
            self._render, self._pngs, self._heat_maps = render, pngs, None
            if render.exact and render.state == self._session.history[0].state:
                self._unedited = pngs
            self._update()

    def show_unedited(self, render: Render) -> None:
        """Set the unedited images of the comparison; called on the render thread."""
        with self._lock:
            self._unedited = tuple(encode(image) for image in render.images)
            self._update()

    def refresh(self) -> None:
        """Show the session's current concepts, and whether the image is of an earlier state."""
        with self._guard.updating():
            self.concept.refresh(self._session)
        with self._lock:
            self._update()

    def png(self) -> bytes | None:
        """Return the latest image as `Render.save` writes it; of a grid, the first image.

        Returns:
            The bytes of a PNG file, or None before the first render.

        Raises: as `Render.save` does.
        """
        render = self._render
        if render is None:
            return None
        with TemporaryDirectory() as folder:
            return render.save(Path(folder) / "image.png")[self._selected or 0].read_bytes()

    def heat_maps(self) -> Callable[[], None] | None:
        """Compute the selected concept's heat maps if they are to be shown.

        Called on the render thread, with no other render shown before the returned function.

        Returns:
            A function that shows them, or None if there is nothing to show.
        """
        render, name = self._render, self.concept.value
        if self.look.value != "Where" or render is None or not render.exact:
            return None
        if name not in {concept.name for concept in render.state}:
            return None
        try:
            heats = self._session.heat_map(render, name)
        except InvalidValueError:  # The render's predictions were evicted from the cache.
            return partial(self._show_heat_maps, name, ())
        images: Any = render.images
        colour = self._colour(name)
        pngs = tuple(
            encode(overlay_heat_map(image, heat, colour))
            for image, heat in zip(images, heats, strict=True)
        )
        return partial(self._show_heat_maps, name, pngs)

    def _show_heat_maps(self, name: str, pngs: tuple[bytes, ...]) -> None:
        with self._lock:
            self._heat_maps = name, pngs
            self._update()

    def _current_heat_maps(self) -> tuple[bytes, ...] | None:
        """Return the heat maps of the selected concept if they are to be shown, else None."""
        if self.look.value != "Where" or self._heat_maps is None:
            return None
        name, pngs = self._heat_maps
        return pngs if name == self.concept.value else None

    def _enlarge_button(self, number: int) -> Button:
        seed = self._session.scene.seeds[number]
        button = Button(
            description=f"Seed {seed}",
            tooltip=f"Enlarge the image of seed {seed}",
            layout=Layout(width="100%"),
        )
        button.on_click(lambda _: self._guard.run(lambda: self._select(number)))
        return button

    def _select(self, number: int | None) -> None:
        self._selected = number
        self._arrange()

    def _change_look(self) -> None:
        self._arrange()
        if self.look.value == "Where" or self.needs_unedited:
            self._rerender()

    def _arrange(self) -> None:
        """Show the comparison, the grid or one image, and hide the others."""
        shown = self._shown()
        for view, display in ((self.compared, ""), (self.grid, "grid"), (self.large, "")):
            view.layout.display = display if view is shown else "none"
        one_of_several = len(self.cells) > 1 and self._selected is not None
        self.all_seeds.layout.display = "" if one_of_several else "none"
        self.concept.layout.display = "" if self.look.value == "Where" else "none"
        with self._lock:
            self._update()

    def _shown(self) -> object:
        if self.look.value == "Compare":
            return self.compared
        return self.grid if self._selected is None else self.large

    def _update(self) -> None:
        """Set the images of the visible widget and the caption; each image is sent to the page."""
        shown, number = self._shown(), self._selected or 0
        pngs = self._current_heat_maps() or self._pngs
        if shown is self.grid:
            for cell, png in zip(self.cells, pngs, strict=True):
                cell.value = png
        elif shown is self.compared:
            self._update_comparison(number)
        else:
            self.large.value = pngs[number]
        self._update_caption()

    def _update_comparison(self, number: int) -> None:
        if self._unedited is not None:
            self.compared.before = self._unedited[number]
        self.compared.before_label = "unedited" if self._unedited else "unedited: not rendered yet"
        self.compared.after = self._pngs[number]
        after = "edited" if self._render is None else describe_accuracy(self._render)
        seeds = self._session.scene.seeds
        seed = f"seed {seeds[number]} · " if len(seeds) > 1 else ""
        self.compared.after_label = seed + after

    def _update_caption(self) -> None:
        render, seeds = self._render, self._session.scene.seeds
        if render is None:
            return
        words = [describe_accuracy(render)]
        if len(seeds) > 1 and self._selected is not None:
            words.insert(0, f"seed {seeds[self._selected]}")
        if render.state != self._session.state:
            words.append("of an earlier state")
        if self.look.value == "Where":
            name, heat_maps = self.concept.value, self._current_heat_maps()
            if name is None:
                words.append("no concept acts yet")
            elif heat_maps is not None:
                words.append(f"where “{name}” acts{'' if heat_maps else ' is not recorded'}")
        description = describe_image(self._session.scene.prompt, render.state)
        self.caption.show(" · ".join(words), description)
