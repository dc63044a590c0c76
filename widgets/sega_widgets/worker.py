"""A thread that renders for widgets: always the newest state, with increasing accuracy."""

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
"""The modes of `EditSession.stream`, in order; it ends with the first exact render."""

More = Callable[[StepCallback], Iterable[Callable[[], object]]]
"""A function that renders further images.

It passes its argument to every render as ``callback_on_step_end``, and yields a function that
shows each image.
"""

log = logging.getLogger(__name__)


@frozen
class Progress:
    """The progress of a render.

    Attributes:
        mode: "preview", "anchored" or "exact"; "further" for the images of ``more``. A render
            with no recorded render to estimate from becomes exact, as its `Render.mode` says.
        done: model calls done.
        total: model calls of the render.
        seconds_left: estimated seconds until the end of the render; None before its first call.
    """

    mode: str
    done: int
    total: int
    seconds_left: float | None


@frozen(eq=False)
class _Request:
    """A request to render; requests compare by identity."""

    moving: bool


class _StoppedError(Exception):
    """The current request was cancelled or replaced by a newer one."""


class RenderWorker:
    """A thread that renders a session, with methods for callers on any thread.

    At most one request is pending: the newest. The worker guarantees:

    - A render is of the state that the session had when rendering began, not of an earlier one;
      all renders of one `stream` are of the state at its start. `Render.state` says which.
    - A newer request ends the current one within one model call and comes next. Only the preview
      of a moving slider is completed and shown first, so that a drag shows images as fast as
      previews render. A render that has made its last model call is shown too.
    - Renders are shown in the order of their states in time, never an older one after a newer one.
    - After a request that is not moving, and no edit, request, `cancel` or `close` after it, the
      last render shown is exact and of the session's current state, or ``fail`` was called.
      After a moving request it may be a preview, so end every drag with a request that is not.
    - After `cancel` or `close` has returned, no render, progress or failure of earlier requests
      is reported.
    - Errors and warnings go to ``fail``, and the thread continues. Errors that ``fail`` itself
      raises are logged.

    The functions are called on the worker's thread, one at a time. They may call `post`, `cancel`
    and `close`, but not `wait`.

    Args:
        session: the session to render. It may be edited meanwhile; other renders of the session
            wait their turn.
        show: called with each completed render.
        progress: called before a render's first model call and after each call, and with None
            when there is nothing left to do.
        fail: called with each error or warning of a render, and with errors of the other functions.
        more: renders further images after the session's exact render was shown. A newer request,
            `cancel` and `close` end it like any render.
        lock: held while rendering; workers that share one pipeline must share a lock.
        clock: returns seconds, to estimate the time left.
    """

    def __init__(
        self,
        session: EditSession,
        *,
        show: Callable[[Render], object],
        progress: Callable[[Progress | None], object],
        fail: Callable[[Exception], object],
        more: More = lambda on_step: (),
        lock: Lock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._show = show
        self._progress = progress
        self._fail = fail
        self._more = more
        self._lock = lock or Lock()
        self._clock = clock
        self._pending: _Request | None = None
        # The request that is being rendered; `cancel` sets it to None while the thread works on it.
        self._current: _Request | None = None
        self._busy = False
        self._closed = False
        self._changed = Condition()
        # Held while one of the functions runs, so that `cancel` can wait for its end.
        self._calling = RLock()
        self._thread = Thread(target=self._work, name="sega-render", daemon=True)
        self._thread.start()
        # A daemon thread inside torch can crash the interpreter at its exit.
        atexit.register(self.close)

    @property
    def closed(self) -> bool:
        """True after `close` was called: nothing will be shown any more."""
        with self._changed:
            return self._closed

    def post(self, *, moving: bool = False) -> None:
        """Request renders of the session's current state, and drop the pending request.

        Does nothing after `close`, since events may still arrive then.

        Args:
            moving: True for a preview alone, while a slider moves. False for all renders of
                `EditSession.stream`: preview, anchored, exact.
        """
        with self._changed:
            if not self._closed:
                self._pending = _Request(moving)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Stop the current render within one model call, and drop the pending request.

        Waits for the end of ``show``, ``progress``, ``fail`` or a function that ``more`` yielded,
        if one runs, but not for the model. Do not hold locks that these functions acquire.
        """
        with self._changed:
            self._drop_requests()
        self._wait_for_call()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do.

        Args:
            timeout: seconds to wait at most; None: no limit.

        Returns:
            False if the time was up before.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._pending is None and not self._busy, timeout)

    def close(self) -> None:
        """Cancel and end the thread; later calls do nothing. Hold no locks, as for `cancel`."""
        with self._changed:
            self._closed = True
            self._drop_requests()
        self._wait_for_call()
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

    def _drop_requests(self) -> None:
        """Drop the current and the pending request; the caller holds ``_changed``."""
        self._pending = self._current = None
        self._changed.notify_all()

    def _wait_for_call(self) -> None:
        """Wait until none of the functions runs."""
        with self._calling:
            pass

    def _work(self) -> None:
        while self._wait_for_request():
            while (request := self._next_request()) is not None:
                self._run(request)
            self._call_logged(self._progress, None)

    def _wait_for_request(self) -> bool:
        """Wait for a request; return False after `close`."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._pending is not None or self._closed)
            self._busy = not self._closed
            return self._busy

    def _next_request(self) -> _Request | None:
        """Make the pending request the current one and return it, or None if there is none."""
        with self._changed:
            self._current, self._pending = self._pending, None
            return self._current

    def _run(self, request: _Request) -> None:
        try:
            with self._lock, redirect_warnings(lambda warning: self._report(request, warning)):
                self._render(request)
                if not request.moving:
                    self._render_more(request)
        except _StoppedError:
            pass
        except Exception as error:
            self._report(request, error)

    def _report(self, request: _Request, error: Exception) -> None:
        """Pass an error or a warning to ``fail`` unless the request was cancelled."""
        with self._calling:
            if self._current is request:
                self._call_logged(self._fail, error)

    def _render(self, request: _Request) -> None:
        """Render and show what was requested. Raises _StoppedError if it must stop."""

        def on_step(_: object, call: int, *__: Any) -> None:
            done = call + 1
            self._advance(request, Progress(mode, done, total, pace.seconds_left(done, total)))

        total = self._session.num_calls
        renders = iter(self._session.stream(callback_on_step_end=on_step))
        for mode in STREAM[:1] if request.moving else STREAM:
            pace = _Pace(self._clock)
            self._advance(request, Progress(mode, 0, total, None))
            render = next(renders)
            self._call(request, self._show, render)
            if render.exact:
                return

    def _render_more(self, request: _Request) -> None:
        """Render and show the images of ``more``. Raises _StoppedError if it must stop."""
        total = self._session.num_calls

        def on_step(_: object, call: int, *__: Any) -> None:
            self._advance(request, Progress("further", call + 1, total, None))

        for show in self._more(on_step):
            self._call(request, lambda function: function(), show)
            self._advance(request, Progress("further", total, total, None))

    def _advance(self, request: _Request, progress: Progress) -> None:
        """Report progress. Raises _StoppedError if a newer request is pending."""
        if self._pending is not None and not request.moving:
            raise _StoppedError
        self._call(request, self._progress, progress)

    def _call(self, request: _Request, function: Callable[[T], object], value: T) -> None:
        """Call one of the functions. Raises _StoppedError if the request was cancelled."""
        with self._calling:
            if self._current is not request:
                raise _StoppedError
            function(value)

    def _call_logged(self, function: Callable[[T], object], value: T) -> None:
        """Call one of the functions, and log its errors so that they do not end the thread."""
        try:
            with self._calling:
                function(value)
        except Exception:
            log.exception("a function that sega_widgets called has failed")


class _Pace:
    """An estimate of the seconds left of one render, from the durations of its model calls.

    Calls whose predictions are all recorded come first and take almost no time, so they must not
    count: a call that takes far longer than all calls before it starts the measurement anew.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted_from = 0
        self._since = self._last = self._clock()
        self._longest = 0.0

    def seconds_left(self, done: int, total: int) -> float:
        """Return the estimate after ``done`` of ``total`` calls; called after each call."""
        now = self._clock()
        duration = now - self._last
        if duration > 10 * self._longest:
            self._counted_from, self._since = done - 1, self._last
        self._longest = max(duration, self._longest)
        self._last = now
        return (now - self._since) / (done - self._counted_from) * (total - done)
