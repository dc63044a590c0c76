"""Run the units of a sweep on Ray: on the devices of this machine, or of many.

An actor on each device holds the pipeline. The driver, which is this process, gives each actor one
unit to render and one to begin with after it, and takes the next from the units when a result comes
back. Units and results travel; images and records go from the actors to the sweep's folder.

An actor that is lost, alone or with its machine, is replaced as soon as a device is free, and its
units run again, which is safe: what a unit wrote is whole, and is not rendered twice. The unit that
the actor was rendering may be the reason, so it is given up after `TRIES`.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from attrs import Factory, define

from ..errors import InvalidValueError, SegaSessionError, SessionFileError
from ..state.fields import check_integer
from .sweep import Sweep
from .units import Unit, UnitResult, fail_unit, run_unit

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ModuleNotFoundError as error:
    raise SegaSessionError(
        "ray is not installed, and a sweep with workers or an address of Ray needs it. Install it "
        "with: pip install 'sega-session[ray]'"
    ) from error

logger = logging.getLogger("sega_session")

IN_FLIGHT = 2
"""The units that an actor has at a time, so that it does not wait for the driver."""

TRIES = 3
"""How many actors may be lost to one unit, or in a row to loading the pipeline on one device."""

CONNECT_SECONDS = 10
"""The time in which an address must answer."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""The environment in which Ray is started: no reports to its makers, no advice on its settings."""


def run_on_ray(
    sweep: Sweep,
    units: Iterable[Unit],
    out: Path,
    load: Callable[[], Any],
    *,
    workers: int | None,
    address: str | None,
) -> Generator[UnitResult]:
    """Run units on Ray, and yield the result of each as it comes, in any order.

    A Ray that this process is connected to already is used, and left as it is. Otherwise the
    process connects to the address, or starts a Ray on this machine; when the iterator ends or is
    closed, by an error or Ctrl+C too, the actors and a Ray that was started here end with it.

    Args:
        sweep: the sweep.
        units: its units to run; they are taken one by one.
        out: the sweep's folder; all machines must reach it under this path.
        load: returns the pipeline, on the device that torch finds first; it is called once in each
            actor, so it must be picklable.
        workers: the number of actors, each with one GPU where Ray has any, else with one CPU and
            one thread; None: as many as Ray has devices. Those for which no device is free wait for
            one, and for machines that join later.
        address: of a Ray that runs, as for `ray.init`: "auto" on one of its machines; None: a Ray
            is started on this machine.

    Raises:
        InvalidValueError: `workers` is less than 1, or no Ray with devices answers at the address.
        Exception: what `load` raised, if it raised in all actors.
        SegaSessionError: the pipeline could not be loaded in any actor for other reasons.
    """
    if workers is not None:
        check_integer("workers", workers, at_least=1)
    units = iter(units)
    first = list(islice(units, 1))
    if not first:
        return
    with _connected(address, workers):
        kind, devices = _devices()
        count = devices if workers is None else workers
        if count == 0:
            raise InvalidValueError(
                "ray_address", address, "a Ray with CPUs or GPUs", "Pass workers=, or start nodes."
            )
        actors = ray.remote(Worker).options(num_cpus=1, num_gpus=int(kind == "GPU"))
        arguments = (ray.put(sweep), out.absolute(), load, version("sega-session"))
        pool = _Pool(
            create=partial(actors.remote, *arguments),
            count=count,
            give_up=partial(fail_unit, sweep, out=out),
            units=chain(first, units),
        )
        try:
            yield from pool.results()
        finally:
            pool.kill()


class Worker:
    """An actor: renders units with a pipeline that it loads once.

    Args:
        sweep: the sweep.
        out: its folder.
        load: returns the pipeline.
        release: the version of this package that the driver has.
    """

    def __init__(self, sweep: Sweep, out: Path, load: Callable[[], Any], release: str) -> None:
        self._sweep, self._out, self._load, self._release = sweep, out, load, release
        self._pipeline: Any = None

    def start(self) -> None:
        """Load the pipeline. Raises SegaSessionError if this machine cannot take part."""
        machine = ray.util.get_node_ip_address()
        if (found := version("sega-session")) != self._release:
            raise SegaSessionError(
                f"sega-session on {machine} is {found}; allowed: {self._release}, the version that "
                "runs the sweep. Install it there."
            )
        if not self._out.is_dir():
            raise SegaSessionError(
                f"folder {str(self._out)!r} does not exist on {machine}; allowed: a folder that "
                "all machines share. Mount it there under the same path."
            )
        torch.set_num_threads(1)
        self._pipeline = self._load()

    def run(self, unit: Unit) -> UnitResult:
        """Render a unit."""
        return run_unit(self._sweep, unit, self._pipeline, self._out)


@define(eq=False)
class _Seat:
    """A place for one actor at a time.

    Attributes:
        actor: the actor.
        ready: whether it has loaded the pipeline.
        units: its units; it renders the first.
        failed_starts: the actors in a row that were lost here before they were ready.
    """

    actor: Any
    ready: bool = False
    units: deque[Unit] = Factory(deque)
    failed_starts: int = 0


