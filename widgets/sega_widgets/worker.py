"""A thread that draws for widgets: always the newest state, and better and better."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable, Iterable
from threading import Condition, Lock, RLock, Thread, current_thread
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import frozen

from sega_session import EditSession
from sega_session.errors import redirect_warnings
from sega_session.render import Render, StepCallback

T = TypeVar("T")

STREAM = ("preview", "anchored", "exact")
"""What `EditSession.stream` draws, in this order, up to the first exact picture."""

More = Callable[[StepCallback], Iterable[Callable[[], object]]]
"""Draws further pictures with a callback for every model call; yields what puts up each."""

log = logging.getLogger(__name__)


@frozen
class Progress:
    """How far a picture is.

    Attributes:
        mode: "preview", "anchored" or "exact". Where there is nothing to estimate from, the
            picture becomes exact, as its `Render.mode` says. "further" for what `more` draws.
        done: model calls that were made.
        total: model calls of the picture.
        seconds_left: an estimate for this picture; None before its first call.
    """

    mode: str
    done: int
    total: int
    seconds_left: float | None


@frozen(eq=False)
class _Post:
    """A wish for pictures; no two are the same."""

    moving: bool


class _StoppedError(Exception):
    """What is being drawn is no longer wanted."""


class RenderWorker:
    """Draws a session's pictures on a thread of its own, for callers on any thread.

    It holds one wish at most that it has not begun: the newest. What it promises:

    - A picture is of the state that the session had when the drawing of it began, not before it
      was posted for; the pictures of one `stream` are all of the state at its beginning.
      `Render.state` says which.
    - A newer post ends what is drawn within one model call, and is drawn next. Only the preview
      of a moving slider is finished and shown first, so that a drag shows pictures as fast as
      previews can be drawn. A picture that is past its last model call is shown too.
    - Pictures are shown in the order of their states in time: never an older one after a newer.
    - After a post that is not moving, and no edit, post, `cancel` or `close` after it, the last
      picture that is shown is exact and of the session's current state, or `fail` has been
      called. After one that is moving it may be a preview: end every drag with one that is not.
    - When `cancel` or `close` has returned, nothing that was posted before it is shown any more,
      nor is its progress or failure told.
    - Errors and warnings go to `fail`, and the thread goes on. What `fail` itself raises is logged.

    The functions are called on the worker's thread, one at a time. They may call `post`, `cancel`
    and `close`, not `wait`.

    Args:
        session: what to draw. Edits go on while it is drawn; a render of the session elsewhere
            waits its turn.
        show: called with each finished picture.
        progress: called before a picture's first model call and after each, and with None when
            nothing is left to do.
        fail: called with what a render raised or warned of, or another of the functions raised.
        more: draws what is wanted beside the session's picture, once that is exact and shown. A
            newer post, `cancel` and `close` end it like the picture itself.
        turn: held while drawing, where workers share what must not be used by two at once.
        clock: seconds, for the estimate of those left.
    """

    def __init__(
        self,
        session: EditSession,
        *,
        show: Callable[[Render], object],
        progress: Callable[[Progress | None], object],
        fail: Callable[[Exception], object],
        more: More = lambda on_step: (),
        turn: Lock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._show = show
        self._progress = progress
        self._fail = fail
        self._more = more
        self._turn = turn or Lock()
        self._clock = clock
        self._waiting: _Post | None = None
        # What is drawn and still wanted; `cancel` takes it away while the thread is at it.
        self._current: _Post | None = None
        self._busy = False
        self._closed = False
        self._changed = Condition()
        # Held while one of the functions runs, so that `cancel` can wait for its end.
        self._telling = RLock()
        self._thread = Thread(target=self._work, name="sega-render", daemon=True)
        self._thread.start()
        # A daemon thread inside torch while the interpreter goes down can bring the process down.
        atexit.register(self.close)

    def post(self, *, moving: bool = False) -> None:
        """Ask for pictures of the session's current state, instead of what waits.

        After `close` this does nothing: events may still be on their way then.

        Args:
            moving: a preview alone, for a slider in motion. Otherwise the pictures of
                `EditSession.stream`: preview, anchored, exact.
        """
        with self._changed:
            if not self._closed:
                self._waiting = _Post(moving)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Stop what is drawn within one model call, and forget what waits.

        Does not wait for the model, but for `show`, `progress`, `fail` or what `more` yielded, if
        one runs: hold no lock here that they take.
        """
        with self._changed:
            self._waiting = self._current = None
            self._changed.notify_all()
        with self._telling:
            pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do; False if it takes more seconds than that."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting is None and not self._busy, timeout)

    def close(self) -> None:
        """Cancel, and end the thread; further calls do nothing. Hold no lock, as in `cancel`."""
        with self._changed:
            self._closed = True
        self.cancel()
        atexit.unregister(self.close)
        if current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        while self._awaited():
            while (post := self._taken()) is not None:
                self._attempt(post)
            self._reported(self._progress, None)

    def _awaited(self) -> bool:
        """Wait for a post; False when there will be none."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            self._busy = not self._closed
            return self._busy

    def _taken(self) -> _Post | None:
        """The newest post, which is drawn from now on, or None."""
        with self._changed:
            self._current, self._waiting = self._waiting, None
            return self._current

    def _attempt(self, post: _Post) -> None:
        try:
            with self._turn, redirect_warnings(lambda warning: self._failed(post, warning)):
                self._draw(post)
                if not post.moving:
                    self._draw_more(post)
        except _StoppedError:
            pass
        except Exception as error:
            self._failed(post, error)

    def _failed(self, post: _Post, error: Exception) -> None:
        with self._telling:
            if self._current is post:
                self._reported(self._fail, error)

    def _draw(self, post: _Post) -> None:
        """Draw and show what a post asks for. Raises _StoppedError when it no longer does."""

        def on_step(_: object, call: int, *__: Any) -> None:
            self._reached(post, Progress(mode, call + 1, total, pace.left(call + 1, total)))

        total = self._session.num_calls
        pictures = iter(self._session.stream(callback_on_step_end=on_step))
        for mode in STREAM[:1] if post.moving else STREAM:
            pace = _Pace(self._clock)
            self._reached(post, Progress(mode, 0, total, None))
            picture = next(pictures)
            self._tell(post, self._show, picture)
            if picture.exact:
                return

    def _draw_more(self, post: _Post) -> None:
        """Draw what is wanted beside the picture. Raises _StoppedError when it no longer is."""
        total = self._session.num_calls

        def on_step(_: object, call: int, *__: Any) -> None:
            self._reached(post, Progress("further", call + 1, total, None))

        for put_up in self._more(on_step):
            self._tell(post, lambda act: act(), put_up)
            self._reached(post, Progress("further", total, total, None))

    def _reached(self, post: _Post, progress: Progress) -> None:
        """Go on only if this is still to be drawn."""
        if self._waiting is not None and not post.moving:
            raise _StoppedError
        self._tell(post, self._progress, progress)

    def _tell(self, post: _Post, tell: Callable[[T], object], value: T) -> None:
        with self._telling:
            if self._current is not post:
                raise _StoppedError
            tell(value)

    def _reported(self, tell: Callable[[T], object], value: T) -> None:
        """Tell what must not end the thread."""
        try:
            with self._telling:
                tell(value)
        except Exception:
            log.exception("a function that sega_widgets called has failed")


class _Pace:
    """How long the model calls of one picture take.

    Calls of which everything is recorded come first and take next to no time. They say nothing
    of the others, so a call that takes far longer than all before it starts the count anew.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted = 0
        self._since = self._last = self._clock()
        self._longest = 0.0

    def left(self, done: int, total: int) -> float:
        """Seconds left when so many calls are done; called after each."""
        now = self._clock()
        took = now - self._last
        if took > 10 * self._longest:
            self._counted, self._since = done - 1, self._last
        self._longest = max(took, self._longest)
        self._last = now
        return (now - self._since) / (done - self._counted) * (total - done)
