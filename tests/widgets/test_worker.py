"""The render worker: each of its guarantees. All of them together are in the soak."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event, Lock, Semaphore, Thread
from typing import Any

import pytest
import torch
from attrs import frozen
from sega_widgets.progress import FurtherProgress, Idle, Progress
from sega_widgets.worker import INTERVAL, RenderWorker

from sega_session.errors import AutosaveWarning, NotFiniteError, warn_caller

PATIENCE = 30.0
"""Seconds after which a wait is taken for a deadlock."""


@frozen
class FakeRender:
    """The parts of a `Render` that the worker and these tests read."""

    state: int
    mode: str
    evaluations: int = 0

    @property
    def exact(self) -> bool:
        return self.mode == "exact"


class SteppedSession:
    """A session that makes each model call, and decodes, only when a test allows it.

    Attributes:
        costs: the evaluations of a model call in each mode.
        seconds: the time that a model call takes on the clock ``now``.
    """

    num_calls = 3

    def __init__(self) -> None:
        self.state = 0
        self.now = 0.0
        self.costs = {"preview": 1, "exact": 10}
        self.seconds: Callable[[str, int], float] = lambda mode, call: 0.0
        self.error: Exception | None = None
        self.first_exact = False
        self.begun: list[tuple[int, str, int | str]] = []
        self._done: set[tuple[int, str, int]] = set()
        self._begins = Semaphore(0)
        self._allowed = Semaphore(0)

    def plan(self, mode: str, *, state: int) -> int:
        left = sum((state, mode, call) not in self._done for call in range(self.num_calls))
        return self.costs[mode] * left

    def stream(self, *, modes: Sequence[str], callback_on_step_end: Any) -> Iterator[FakeRender]:
        state = self.state
        for mode in modes:
            evaluations = self.plan(mode, state=state)
            for call in range(self.num_calls):
                self._work(state, mode, call)
                self._done.add((state, mode, call))
                self.now += self.seconds(mode, call)
                callback_on_step_end(self, call, torch.tensor(0), {})
            self._work(state, mode, "decode")
            render = FakeRender(state, "exact" if self.first_exact else mode, evaluations)
            yield render
            if render.exact:
                return

    def further(self, name: str, on_step: Any) -> FakeRender:
        """Render something else than the state."""
        for call in range(self.num_calls):
            self._work(self.state, name, call)
            self.now += self.seconds(name, call)
            on_step(self, call, torch.tensor(0), {})
        return FakeRender(self.state, name)

    def _work(self, *what: Any) -> None:
        self.begun.append(what)
        self._begins.release()
        assert self._allowed.acquire(timeout=PATIENCE)
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def begins(self, count: int = 1) -> tuple[int, str, int | str]:
        """Wait until ``count`` more calls have begun; return the last of them."""
        for _ in range(count):
            assert self._begins.acquire(timeout=PATIENCE)
        return self.begun[-1]

    def go(self, count: int = 1) -> None:
        """Let ``count`` calls end."""
        self._allowed.release(count)

    def run(self, count: int = 1) -> tuple[int, str, int | str]:
        """Let ``count`` calls end, the current one first; return the call that begins then."""
        self.go(count)
        return self.begins(count)

    def run_freely(self) -> None:
        self.go(1000)


class Bench:
    """A worker on a `SteppedSession`, and everything that it reported, in order."""

    def __init__(self, lock: Any = None) -> None:
        self.session = SteppedSession()
        self.reported: list[Any] = []
        self.threads: set[Thread] = set()
        self.on_show: Callable[[FakeRender], object] = lambda _: None
        self.on_progress: Callable[[object], object] = lambda _: None
        self.on_fail: Callable[[Exception], object] = lambda _: None
        self.further: tuple[str, ...] = ()
        self.missing: int | None = None
        session: Any = self.session
        self.worker = RenderWorker(
            session,
            show=lambda render: self._report(render, self.on_show),
            progress=lambda progress: self._report(progress, self.on_progress),
            fail=lambda error: self._report(error, self.on_fail),
            more=self._more,
            missing=lambda: self.missing,
            lock=lock,
            clock=lambda: self.session.now,
        )

    def _more(self, on_step: Any) -> Iterator[Callable[[], object]]:
        for name in self.further:
            yield partial(self._show_further, self.session.further(name, on_step))

    def _show_further(self, render: FakeRender) -> None:
        self._report(render, lambda _: None)
        if self.missing is not None:
            self.missing -= 1

    def _report(self, value: Any, then: Callable[[Any], object]) -> None:
        self.reported.append(value)
        self.threads.add(threading.current_thread())
        then(value)

    @property
    def thread(self) -> Thread:
        """The worker's thread, once it has reported anything."""
        (thread,) = self.threads
        return thread

    @property
    def shown(self) -> list[tuple[int, str]]:
        return [(one.state, one.mode) for one in self.reported if isinstance(one, FakeRender)]

    @property
    def progress(self) -> list[Progress]:
        return [one for one in self.reported if isinstance(one, Progress)]

    @property
    def failed(self) -> list[Exception]:
        return [one for one in self.reported if isinstance(one, Exception)]

    def edit_and_post(self, *, moving: bool = False) -> None:
        self.session.state += 1
        self.worker.post(moving=moving)

    def finish(self) -> None:
        """Let everything end, and check that it does."""
        self.session.run_freely()
        assert self.worker.wait(PATIENCE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.session.run_freely()
    bench.worker.close()


def streamed(state: int) -> list[tuple[int, str]]:
    return [(state, mode) for mode in ("preview", "exact")]


# What is rendered and shown.


def test_a_post_shows_renders_of_increasing_accuracy(bench: Bench) -> None:
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(1)
    assert bench.reported[-1] == Idle("exact", evaluations=33)
    assert [thread.name for thread in bench.threads] == ["sega-render"]


def test_the_first_exact_render_is_the_last(bench: Bench) -> None:
    bench.session.first_exact = True
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "exact")]
    assert {one.stage for one in bench.progress} == {"preview"}


