"""How far a picture is, and how to stop it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer

from ipywidgets import Button, HBox, IntProgress, Label, Layout

from .worker import Progress


class ProgressView(HBox):
    """A bar with the steps and the time left, and buttons to stop and to draw again.

    Args:
        cancel: called to stop.
        draw: called to draw the current state.
    """

    def __init__(self, cancel: Callable[[], None], draw: Callable[[], None]) -> None:
        self.bar = IntProgress(
            description="Drawing",
            tooltip="Model calls done",
            style={"description_width": "initial"},
            layout=Layout(width="10em"),
        )
        self.text = Label()
        narrow = Layout(width="5em")
        self.cancel = Button(
            description="Cancel",
            tooltip="Stop drawing; the state stays",
            disabled=True,
            layout=narrow,
        )
        self.draw = Button(description="Draw", tooltip="Draw the current state", layout=narrow)
        self.cancel.on_click(lambda _: cancel())
        self.draw.on_click(lambda _: draw())
        super().__init__(
            [self.draw, self.cancel, self.bar, self.text], layout=Layout(flex_flow="row wrap")
        )
        self.show(None)

    def show(self, progress: Progress | None) -> None:
        """Show how far a picture is, from any thread; None: nothing is being drawn."""
        self.cancel.disabled = progress is None
        for part in (self.bar, self.text):
            part.layout.display = "none" if progress is None else ""
        if progress is None:
            self.text.value = ""
            return
        self.bar.max = progress.total
        self.bar.value = progress.done
        words = f"{progress.mode}: {progress.done} of {progress.total}"
        left = progress.seconds_left
        self.text.value = words if left is None else f"{words}, {left:.0f} s left"


class Settling:
    """Calls once nothing has moved for a while: a slider does not say when it is let go.

    Args:
        settled: what is called, on a thread of its own.
        seconds: how long the while is.
    """

    def __init__(self, settled: Callable[[], None], seconds: float = 0.35) -> None:
        self._settled = settled
        self._seconds = seconds
        self._timer: Timer | None = None

    def moved(self) -> None:
        """Begin to wait anew."""
        self.stop()
        timer = Timer(self._seconds, lambda: self._rested(timer))
        timer.daemon = True
        self._timer = timer
        timer.start()

    def stop(self) -> None:
        """Wait no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _rested(self, timer: Timer) -> None:
        # One that was stopped when its time was up already has nothing to say.
        if self._timer is timer:
            self._settled()