class _Pool:
    """The actors of a sweep, and the units that they have or that wait.

    Args:
        create: creates an actor of `Worker`.
        count: the number of actors.
        give_up: returns the result of a unit that fails, given the reason.
        units: the units.
    """

    def __init__(
        self,
        create: Callable[[], Any],
        count: int,
        give_up: Callable[[Unit, str], UnitResult],
        units: Iterator[Unit],
    ) -> None:
        self._create, self._give_up, self._units = create, give_up, units
        self._waiting: deque[Unit] = deque()
        self._losses: Counter[int] = Counter()
        # What each reference is the answer to, oldest first: a unit, or None for a start.
        self._awaited: dict[Any, tuple[_Seat, Unit | None]] = {}
        self._seats = [_Seat(None) for _ in range(count)]
        for seat in self._seats:
            self._fill(seat)

    def results(self) -> Iterator[UnitResult]:
        """Yield the result of each unit; raise if no actor is left."""
        while self._more() or any(seat.units for seat in self._seats):
            self._submit()
            (reference,), _ = ray.wait(list(self._awaited), num_returns=1)
            seat, unit = self._awaited.pop(reference)
            if unit is None:
                self._end_start(seat, reference)
            else:
                yield from self._end_unit(seat, unit, reference)

    def kill(self) -> None:
        """End all actors at once."""
        for seat in self._seats:
            ray.kill(seat.actor)

    def _more(self) -> bool:
        """Return whether a unit waits."""
        if not self._waiting:
            self._waiting.extend(islice(self._units, 1))
        return bool(self._waiting)

    def _submit(self) -> None:
        """Give waiting units to the actors that have fewest."""
        for depth in range(IN_FLIGHT):
            for seat in self._seats:
                if seat.ready and len(seat.units) == depth and self._more():
                    unit = self._waiting.popleft()
                    seat.units.append(unit)
                    self._awaited[seat.actor.run.remote(unit)] = (seat, unit)

    def _fill(self, seat: _Seat) -> None:
        """Put a new actor on a seat, and let it load the pipeline."""
        seat.actor, seat.ready = self._create(), False
        self._awaited[seat.actor.start.remote()] = (seat, None)

    def _end_start(self, seat: _Seat, reference: Any) -> None:
        """Take the answer of an actor that was to load the pipeline."""
        try:
            ray.get(reference)
        except RayTaskError as error:
            # It would fail again.
            self._close(seat, error.cause)
        except RayError as error:
            seat.failed_starts += 1
            if seat.failed_starts < TRIES:
                self._fill(seat)
            else:
                self._close(seat, _lost_while_loading(error))
        else:
            seat.ready = True

    def _end_unit(self, seat: _Seat, unit: Unit, reference: Any) -> Iterator[UnitResult]:
        """Take the answer of an actor that had a unit; yield the result unless it runs again."""
        try:
            result = ray.get(reference)
        except RayTaskError as error:
            if isinstance(error.cause, SessionFileError):
                raise error.cause from error
            seat.units.remove(unit)
            yield self._give_up(unit, f"{type(error.cause).__name__}: {error.cause}")
        except RayError:
            yield from self._replace(seat)
        else:
            seat.units.remove(unit)
            seat.failed_starts = 0
            self._losses.pop(unit.index, None)
            yield result

    def _replace(self, seat: _Seat) -> Iterator[UnitResult]:
        """Put a new actor in place of a lost one, and yield the result of a unit that is given up.

        The lost one may still run, where only the network failed, so it is ended.
        """
        ray.kill(seat.actor)
        self._awaited = {
            reference: (other, unit)
            for reference, (other, unit) in self._awaited.items()
            if other is not seat
        }
        suspect, *others = seat.units
        seat.units.clear()
        self._waiting.extend(others)
        self._fill(seat)
        self._losses[suspect.index] += 1
        if self._losses[suspect.index] < TRIES:
            self._waiting.append(suspect)
            return
        del self._losses[suspect.index]
        yield self._give_up(
            suspect,
            f"the process that rendered it ended, {TRIES} times; often memory ran out. Lower "
            "seeds_together, then run the sweep again.",
        )

    def _close(self, seat: _Seat, reason: Exception) -> None:
        """Do without a seat; raise the reason if it was the last one."""
        ray.kill(seat.actor)
        self._seats.remove(seat)
        if not self._seats:
            raise reason
        logger.warning("a sweep goes on with %d actors: %s", len(self._seats), reason)


def _lost_while_loading(error: RayError) -> SegaSessionError:
    """Return the error about a device on which no actor could load the pipeline."""
    return SegaSessionError(
        f"the process that loaded the pipeline ended, {TRIES} times; often memory ran out, or "
        f"sega-session is not installed there. Ray says: {error}"
    )


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[None]:
    """Connect this process to Ray, unless it is connected, and disconnect it afterwards."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _environment(QUIET):
        if address is None:
            cpus = max(workers or 1, os.cpu_count() or 1)
            ray.init("local", num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            try:
                _check_answers(address)
                ray.init(address, **quiet)
            except (ConnectionError, ValueError) as error:
                raise InvalidValueError(
                    "ray_address",
                    address,
                    'HOST:PORT of a Ray that runs, or "auto" on one of its machines',
                    "Start it with: ray start --head. Where it asks for a token, set "
                    "RAY_AUTH_MODE=token.",
                ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise ConnectionError or ValueError if nobody answers at HOST:PORT.

    Ray would try for minutes, and then end the process.
    """
    host, colon, port = address.rpartition(":")
    if not colon or "://" in address:
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(str(error)) from error


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of this process, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _devices() -> tuple[str, int]:
    """Return the kind of this Ray's devices, "GPU" or "CPU", and their number."""
    resources = ray.cluster_resources()
    kind = "GPU" if resources.get("GPU") else "CPU"
    return kind, int(resources.get(kind, 0))
