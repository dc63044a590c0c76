"""Everything at once: many threads edit, post and cancel on a session with a fake model."""

from __future__ import annotations

import faulthandler
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock, Thread
from typing import Any

import torch
from attrs import Factory, define, frozen
from sega_widgets.progress import Idle, Progress, Report
from sega_widgets.worker import RenderWorker

from sega_session import EditSession, EditState
from sega_session.errors import SegaSessionError
from sega_session.models import Request

from .fakes import Model, new_session

PATIENCE = 30.0
"""Seconds after which a wait is taken for a deadlock."""

THREADS = 8

MODES = ("preview", "anchored", "exact")

ticks = itertools.count()
"""Orders what several threads do: an event lies between the ticks around it."""


@frozen(eq=False)
class Span:
    """The ticks before and after an event."""

    begin: int
    end: int


@define(eq=False)
class Stream:
    """The ticks of one `EditSession.stream`: its start, its model calls and its renders.

    Attributes:
        modes: those that were asked for; a moving slider asks for a preview alone.
    """

    begin: int
    modes: Sequence[str] = ()
    steps: list[int] = Factory(list)
    shown: list[tuple[int, Any]] = Factory(list)

    @property
    def begun(self) -> int:
        """A tick at which the stream had read the session's state."""
        return min([*self.steps[:1], *(tick for tick, _ in self.shown[:1])])


