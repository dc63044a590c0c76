"""A progress bar of the current render, with buttons to start and cancel."""

from __future__ import annotations

from collections.abc import Callable

from ipywidgets import Button, HBox, IntProgress, Label, Layout

from .worker import Progress


class ProgressView(HBox):
    """A bar with the model calls done and the time left, and buttons to render and cancel.

    Args:
        cancel: called to cancel the current render.
        render: called to render the current state.
    """

    def __init__(self, cancel: Callable[[], None], render: Callable[[], None]) -> None:
        self.bar = IntProgress(
            description="Rendering",
            tooltip="Model calls done",
            style={"description_width": "initial"},
            layout=Layout(width="11em"),
        )
        self.text = Label()
        small = Layout(width="6em")
        self.cancel = Button(
            description="Cancel",
            tooltip="Stop rendering; the state stays",
            disabled=True,
            layout=small,
        )
        self.render = Button(description="Render", tooltip="Render the current state", layout=small)
        self.cancel.on_click(lambda _: cancel())
        self.render.on_click(lambda _: render())
        super().__init__(
            [self.render, self.cancel, self.bar, self.text], layout=Layout(flex_flow="row wrap")
        )
        self.show(None)

    def show(self, progress: Progress | None) -> None:
        """Show the progress of a render, from any thread; None hides the bar."""
        self.cancel.disabled = progress is None
        for part in (self.bar, self.text):
            part.layout.display = "none" if progress is None else ""
        if progress is None:
            self.text.value = ""
            return
        self.bar.max = progress.total
        self.bar.value = progress.done
        text = f"{progress.mode}: {progress.done} of {progress.total}"
        left = progress.seconds_left
        self.text.value = text if left is None else f"{text}, {left:.0f} s left"