def test_a_moving_post_shows_a_preview_alone(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.finish()
    assert bench.shown == [(1, "preview")]
    assert bench.reported[-1] == Idle("preview", evaluations=3)


def test_the_state_is_read_when_rendering_begins(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    assert bench.session.begins() == (1, "preview", 0)
    bench.edit_and_post()
    bench.session.state += 1
    bench.finish()
    # The second post was for state 2; when it was processed, the session was at 3.
    assert bench.shown == [(1, "preview"), *streamed(3)]


@pytest.mark.parametrize("moving", [False, True])
# After 3 and 7 calls it decodes: see the next test.
@pytest.mark.parametrize("calls_made", [0, 1, 2, 4, 5, 6])
def test_the_latest_post_wins_within_one_model_call(
    bench: Bench, calls_made: int, moving: bool
) -> None:
    bench.edit_and_post()
    bench.session.begins()
    if calls_made:
        bench.session.run(calls_made)
    for _ in range(3):
        bench.edit_and_post(moving=moving)
    before = len(bench.session.begun)
    assert bench.session.run() == (4, "preview", 0)
    assert len(bench.session.begun) == before + 1
    bench.finish()
    assert [state for state, _ in bench.shown if state in (2, 3)] == []
    assert bench.shown[-1] == (4, "preview" if moving else "exact")


def test_a_render_past_its_last_call_is_shown_despite_a_newer_post(
    bench: Bench,
) -> None:
    bench.edit_and_post()
    bench.session.begins()
    assert bench.session.run(3) == (1, "preview", "decode")
    bench.edit_and_post()
    assert bench.session.run() == (2, "preview", 0)
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


@pytest.mark.parametrize("moving", [False, True])
def test_the_preview_of_a_moving_slider_is_completed_and_shown(bench: Bench, moving: bool) -> None:
    bench.edit_and_post(moving=True)
    bench.session.begins()
    for _ in range(3):
        bench.edit_and_post(moving=True)
        bench.session.run()
    bench.edit_and_post(moving=moving)
    assert bench.session.run() == (5, "preview", 0)
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(5)[: 1 if moving else 2]]


def test_an_endless_drag_shows_every_preview_that_is_begun(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.session.begins()
    for _ in range(100):
        bench.edit_and_post(moving=True)
        bench.session.run()
    bench.edit_and_post()
    bench.finish()
    # A preview is three calls and a decoding; the slider moved during each of them.
    assert bench.shown[:-2] == [(state, "preview") for state in range(1, 102, 4)]
    assert bench.shown[-2:] == streamed(102)


# Further images.


def test_further_images_follow_the_exact_render_and_not_a_moving_post(bench: Bench) -> None:
    bench.further = ("one", "other")
    bench.edit_and_post(moving=True)
    bench.finish()
    assert bench.shown == [(1, "preview")]
    bench.edit_and_post()
    bench.finish()
    assert bench.shown[1:] == [*streamed(2), (2, "one"), (2, "other")]
    assert bench.reported[-1] == Idle("exact", evaluations=33)


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("calls_made", range(6))
def test_a_newer_post_ends_further_images_within_one_model_call(
    bench: Bench, calls_made: int, moving: bool
) -> None:
    bench.further = ("one", "other")
    bench.edit_and_post()
    bench.session.begins()
    assert bench.session.run(8) == (1, "one", 0)
    if calls_made:
        bench.session.run(calls_made)
    bench.edit_and_post(moving=moving)
    assert bench.session.run() == (2, "preview", 0)
    bench.finish()
    assert bench.shown[2:-1] == [(1, "one")] * (calls_made > 2) + (
        [] if moving else [*streamed(2), (2, "one")]
    )


def test_a_cancel_ends_further_images(bench: Bench) -> None:
    bench.further = ("one",)
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(9)
    bench.worker.cancel()
    bench.finish()
    assert bench.session.begun[-1] == (1, "one", 1)
    assert bench.shown == streamed(1)


def test_the_failure_of_a_further_image_is_reported(bench: Bench) -> None:
    bench.further = ("one",)
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(8)
    bench.session.error = NotFiniteError("overflow")
    bench.finish()
    assert [str(error) for error in bench.failed] == ["overflow"]
    assert bench.shown == streamed(1)


def test_warnings_of_a_render_are_reported(bench: Bench) -> None:
    bench.on_show = lambda _: warn_caller("on show", AutosaveWarning)
    bench.edit_and_post(moving=True)
    bench.finish()
    assert [(type(one), str(one)) for one in bench.failed] == [(AutosaveWarning, "on show")]


def test_workers_that_share_a_lock_take_turns() -> None:
    lock = Lock()
    first, second = Bench(lock), Bench(lock)
    first.edit_and_post()
    first.session.begins()
    second.edit_and_post()
    second.session.run_freely()
    assert not second.worker.wait(0.1)
    assert second.session.begun == []
    # A worker can be cancelled while it waits for the lock.
    second.worker.cancel()
    second.edit_and_post()
    first.worker.cancel()
    first.finish()
    second.finish()
    assert (first.shown, second.shown) == ([], streamed(2))
    for bench in (first, second):
        bench.worker.close()


# Cancelling and closing.


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("calls_made", range(4))
def test_cancelling_stops_within_one_model_call(
    bench: Bench, calls_made: int, moving: bool
) -> None:
    bench.edit_and_post(moving=moving)
    bench.session.begins()
    if calls_made:
        bench.session.run(calls_made)
    bench.edit_and_post(moving=moving)
    bench.worker.cancel()
    reported = list(bench.reported)
    bench.finish()
    assert (
        bench.session.begun
        == [(1, "preview", call) for call in (0, 1, 2, "decode")][: calls_made + 1]
    )
    assert bench.reported == [*reported, Idle("stopped")]
    assert bench.shown == []


def test_after_a_cancel_the_worker_goes_on(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.worker.cancel()
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(2)


def test_the_failure_of_a_cancelled_render_is_not_reported(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.error = NotFiniteError("overflow")
    bench.worker.cancel()
    bench.finish()
    assert bench.failed == []


@pytest.mark.parametrize("name", ["cancel", "close"])
def test_cancel_and_close_wait_until_show_returns(bench: Bench, name: str) -> None:
    showing, shown = Event(), Event()

    def show(_: FakeRender) -> None:
        showing.set()
        assert shown.wait(PATIENCE)

    bench.on_show = show
    bench.edit_and_post()
    bench.session.run_freely()
    assert showing.wait(PATIENCE)
    stopping = Thread(target=getattr(bench.worker, name), daemon=True)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    shown.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert bench.worker.wait(PATIENCE)
    assert bench.shown == [(1, "preview")]


def test_closing_ends_the_thread_and_nothing_is_shown_afterwards(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run()
    # The worker is closed during the call, which ends only afterwards.
    closing = Thread(target=bench.worker.close, daemon=True)
    closing.start()
    while not bench.worker.closed:
        closing.join(0.001)
    bench.session.go()
    closing.join(PATIENCE)
    assert not bench.thread.is_alive()
    assert bench.session.begun == [(1, "preview", 0), (1, "preview", 1)]
    reported = list(bench.reported)
    bench.edit_and_post()
    bench.worker.cancel()
    bench.worker.close()
    assert bench.worker.wait(0)
    assert bench.reported == reported
    assert bench.shown == []


def test_a_worker_is_closed_by_its_context(bench: Bench) -> None:
    with bench.worker as worker:
        assert worker is bench.worker
        bench.edit_and_post()
        bench.finish()
    assert not bench.thread.is_alive()
    assert bench.shown == streamed(1)


def test_waiting_ends_at_its_timeout(bench: Bench) -> None:
    assert bench.worker.wait(0)
    bench.edit_and_post()
    assert not bench.worker.wait(0)
    bench.session.begins()
    assert not bench.worker.wait(0)
    bench.finish()


@pytest.mark.parametrize("name", ["cancel", "close"])
def test_a_callback_may_cancel_or_close(bench: Bench, name: str) -> None:
    bench.on_show = lambda _: getattr(bench.worker, name)()
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "preview")]
    assert bench.failed == []


def test_a_callback_may_post(bench: Bench) -> None:
    bench.on_show = lambda render: bench.edit_and_post() if render.state == 1 else None
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


EXIT = """
import torch
from sega_widgets.worker import RenderWorker

class Session:
    num_calls, state = 1, 0
    def plan(self, mode, *, state):
        return 1
    def stream(self, *, modes, callback_on_step_end):
        while True:
            torch.ones(1000, 1000) @ torch.ones(1000, 1000)
            begun.set()
            callback_on_step_end(self, 0, None, {})
        yield

import threading
begun = threading.Event()
ignore = lambda _: None
RenderWorker(Session(), show=ignore, progress=ignore, fail=ignore).post()
assert begun.wait(20)
"""


def test_a_process_exits_cleanly_during_a_render() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXIT], check=False, capture_output=True, timeout=2 * PATIENCE
    )
    assert ended.returncode == 0, ended.stderr.decode()


# Errors.


@pytest.mark.parametrize("error", [NotFiniteError("overflow"), ZeroDivisionError()])
def test_errors_are_reported_and_the_worker_goes_on(bench: Bench, error: Exception) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(5)
    bench.session.error = error
    bench.finish()
    assert bench.shown == [(1, "preview")]
    assert bench.failed == [error]
    assert bench.reported[-2:] == [error, Idle("stopped")]
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


@pytest.mark.parametrize("what", ["on_show", "on_progress"])
def test_errors_of_show_and_progress_are_reported_too(bench: Bench, what: str) -> None:
    error = RuntimeError("the browser is gone")

    def fail(value: object) -> None:
        if not isinstance(value, Idle):
            raise error

    setattr(bench, what, fail)
    bench.edit_and_post()
    bench.finish()
    assert bench.failed == [error]
    setattr(bench, what, lambda _: None)
    bench.edit_and_post()
    bench.finish()
    assert bench.shown[-2:] == streamed(2)


def test_errors_that_cannot_be_reported_are_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(value: object) -> None:
        raise RuntimeError("the browser is gone")

    bench.on_fail = fail
    bench.on_progress = fail
    with caplog.at_level(logging.ERROR):
        bench.edit_and_post()
        bench.finish()
    assert [one.name for one in caplog.records] == ["sega_widgets.worker"] * 2
    assert "the browser is gone" in caplog.text
    bench.on_fail = lambda _: None
    bench.on_progress = lambda _: None
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(2)


# The way to the exact image.


def test_after_a_drag_a_preview_that_is_shown_is_not_rendered_again(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.finish()
    bench.worker.post()
    bench.finish()
    assert bench.shown == streamed(1)
    assert bench.reported[-1] == Idle("exact", evaluations=30)


def test_a_preview_that_is_under_way_when_a_drag_ends_is_not_rendered_again(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.session.begins()
    bench.worker.post()
    bench.finish()
    assert bench.shown == streamed(1)


def test_a_recorded_image_is_shown_at_once(bench: Bench) -> None:
    bench.session.costs = {"preview": 0, "exact": 0}
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "exact")]


@pytest.mark.parametrize(("cost", "shown"), [(2, streamed(1)), (3, [(1, "exact")])])
def test_a_preview_may_delay_the_exact_image_by_a_fifth(
    bench: Bench, cost: int, shown: list[tuple[int, str]]
) -> None:
    bench.session.costs["preview"] = cost
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == shown


@pytest.mark.parametrize(("seconds", "stages"), [(0.1, ["preview", "exact"]), (0.3, ["exact"])])
def test_once_renders_were_timed_their_seconds_decide(
    bench: Bench, seconds: float, stages: list[str]
) -> None:
    bench.session.seconds = lambda mode, call: seconds if mode == "preview" else 1.0
    bench.edit_and_post()
    bench.finish()
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [*streamed(1), *((2, stage) for stage in stages)]


def test_the_wait_since_the_request_counts_too(bench: Bench) -> None:
    bench.session.seconds = lambda mode, call: 0.15 if mode == "preview" else 1.0
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(7)
    bench.session.go()
    assert bench.worker.wait(PATIENCE)
    bench.edit_and_post(moving=True)
    bench.session.begins()
    # Both previews would delay the exact image by 0.9 s, of the 0.6 s that they may.
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [*streamed(1), (2, "preview"), (3, "exact")]


# Progress.


def test_one_bar_leads_to_the_exact_image(bench: Bench) -> None:
    bench.session.seconds = lambda mode, call: 1.0 if mode == "preview" else 10.0
    for _ in range(2):
        bench.reported.clear()
        bench.edit_and_post()
        bench.finish()
    assert [one.stage for one in bench.progress] == ["preview"] * 4 + ["exact"] * 4
    assert [one.refining for one in bench.progress] == [False] * 4 + [True] * 4
    [marks] = {one.marks for one in bench.progress}
    assert marks == pytest.approx((1 / 11,))
    left = [33, 32, 31, 30, 30, 20, 10, 0]
    assert [one.seconds_left for one in bench.progress] == pytest.approx(left)
    assert [one.seconds for one in bench.progress] == pytest.approx([33] * 8)
    assert [one.fraction for one in bench.progress] == pytest.approx(
        [1 - seconds / 33 for seconds in left]
    )
    assert bench.reported[-1] == Idle("exact", evaluations=33, seconds=33.0)


def test_the_stage_is_the_one_that_is_rendered(bench: Bench) -> None:
    rendered: list[tuple[str, str]] = []
    bench.session.seconds = lambda mode, call: INTERVAL
    bench.on_progress = lambda report: (
        rendered.append((report.stage, bench.session.begun[-1][1]))
        if isinstance(report, Progress) and bench.session.begun
        else None
    )
    bench.edit_and_post()
    bench.finish()
    begins = {("preview", "preview"), ("exact", "exact")}
    # The exact stage is announced before its first call.
    assert {*rendered} == begins | {("exact", "preview")}
    assert rendered.count(("exact", "preview")) == 1


def test_reports_of_a_stage_are_an_interval_apart(bench: Bench) -> None:
    bench.session.num_calls = 100
    bench.session.seconds = lambda mode, call: INTERVAL / 10 if mode == "exact" else 0.0
    bench.edit_and_post()
    bench.finish()
    exact = [one.fraction for one in bench.progress if one.stage == "exact"]
    # The first, every tenth, and the last; by the clock's rounding one more or less.
    assert 10 <= len(exact) <= 12
    assert exact[-1] == 1.0


def test_a_drag_reports_each_preview_once(bench: Bench) -> None:
    bench.session.seconds = lambda mode, call: INTERVAL
    bench.edit_and_post(moving=True)
    bench.finish()
    assert bench.progress == [Progress("preview")]


@pytest.mark.parametrize("total", [2, None])
def test_further_images_are_counted(bench: Bench, total: int | None) -> None:
    bench.session.seconds = lambda mode, call: 2 * INTERVAL
    bench.further = ("one", "other")
    bench.missing = total
    bench.edit_and_post()
    bench.finish()
    found = [one for one in bench.reported if isinstance(one, FurtherProgress)]
    assert [one.done for one in found] == [0, 0, 0, 1, 1, 1]
    assert {one.total for one in found} == {total}
    fractions = [None] * 6 if total is None else [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0]
    assert [one.fraction for one in found] == pytest.approx(fractions)
