"""The page of `sega-session app`: what is loading, then the panel."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from ipywidgets import VBox

from sega_session.errors import SegaSessionError

from .gallery import KEPT, check_name, free_name, newest_path
from .loading import MODEL, Loading

if TYPE_CHECKING:
    from sega_session import EditSession

    from .panel import EditPanel

log = logging.getLogger(__name__)

PATIENCE = 6.0
"""Seconds to wait for a page that was just left and still has the session open."""


SHOWN = 60.0
"""Seconds to wait for the page to show the steps, before the panel is made."""


class StudioPage(VBox):
    """The content of the page: the steps of loading, and then the panel, or why there is none.

    Args:
        make: makes the panel, on a thread of its own; it is given the steps to advance them.

    Attributes:
        loading: the steps.
        panel: the panel; None before it is there.
    """

    def __init__(self, make: Callable[[Loading], EditPanel]) -> None:
        self.loading = Loading()
        self.panel: EditPanel | None = None
        super().__init__([self.loading])
        self._thread = Thread(target=self._make, args=(make,), name="sega-loading", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the panel is there, or has failed."""
        self._thread.join(timeout)

    def close(self) -> None:
        """Close the panel and end its threads."""
        if self.panel is not None:
            self.panel.close()
        self.loading.close()
        super().close()

    def _make(self, make: Callable[[Loading], EditPanel]) -> None:
        try:
            self.panel = make(self.loading)
            self.children = [self.panel]
        except Exception as error:  # The page would show no details of it.
            known = isinstance(error, SegaSessionError)
            self.loading.error = str(error) if known else f"{type(error).__name__}: {error}"
            if not known:
                log.exception("the panel cannot be opened")


def open_panel(
    *,
    file: str | None = None,
    model: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> StudioPage:
    """Open a panel on a saved session or on a new one; its files stay in the current folder.

    If the page's address names a session of the folder, the panel goes on with it.

    Args:
        file: a file that a session was saved to; None: begin a new session.
        model: a checkpoint in diffusers' layout, a directory or a Hugging Face hub id; None: the
            embedded one.
        prompt: a new session's prompt; None: the one that the checkpoint recommends.
        seed: a new session's seed; None: the one that the checkpoint recommends.
        device: where the model runs; None: CUDA if there is any.
        dtype: the model's precision, "float16" for example; None: float16 on CUDA, else float32.

    Returns:
        The page, at once; the panel is loaded meanwhile.
    """
    folder = Path.cwd()

    def make(loading: Loading) -> EditPanel:
        # These import torch, which takes seconds.
        from sega_session import EditSession  # noqa: PLC0415
        from sega_session.models import load_quietly  # noqa: PLC0415

        from .panel import EditPanel  # noqa: PLC0415

        loading.step = MODEL
        pipeline = load_quietly(model, device, dtype)
        name = name_in_address(os.environ.get("QUERY_STRING", ""))
        path = newest_path(folder, name) if name else None
        if path is None and file is not None:
            path = Path(file)
        if path is None:
            session, name = _new_session(pipeline, prompt, seed), None
        else:
            inside = path.resolve().parent in (folder.resolve(), (folder / KEPT).resolve())
            name = path.stem if inside else free_name(folder, path.stem)
            session = EditSession.recover(path, pipeline)
        # A page asks for the widgets that there are. It does not get those that are made meanwhile.
        loading.shown.wait(SHOWN)
        return EditPanel(session, folder=folder, name=name, patience=PATIENCE)

    return StudioPage(make)


def name_in_address(query: str) -> str | None:
    """Return the name of a session in the query of the page's address; None if there is none."""
    for name in parse_qs(query).get("session", ()):
        try:
            return check_name(name)
        except SegaSessionError:
            return None
    return None


def _new_session(pipeline: object, prompt: str | None, seed: int | None) -> EditSession:
    from sega_session import EditSession  # noqa: PLC0415
    from sega_session.models import recommended_or_published  # noqa: PLC0415

    scene = recommended_or_published(pipeline)
    return EditSession(
        pipeline,
        scene.prompt if prompt is None else prompt,
        seed=scene.seed if seed is None else seed,
        guidance_scale=scene.guidance_scale,
    )
