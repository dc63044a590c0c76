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

from sega_session import EditSession, EditState
from sega_session.errors import redirect_warnings
from sega_session.render import Render, StepCallback

from .progress import EditProgress, FurtherProgress, Idle, Pace, Progress, Report, Stage

T = TypeVar("T")

EXTRA = 0.2
"""The share of an exact render's own time by which a preview may delay it.

With the errors of the estimates, the exact image comes within 1.25 times that time. An anchored
render would make a third of its evaluations or more, so there is none.
"""

INTERVAL = 0.1
"""The least seconds between two reports of one stage."""

More = Callable[[StepCallback], Iterable[Callable[[], object]]]
"""A function that renders further images.

It passes its argument to every render as ``callback_on_step_end``, and yields a function that
shows each image.
"""

log = logging.getLogger(__name__)


@frozen(eq=False)
class _Request:
    """A request to render; requests compare by identity.

    Attributes:
        moving: a slider moves, so that a preview is enough.
        posted: the clock's seconds at the request.
    """

    moving: bool
    posted: float


class _StoppedError(Exception):
    """The current request was cancelled or replaced by a newer one."""


class RenderWorker:
    """A thread that renders a session, with methods for callers on any thread.

    At most one request is pending: the newest. It is answered by a preview and the exact render, of
    which the preview is left out if it is shown already, or if it would delay the exact render by
    more than `EXTRA` of its time. While a slider moves, it is answered by a preview alone.

    The worker guarantees:

    - A render is of the state that the session had when rendering began, not of an earlier one;
      both renders of a request are of the state at its start. `Render.state` says which.
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
        progress: called with a `Progress` before a stage's first model call, after its last, and
            between the two at most every `INTERVAL` seconds; with a `FurtherProgress` in the same
            way for images of ``more``; and with `Idle` when there is nothing left to do.
        fail: called with each error or warning of a render, and with errors of the other functions.
        more: renders further images after the session's exact render was shown. A newer request,
            `cancel` and `close` end it like any render.
        missing: returns how many functions ``more`` has still to yield, or to run; None: that is
            not known.
        lock: held while rendering; workers that share one pipeline must share a lock.
        clock: returns seconds.
    """

    def __init__(
        self,
        session: EditSession,
        *,
        show: Callable[[Render], object],
        progress: Callable[[Report], object],
        fail: Callable[[Exception], object],
        more: More = lambda on_step: (),
        missing: Callable[[], int | None] = lambda: None,
        lock: Lock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._show = show
        self._progress = progress
        self._fail = fail
        self._more = more
        self._missing = missing
        self._lock = lock or Lock()
        self._clock = clock
        self._pace = Pace()
        self._reported = 0.0
        self._shown: EditState | None = None
        self._idle = Idle("stopped")
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
            moving: True for a preview alone, while a slider moves.
        """
        with self._changed:
            if not self._closed:
                self._pending = _Request(moving, self._clock())
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
            self._call_logged(self._progress, self._idle)

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
        self._idle = Idle("stopped")
        try:
            with self._lock, redirect_warnings(lambda warning: self._report(request, warning)):
                self._idle = self._answer(request)
        except _StoppedError:
            pass
        except Exception as error:
            self._report(request, error)

    def _report(self, request: _Request, error: Exception) -> None:
        """Pass an error or a warning to ``fail`` unless the request was cancelled."""
        with self._calling:
            if self._current is request:
                self._call_logged(self._fail, error)

    def _answer(self, request: _Request) -> Idle:
        """Render and show what was requested. Raises _StoppedError if it must stop."""
        state = self._session.state
        planned = self._plan(request, state)
        edit = EditProgress(self._pace, self._clock, planned, refining=self._shown == state)
        calls, exact = self._session.num_calls, False

        def report(stage: Stage) -> None:
            left = self._session.plan(stage, state=state)
            self._advance(request, edit.progress(left))

        def on_step(_: object, call: int, *__: Any) -> None:
            edit.step()
            self._check(request)
            if not request.moving and (call + 1 == calls or self._is_due()):
                report(stage)

        renders = iter(self._session.stream(modes=[*planned], callback_on_step_end=on_step))
        for stage in planned:
            edit.begin(self._session.plan(stage, state=state))
            if request.moving:
                self._advance(request, Progress(stage))
            else:
                report(stage)
            render = next(renders)
            self._call(request, self._show, render)
            self._shown, exact = render.state, render.exact
            edit.end(render.evaluations)
            if exact:
                break
        seconds = self._clock() - request.posted
        if not request.moving:
            self._show_further(request)
        return Idle("exact" if exact else "preview", edit.evaluations, seconds)

    def _plan(self, request: _Request, state: EditState) -> dict[Stage, int]:
        """Return the evaluations of each stage that answers a request."""
        if request.moving:
            return {"preview": self._session.plan("preview", state=state)}
        exact = self._session.plan("exact", state=state)
        if exact == 0 or self._shown == state:
            return {"exact": exact}
        preview = self._session.plan("preview", state=state)
        waited = self._clock() - request.posted
        first, whole = self._pace.seconds("preview", preview), self._pace.seconds("exact", exact)
        if first is None or whole is None:
            waited, first, whole = 0.0, preview, exact
        if waited + first > EXTRA * whole:
            return {"exact": exact}
        return {"preview": preview, "exact": exact}

    def _show_further(self, request: _Request) -> None:
        """Render and show the images of ``more``. Raises _StoppedError if it must stop."""
        calls, done = self._session.num_calls, 0

        def report(share: float) -> None:
            if self._is_due():
                missing = self._missing()
                total = None if missing is None else done + missing
                fraction = min(1.0, (done + share) / total) if total else None
                self._advance(request, FurtherProgress(done, total, fraction))

        def on_step(_: object, call: int, *__: Any) -> None:
            self._check(request)
            report((call + 1) / calls)

        for show in self._more(on_step):
            self._call(request, lambda function: function(), show)
            done += 1
            self._check(request)
            report(0.0)

    def _is_due(self) -> bool:
        """Return whether the last report is long enough ago for another one."""
        return self._clock() - self._reported >= INTERVAL

    def _advance(self, request: _Request, report: Report) -> None:
        """Report progress. Raises _StoppedError if a newer request is pending."""
        self._check(request)
        self._reported = self._clock()
        self._call(request, self._progress, report)

    def _check(self, request: _Request) -> None:
        """Raise _StoppedError if a request was cancelled, or a newer one ends it."""
        newer = self._pending is not None and not request.moving
        if newer or self._current is not request:
            raise _StoppedError

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
