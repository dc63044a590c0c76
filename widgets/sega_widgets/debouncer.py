"""Wait until a control has stopped moving."""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer


class Debouncer:
    """A function call that is delayed until nothing has moved for a while.

    Sliders send no event when they are released.

    Args:
        function: called once after the last `trigger`, on a thread of its own.
        seconds: delay after the last `trigger`.
    """

    def __init__(self, function: Callable[[], None], seconds: float = 0.35) -> None:
        self._function = function
        self._seconds = seconds
        self._timer: Timer | None = None

    def trigger(self) -> None:
        """Start the delay anew."""
        self.cancel()
        timer = Timer(self._seconds, lambda: self._call(timer))
        timer.daemon = True
        self._timer = timer
        timer.start()

    def cancel(self) -> None:
        """Drop the pending call, if there is one."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _call(self, timer: Timer) -> None:
        # A timer that was cancelled after its time was up must not call.
        if self._timer is timer:
            self._function()