class Soak:
    """A session and its worker, with a record of everything that happens."""

    def __init__(self, model: Model, session: EditSession) -> None:
        self.session = session
        self.num_calls = session.num_calls
        # Edits replace the state that they read, so threads that edit take turns.
        self.editing = Lock()
        self.states: list[tuple[Span, EditState]] = [(Span(-1, -1), session.state)]
        self.streams: list[Stream] = []
        self.cancels: list[Span] = []
        self.posts: list[Span] = []
        self.errors: list[BaseException] = []
        self.last_report: Report | None = None
        self.evaluations, self.in_flight, self.most_in_flight = 0, 0, 0
        self._counting = Lock()
        model.on_evaluate = self._count
        watched: Any = self
        self.worker = RenderWorker(
            watched, show=self._show, progress=self._watch, fail=self.errors.append
        )

    @property
    def state(self) -> EditState:
        return self.session.state

    def plan(self, mode: str, *, state: EditState) -> int:
        return self.session.plan(mode, state=state)

    def stream(self, *, modes: Sequence[str], callback_on_step_end: Any) -> Iterator[Any]:
        stream = Stream(next(ticks), modes)
        self.streams.append(stream)

        def on_step(*args: Any) -> None:
            stream.steps.append(next(ticks))
            callback_on_step_end(*args)

        return self.session.stream(modes=modes, callback_on_step_end=on_step)

    def _count(self, requests: Sequence[Request]) -> None:
        """Count model calls, and those that run at the same time."""
        with self._counting:
            self.evaluations += 1
            self.in_flight += 1
            self.most_in_flight = max(self.in_flight, self.most_in_flight)
        time.sleep(0)  # Another thread may run now.
        with self._counting:
            self.in_flight -= 1

    def _show(self, render: Any) -> None:
        self.streams[-1].shown.append((next(ticks), render))

    def _watch(self, report: Report) -> None:
        self.last_report = report
        if isinstance(report, Progress) and report.fraction is not None:
            assert 0 <= report.fraction <= 1
            assert report.stage in self.streams[-1].modes

    @contextmanager
    def _edited(self) -> Iterator[None]:
        with self.editing:
            begin = next(ticks)
            with suppress(SegaSessionError):
                yield
            if self.session.state is not self.states[-1][1]:
                self.states.append((Span(begin, next(ticks)), self.session.state))

    def edit(self, rng: random.Random) -> None:
        with self._edited():
            random_edit(self.session, rng)

    def drag(self, rng: random.Random) -> None:
        """Move a slider once, as a widget does."""
        with self._edited(), self.session.gesture(f"hat.{rng.randrange(3)}"):
            self.session.reweight("hat", scale=rng.uniform(3, 7))
        self.post(moving=True)

    def travel(self, rng: random.Random) -> None:
        with self._edited():
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
            lambda: self.session.render(rng.choice(MODES), output_type="latent"): 1,
            # Users pause now and then.
            lambda: self.worker.wait(rng.uniform(0, 0.1)): 4,
        }
        try:
            for act in rng.choices(list(acts), list(acts.values()), k=count):
                act()
        except BaseException as error:
            self.errors.append(error)
            raise

    def storm(self, seed: str, count: int) -> None:
        """Let all threads run events at the same time, ``count`` in all."""
        threads = [
            Thread(
                target=self.events,
                args=(random.Random(f"{seed} {number}"), count // THREADS),
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
        """Return whether a state may have been the session's at some moment of a span."""
        begin = self.states[number][0].begin
        following = self.states[number + 1 : number + 2]
        return begin < until and all(span.end > since for span, _ in following)


def random_edit(session: EditSession, rng: random.Random) -> None:
    name = rng.choice(["hat", "beard", "smile"])
    if name not in {concept.name for concept in session.concepts}:
        session.add(name, warmup=rng.randint(0, 3), scale=rng.choice([3, 5]))
        return
    edits: list[Callable[[], None]] = [
        lambda: session.remove(name),
        lambda: session.invert(name),
        lambda: session.reweight(name, scale=rng.choice([3, 5, 7])),
        lambda: session.update(name, threshold=rng.choice([0.5, 0.9])),
        lambda: session.update(name, warmup=rng.randint(0, 3)),
        lambda: session.momentum(scale=rng.choice([0, 0.1])),
    ]
    rng.choice(edits)()


@contextmanager
def hasty_threads() -> Iterator[None]:
    """Let threads take turns often, and print their stacks if they get stuck."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    faulthandler.dump_traceback_later(2 * PATIENCE)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.setswitchinterval(interval)


def run_soak(model: Model, *, rounds: int, events: int, seed: int = 0) -> str:
    """Run rounds of events from all threads, check the worker's guarantees, return figures."""
    session = new_session(model, batch_plan="canonical")
    cold = new_session(Model(), batch_plan="canonical", cache_bytes=0)
    soak = Soak(model, session)
    with hasty_threads(), soak.worker:
        for number in range(rounds):
            soak.storm(f"{seed} {number}", events // rounds)
            soak.edit(random.Random(f"{seed} {number}"))
            soak.post()
            assert soak.worker.wait(PATIENCE), "a deadlock"
            _, last = soak.streams[-1].shown[-1]
            assert last.exact
            assert isinstance(soak.last_report, Idle)
            assert soak.last_report.shown == "exact"
            assert last.state is session.state
            # Whatever happened before, the latents are those of a render from scratch.
            scratch = cold.render(state=session.state, output_type="latent")
            assert scratch.evaluations > 0
            assert torch.equal(last.latents, scratch.latents)
    assert soak.errors == []
    assert soak.most_in_flight == 1
    check_order(soak)
    late = check_stops(soak)
    shown = sum(len(stream.shown) for stream in soak.streams)
    moving = sum(1 for one in soak.streams if one.shown and [*one.modes] == ["preview"])
    assert shown > events / 100
    return (
        f"worker soak: {events} events from {THREADS} threads, {len(soak.states)} states, "
        f"{len(soak.posts)} posts, {len(soak.cancels)} cancels, {soak.evaluations} model calls, "
        f"at most {soak.most_in_flight} at once; {len(soak.streams)} streams begun, {shown} "
        f"renders shown, {moving} of them previews alone; model calls begun after a cancel: "
        f"{late} at most"
    )


def check_order(soak: Soak) -> None:
    """Check that every render is of a state that was current when its stream began."""
    for stream, following in itertools.pairwise([*soak.streams, Stream(next(ticks))]):
        for tick, render in stream.shown:
            assert stream.begin < tick < following.begin
            assert any(
                state is render.state and soak.was_current(number, stream.begin, stream.begun)
                for number, (_, state) in enumerate(soak.states)
            )


def check_stops(soak: Soak) -> int:
    """Check that nothing is shown after a cancel; return the most model calls that ended after."""
    most = 0
    for stream in soak.streams:
        for cancel in soak.cancels:
            if cancel.begin > stream.begin:
                assert all(tick < cancel.end for tick, _ in stream.shown)
                most = max(most, sum(tick > cancel.end for tick in stream.steps))
        # The preview of a moving slider is completed; any post ends another stream.
        refining = [] if [*stream.modes] == ["preview"] else stream.steps
        for post in soak.posts:
            if post.begin > stream.begin:
                most = max(most, sum(tick > post.end for tick in refining))
    assert most <= 1
    return most
