"""The thread that draws for widgets: what it promises, each by itself and all in a soak."""

from __future__ import annotations

import faulthandler
import itertools
import logging
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event, Lock, Semaphore, Thread
from typing import Any

import pytest
import torch
from attrs import Factory, define, frozen
from sega_widgets.worker import Progress, RenderWorker

from sega_session import EditSession
from sega_session.errors import (
    AutosaveWarning,
    NotFiniteError,
    SegaSessionError,
    warn_caller,
)
from sega_session.state import EditState
from tests.engine.test_store import fake_session, random_edit

PATIENCE = 30.0
"""Seconds after which a wait is taken for a deadlock."""


@frozen
class Picture:
    """What of a `Render` the worker and these tests look at."""

    state: int
    mode: str

    @property
    def exact(self) -> bool:
        return self.mode == "exact"


class SteppedSession:
    """A session that makes a model call, or decodes, only when the test lets it."""

    num_calls = 3

    def __init__(self) -> None:
        self.state = 0
        self.now = 0.0
        self.seconds: Callable[[str, int], float] = lambda mode, call: 1.0
        self.error: Exception | None = None
        self.first_exact = False
        self.begun: list[tuple[int, str, int | str]] = []
        self._begins = Semaphore(0)
        self._allowed = Semaphore(0)

    def stream(self, *, callback_on_step_end: Any) -> Iterator[Picture]:
        state = self.state
        for mode in ("preview", "anchored", "exact"):
            for call in range(self.num_calls):
                self._work(state, mode, call)
                self.now += self.seconds(mode, call)
                callback_on_step_end(self, call, torch.tensor(0), {})
            self._work(state, mode, "decode")
            picture = Picture(state, "exact" if self.first_exact else mode)
            yield picture
            if picture.exact:
                return

    def further(self, name: str, on_step: Any) -> Picture:
        """A picture of something else than the state."""
        for call in range(self.num_calls):
            self._work(self.state, name, call)
            on_step(self, call, torch.tensor(0), {})
        return Picture(self.state, name)

    def _work(self, *what: Any) -> None:
        self.begun.append(what)
        self._begins.release()
        assert self._allowed.acquire(timeout=PATIENCE)
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def begins(self, count: int = 1) -> tuple[int, str, int | str]:
        """Wait until so many more calls have begun; the last of them."""
        for _ in range(count):
            assert self._begins.acquire(timeout=PATIENCE)
        return self.begun[-1]

    def go(self, count: int = 1) -> None:
        """Let so many calls end."""
        self._allowed.release(count)

    def run(self, count: int = 1) -> tuple[int, str, int | str]:
        """Let the call that has begun end, and so many in all; the one that begins then."""
        self.go(count)
        return self.begins(count)

    def run_freely(self) -> None:
        self.go(1000)


class Bench:
    """A worker on a `SteppedSession`, and what it has told, in order."""

    def __init__(self, turn: Any = None) -> None:
        self.session = SteppedSession()
        self.told: list[Any] = []
        self.threads: set[str] = set()
        self.on_show: Callable[[Picture], object] = lambda _: None
        self.on_progress: Callable[[Progress | None], object] = lambda _: None
        self.on_fail: Callable[[Exception], object] = lambda _: None
        self.further: tuple[str, ...] = ()
        session: Any = self.session
        self.worker = RenderWorker(
            session,
            show=lambda picture: self._tell(picture, self.on_show),
            progress=lambda progress: self._tell(progress, self.on_progress),
            fail=lambda error: self._tell(error, self.on_fail),
            more=self._more,
            turn=turn,
            clock=lambda: self.session.now,
        )

    def _more(self, on_step: Any) -> Iterator[Callable[[], object]]:
        for name in self.further:
            yield partial(self._tell, self.session.further(name, on_step), lambda _: None)

    def _tell(self, value: Any, then: Callable[[Any], object]) -> None:
        self.told.append(value)
        self.threads.add(threading.current_thread().name)
        then(value)

    @property
    def shown(self) -> list[tuple[int, str]]:
        return [(one.state, one.mode) for one in self.told if isinstance(one, Picture)]

    @property
    def failed(self) -> list[Exception]:
        return [one for one in self.told if isinstance(one, Exception)]

    def edit_and_post(self, *, moving: bool = False) -> None:
        self.session.state += 1
        self.worker.post(moving=moving)

    def finish(self) -> None:
        """Let everything end, and see that it does."""
        self.session.run_freely()
        assert self.worker.wait(PATIENCE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.session.run_freely()
    bench.worker.close()


STREAM = ("preview", "anchored", "exact")


def streamed(state: int) -> list[tuple[int, str]]:
    return [(state, mode) for mode in STREAM]


# What is drawn and shown.


def test_a_post_shows_better_and_better_pictures(bench: Bench) -> None:
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(1)
    assert bench.told[-1] is None
    assert bench.threads == {"sega-render"}


def test_the_first_exact_picture_is_the_last(bench: Bench) -> None:
    bench.session.first_exact = True
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "exact")]
    assert {one.mode for one in bench.told if isinstance(one, Progress)} == {"preview"}


