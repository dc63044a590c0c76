"""The last image, shown by a notebook in a panel's place where its kernel is gone."""

from __future__ import annotations

import base64
import html
import secrets
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from IPython.display import display, update_display
from PIL.Image import Image

from sega_session import EditSession, Render
from sega_session.errors import printable

PICTURE = 384
"""The largest width or height of the picture, which is in the notebook's file."""

# Jupyter says "Error displaying widget: model not found" where the panel was.
STYLE = (
    "<style>.jp-OutputArea-child:has([data-sega-kept]) + "
    ".jp-OutputArea-child:not(:has(.sega)) { display: none; }</style>"
)


class NotebookOutput:
    """The output of a panel's cell: the panel, and before it the last picture and how to go on.

    A notebook's file holds no widgets, so a panel cannot be shown again without its kernel. The
    picture can; `KernelNotice` hides it while the panel is there.

    Args:
        session: the session that the panel begins with.

    Attributes:
        key: the name by which the panel hides the picture.
    """

    def __init__(self, session: EditSession) -> None:
        self.key = secrets.token_hex(8)
        self._session, self._image, self._kept = session, b"", ""
        self._shown = False

    def display(self, view: Mapping[str, Any]) -> None:
        """Show the panel in the output of the cell that is running.

        Args:
            view: the panel's own representation, by MIME type.
        """
        show: Any = display
        show(self._bundle(), raw=True, display_id=self.key)
        self._shown = True
        show({**view, "text/plain": "The panel is shown where its kernel runs."}, raw=True)

    def note(self, render: Render, session: EditSession, kept: str = "") -> None:
        """Update the picture; call it with every exact render, on any thread.

        Args:
            render: the render.
            session: the panel's present session.
            kept: where the session is kept, in words.
        """
        image = render.images[0]
        if isinstance(image, Image):
            self._session, self._image, self._kept = session, _encode(image), kept
            if self._shown:
                update: Any = update_display
                update(self._bundle(), raw=True, display_id=self.key)

    def _bundle(self) -> dict[str, str]:
        scene = self._session.scene
        prompt = printable(scene.prompt)
        names = [printable(one.name) for one in self._session.concepts if one.enabled]
        title = f"{prompt}, seed {', '.join(map(str, scene.seeds))}"
        edits = f"Concepts: {', '.join(names)}. " if names else ""
        kept = f" Your work is kept in {self._kept}." if self._kept else ""
        words = f"{edits}Run the cell to go on.{kept}"
        picture = ""
        if self._image:
            data = base64.b64encode(self._image).decode()
            alternative = html.escape(f"The last picture: {title}")
            picture = f'<img alt="{alternative}" src="data:image/jpeg;base64,{data}">'
        return {
            "text/html": f'<div data-sega-kept="{self.key}">{STYLE}{picture}'
            f"<p><b>{html.escape(title)}</b><br>{html.escape(words)}</p></div>",
            "text/plain": f"EditPanel: {title}. {words}",
        }


def _encode(image: Image) -> bytes:
    small, file = image.convert("RGB"), BytesIO()
    small.thumbnail((PICTURE, PICTURE))
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