def test_a_moving_post_shows_a_preview_alone(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.finish()
    assert bench.shown == [(1, "preview")]
    assert bench.told[-1] is None


def test_the_state_is_taken_when_drawing_begins(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    assert bench.session.begins() == (1, "preview", 0)
    bench.edit_and_post()
    bench.session.state += 1
    bench.finish()
    # The second post was for state 2; by the time it was begun, the session was at 3.
    assert bench.shown == [(1, "preview"), *streamed(3)]


@pytest.mark.parametrize("moving", [False, True])
# After 3 and 7 it decodes, see the next test.
@pytest.mark.parametrize("calls_made", [0, 1, 2, 4, 5, 8, 9])
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


def test_a_picture_past_its_last_call_is_shown_although_a_newer_post_waits(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    assert bench.session.run(3) == (1, "preview", "decode")
    bench.edit_and_post()
    assert bench.session.run() == (2, "preview", 0)
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


@pytest.mark.parametrize("moving", [False, True])
def test_the_preview_of_a_moving_slider_is_finished_and_shown(bench: Bench, moving: bool) -> None:
    bench.edit_and_post(moving=True)
    bench.session.begins()
    for _ in range(3):
        bench.edit_and_post(moving=True)
        bench.session.run()
    bench.edit_and_post(moving=moving)
    assert bench.session.run() == (5, "preview", 0)
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(5)[: 1 if moving else 3]]


def test_an_endless_drag_shows_every_preview_that_is_begun(bench: Bench) -> None:
    bench.edit_and_post(moving=True)
    bench.session.begins()
    for _ in range(100):
        bench.edit_and_post(moving=True)
        bench.session.run()
    bench.edit_and_post()
    bench.finish()
    # A preview is three calls and a decoding, and with each of them the slider moved on.
    assert bench.shown[:-3] == [(state, "preview") for state in range(1, 102, 4)]
    assert bench.shown[-3:] == streamed(102)


# Further pictures.


def test_further_pictures_come_after_the_exact_one_and_not_while_moving(bench: Bench) -> None:
    bench.further = ("one", "other")
    bench.edit_and_post(moving=True)
    bench.finish()
    assert bench.shown == [(1, "preview")]
    bench.edit_and_post()
    bench.finish()
    assert bench.shown[1:] == [*streamed(2), (2, "one"), (2, "other")]
    assert bench.told[-1] is None
    further = [one.done for one in bench.told if one and getattr(one, "mode", "") == "further"]
    # The bar is full once more when a picture is there.
    assert further == [1, 2, 3, 3] * 2


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("calls_made", range(6))
def test_a_newer_post_ends_further_pictures_within_one_model_call(
    bench: Bench, calls_made: int, moving: bool
) -> None:
    bench.further = ("one", "other")
    bench.edit_and_post()
    bench.session.begins()
    assert bench.session.run(12) == (1, "one", 0)
    if calls_made:
        bench.session.run(calls_made)
    bench.edit_and_post(moving=moving)
    assert bench.session.run() == (2, "preview", 0)
    bench.finish()
    assert bench.shown[3:-1] == [(1, "one")] * (calls_made > 2) + (
        [] if moving else [*streamed(2), (2, "one")]
    )


def test_a_cancel_ends_further_pictures(bench: Bench) -> None:
    bench.further = ("one",)
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(13)
    bench.worker.cancel()
    bench.finish()
    assert bench.session.begun[-1] == (1, "one", 1)
    assert bench.shown == streamed(1)


def test_the_failure_of_a_further_picture_is_told(bench: Bench) -> None:
    bench.further = ("one",)
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(12)
    bench.session.error = NotFiniteError("overflow")
    bench.finish()
    assert [str(error) for error in bench.failed] == ["overflow"]
    assert bench.shown == streamed(1)


def test_warnings_of_a_render_are_told(bench: Bench) -> None:
    bench.on_show = lambda _: warn_caller("on show", AutosaveWarning)
    bench.edit_and_post(moving=True)
    bench.finish()
    assert [(type(one), str(one)) for one in bench.failed] == [(AutosaveWarning, "on show")]


def test_workers_of_one_pipeline_take_turns() -> None:
    turn = Lock()
    first, second = Bench(turn), Bench(turn)
    first.edit_and_post()
    first.session.begins()
    second.edit_and_post()
    second.session.run_freely()
    assert not second.worker.wait(0.1)
    assert second.session.begun == []
    # It can be cancelled while it waits for its turn.
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
    told = list(bench.told)
    bench.finish()
    assert (
        bench.session.begun
        == [(1, "preview", call) for call in (0, 1, 2, "decode")][: calls_made + 1]
    )
    assert bench.told == [*told, None]
    assert bench.shown == []


def test_after_a_cancel_the_worker_goes_on(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.worker.cancel()
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(2)


def test_the_failure_of_what_was_cancelled_is_not_told(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.error = NotFiniteError("overflow")
    bench.worker.cancel()
    bench.finish()
    assert bench.failed == []


@pytest.mark.parametrize("name", ["cancel", "close"])
def test_cancel_and_close_wait_for_a_picture_that_is_being_shown(bench: Bench, name: str) -> None:
    showing, shown = Event(), Event()

    def show(_: Picture) -> None:
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


def test_closing_ends_the_thread_and_nothing_is_shown_any_more(bench: Bench) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run()
    # It is closed within the call, which the session is let out of only then.
    closing = Thread(target=bench.worker.close, daemon=True)
    closing.start()
    while not bench.worker._closed or bench.worker._current is not None:
        closing.join(0.001)
    bench.session.go()
    closing.join(PATIENCE)
    assert not bench.worker._thread.is_alive()
    assert bench.session.begun == [(1, "preview", 0), (1, "preview", 1)]
    told = list(bench.told)
    bench.edit_and_post()
    bench.worker.cancel()
    bench.worker.close()
    assert bench.worker.wait(0)
    assert bench.told == told
    assert bench.shown == []


def test_a_worker_is_closed_by_its_context(bench: Bench) -> None:
    with bench.worker as worker:
        assert worker is bench.worker
        bench.edit_and_post()
        bench.finish()
    assert not bench.worker._thread.is_alive()
    assert bench.shown == streamed(1)


def test_waiting_can_run_out_of_time(bench: Bench) -> None:
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
    bench.on_show = lambda picture: bench.edit_and_post() if picture.state == 1 else None
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


EXIT = """
import torch
from sega_widgets.worker import RenderWorker

class Session:
    num_calls = 1
    def stream(self, *, callback_on_step_end):
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


def test_a_process_ends_in_peace_while_something_is_drawn() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXIT], check=False, capture_output=True, timeout=2 * PATIENCE
    )
    assert ended.returncode == 0, ended.stderr.decode()


# Errors.


@pytest.mark.parametrize("error", [NotFiniteError("overflow"), ZeroDivisionError()])
def test_errors_are_told_and_the_worker_goes_on(bench: Bench, error: Exception) -> None:
    bench.edit_and_post()
    bench.session.begins()
    bench.session.run(5)
    bench.session.error = error
    bench.finish()
    assert bench.shown == [(1, "preview")]
    assert bench.failed == [error]
    assert bench.told[-2:] == [error, None]
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == [(1, "preview"), *streamed(2)]


@pytest.mark.parametrize("what", ["on_show", "on_progress"])
def test_errors_of_show_and_progress_are_told_too(bench: Bench, what: str) -> None:
    error = RuntimeError("the browser is gone")

    def fail(value: object) -> None:
        if value is not None:
            raise error

    setattr(bench, what, fail)
    bench.edit_and_post()
    bench.finish()
    assert bench.failed == [error]
    setattr(bench, what, lambda _: None)
    bench.edit_and_post()
    bench.finish()
    assert bench.shown[-3:] == streamed(2)


def test_errors_that_nobody_can_be_told_of_are_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(value: object) -> None:
        raise RuntimeError("the browser is gone")

    bench.on_fail = bench.on_progress = fail
    with caplog.at_level(logging.ERROR):
        bench.edit_and_post()
        bench.finish()
    assert [one.name for one in caplog.records] == ["sega_widgets.worker"] * 2
    assert "the browser is gone" in caplog.text
    bench.on_fail = bench.on_progress = lambda _: None
    bench.edit_and_post()
    bench.finish()
    assert bench.shown == streamed(2)


# Progress.


def progress_of(bench: Bench, mode: str) -> list[tuple[int, float | None]]:
    found = [one for one in bench.told if isinstance(one, Progress) and one.mode == mode]
    assert {one.total for one in found} == {bench.session.num_calls}
    return [(one.done, one.seconds_left) for one in found]


def test_progress_counts_model_calls_and_estimates_the_seconds_left(bench: Bench) -> None:
    bench.session.num_calls = 4
    bench.session.seconds = lambda mode, call: (
        2.0 if mode == "exact" else (1.0, 3.0, 2.0, 2.0)[call]
    )
    bench.edit_and_post()
    bench.finish()
    assert progress_of(bench, "preview") == [(0, None), (1, 3.0), (2, 4.0), (3, 2.0), (4, 0.0)]
    assert progress_of(bench, "exact") == [(0, None), (1, 6.0), (2, 4.0), (3, 2.0), (4, 0.0)]


def test_calls_that_were_recorded_do_not_count_for_the_estimate(bench: Bench) -> None:
    bench.session.num_calls = 6
    bench.session.seconds = lambda mode, call: 0.01 if call < 3 else 2.0
    bench.edit_and_post(moving=True)
    bench.finish()
    left = [seconds for _, seconds in progress_of(bench, "preview")]
    assert left[1:] == pytest.approx([0.05, 0.04, 0.03, 4.0, 2.0, 0.0])


def test_calls_that_take_no_time_at_all_leave_none() -> None:
    bench = Bench()
    bench.session.seconds = lambda mode, call: 0.0
    bench.edit_and_post(moving=True)
    bench.finish()
    bench.worker.close()
    assert [seconds for _, seconds in progress_of(bench, "preview")] == [None, 0.0, 0.0, 0.0]


# The soak: everything at once, on an `EditSession` whose model is arithmetic.

THREADS, ROUNDS, EVENTS = 8, 10, 10_000

ticks = itertools.count()
"""Puts what several threads do in an order: an event lies between the ticks around it."""


@frozen(eq=False)
class Span:
    """From before something to after it."""

    begin: int
    end: int


@define(eq=False)
class Streamed:
    """One `stream` of the worker's: ticks of its beginning, its model calls and its pictures."""

    begin: int
    steps: list[int] = Factory(list)
    shown: list[tuple[int, Any]] = Factory(list)

    @property
    def begun(self) -> int:
        """By then the state was taken."""
        return min([*self.steps[:1], *(tick for tick, _ in self.shown[:1])])


class Soak:
    """An `EditSession` and its worker, with a note of everything that happens."""

    def __init__(self, session: EditSession) -> None:
        self.session = session
        self.num_calls = session.num_calls
        # Edits replace the state that they read, so threads that edit take turns.
        self.editing = Lock()
        self.states: list[tuple[Span, EditState]] = [(Span(-1, -1), session.state)]
        self.streams: list[Streamed] = []
        self.cancels: list[Span] = []
        self.posts: list[Span] = []
        self.errors: list[BaseException] = []
        self.idle = 0
        self.renders, self.in_flight, self.most_in_flight = 0, 0, 0
        self._counting = Lock()
        render = session._renderer.render
        session._renderer.render = lambda *args: self._counted(render, *args)  # type: ignore[method-assign]
        watched: Any = self
        self.worker = RenderWorker(
            watched, show=self._show, progress=self._progress, fail=self.errors.append
        )

    def stream(self, *, callback_on_step_end: Any) -> Iterator[Any]:
        stream = Streamed(next(ticks))
        self.streams.append(stream)

        def on_step(*args: Any) -> None:
            stream.steps.append(next(ticks))
            callback_on_step_end(*args)

        return self.session.stream(callback_on_step_end=on_step)

    def _counted(self, render: Callable[..., Any], *args: Any) -> Any:
        with self._counting:
            self.renders += 1
            self.in_flight += 1
            self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            return render(*args)
        finally:
            with self._counting:
                self.in_flight -= 1

    def _show(self, picture: Any) -> None:
        self.streams[-1].shown.append((next(ticks), picture))

    def _progress(self, progress: Progress | None) -> None:
        self.idle += progress is None

    @contextmanager
    def edited(self) -> Iterator[None]:
        with self.editing:
            begin = next(ticks)
            with suppress(SegaSessionError):
                yield
            if self.session.state is not self.states[-1][1]:
                self.states.append((Span(begin, next(ticks)), self.session.state))

    def edit(self, rng: random.Random) -> None:
        with self.edited():
            random_edit(self.session, rng)

    def drag(self, rng: random.Random) -> None:
        """One movement of a slider, as a widget tells it."""
        with self.edited(), self.session.gesture(f"hat.{rng.randrange(3)}"):
            self.session.reweight("hat", scale=rng.uniform(3, 7))
        self.post(moving=True)

    def travel(self, rng: random.Random) -> None:
        with self.edited():
            rng.choice([self.session.undo, self.session.redo])()

    def post(self, *, moving: bool = False) -> None:
        begin = next(ticks)
        self.worker.post(moving=moving)
        self.posts.append(Span(begin, next(ticks)))

    def cancel(self) -> None:
        begin = next(ticks)
        self.worker.cancel()
        self.cancels.append(Span(begin, next(ticks)))

    def events(self, rng: random.Random, count: int) -> None:
        acts: dict[Callable[[], object], int] = {
            lambda: self.drag(rng): 8,
            lambda: self.edit(rng): 4,
            lambda: self.travel(rng): 3,
            self.post: 4,
            self.cancel: 1,
            lambda: self.session.render(rng.choice(STREAM), output_type="latent"): 1,
            # A hand pauses now and then.
            lambda: self.worker.wait(rng.uniform(0, 0.1)): 4,
        }
        try:
            for act in rng.choices(list(acts), list(acts.values()), k=count):
                act()
        except BaseException as error:
            self.errors.append(error)
            raise

    def storm(self, seed: int) -> None:
        """All threads at once."""
        threads = [
            Thread(
                target=self.events,
                args=(random.Random(f"{seed} {number}"), EVENTS // ROUNDS // THREADS),
                daemon=True,
            )
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a deadlock"

    def was_current(self, number: int, since: int, until: int) -> bool:
        """Whether a state may have been the session's at some moment of a time."""
        begin = self.states[number][0].begin
        following = self.states[number + 1 : number + 2]
        return begin < until and all(span.end > since for span, _ in following)


@contextmanager
def hasty_threads() -> Iterator[None]:
    """Let threads take turns often, and say where they are if they get stuck."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    faulthandler.dump_traceback_later(2 * PATIENCE)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.setswitchinterval(interval)


def test_ten_thousand_events_from_eight_threads(
    monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    session = fake_session(monkeypatch, batch_plan="canonical")
    cold = fake_session(monkeypatch, batch_plan="canonical", cache_bytes=0)
    soak = Soak(session)
    with hasty_threads(), soak.worker:
        for seed in range(ROUNDS):
            soak.storm(seed)
            soak.edit(random.Random(seed))
            soak.post()
            assert soak.worker.wait(PATIENCE), "a deadlock"
            _, last = soak.streams[-1].shown[-1]
            assert last.exact
            assert last.state is session.state
            # Whatever went on meanwhile, it has the bits of a session of its own.
            cold._history = session.history
            cold._conditionings.update(session._conditionings)
            assert torch.equal(last.latents, cold.render(output_type="latent").latents)
    assert soak.errors == []
    assert soak.most_in_flight == 1
    check_order(soak)
    late = check_stops(soak)
    shown = sum(len(stream.shown) for stream in soak.streams)
    moving = sum(1 for one in soak.streams if [p.mode for _, p in one.shown] == ["preview"])
    figure(
        f"worker soak: {EVENTS} events from {THREADS} threads, {len(soak.states)} states, "
        f"{len(soak.posts)} posts, {len(soak.cancels)} cancels, {soak.renders} renders, at most "
        f"{soak.most_in_flight} at once; {len(soak.streams)} streams begun, {shown} pictures "
        f"shown, {moving} of them previews alone; model calls begun after a cancel: {late} at most"
    )
    assert shown > 100


def check_order(soak: Soak) -> None:
    """Each picture is of a state that was current after the one before was taken."""
    for stream, following in itertools.pairwise([*soak.streams, Streamed(next(ticks))]):
        for tick, picture in stream.shown:
            assert stream.begin < tick < following.begin
            assert any(
                state is picture.state and soak.was_current(number, stream.begin, stream.begun)
                for number, (_, state) in enumerate(soak.states)
            )


def check_stops(soak: Soak) -> int:
    """Nothing is shown after a cancel; the most model calls that ended after one."""
    most = 0
    for stream in soak.streams:
        for cancel in soak.cancels:
            if cancel.begin > stream.begin:
                assert all(tick < cancel.end for tick, _ in stream.shown)
                most = max(most, sum(tick > cancel.end for tick in stream.steps))
        # Past its first picture a stream is not a moving slider's, and any post ends it.
        refining = [s for s in stream.steps if stream.shown and s > stream.shown[0][0]]
        for post in soak.posts:
            if post.begin > stream.begin:
                most = max(most, sum(tick > post.end for tick in refining))
    assert most <= 1
    return most
