"""Sweeps on Ray: the same images, failures that stay their own, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from sega_session import CheckpointError, InvalidValueError, SegaSessionError, run_sweep
from sega_session.models import Conditioning, Role
from sega_session.state import Scene
from sega_session.sweeps import Sweep, Unit, UnitResult
from sega_session.sweeps.ray_engine import IN_FLIGHT, TRIES, run_on_ray
from sega_session.sweeps.units import units_of
from sega_session.testing import FakeModel

from .rays import quiet_ray
from .support import images_of, small_sweep, table_of


@pytest.fixture(scope="module", autouse=True)
def running_ray() -> Iterator[None]:
    """Start a Ray of two CPUs as a user would, for all tests: starting one takes seconds."""
    with quiet_ray():
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield


def faulty(fault: Callable[[str], object]) -> Callable[[], FakeModel]:
    """Return a `load` whose models call a function with each text that they encode.

    What is made here has no module that a worker would have to import.
    """

    def load() -> FakeModel:
        class Faulty(FakeModel):
            def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
                fault(prompt)
                return super().encode_prompt(prompt, role, scene)

        return Faulty()

    return load


def run(
    sweep: Sweep, out: Path, load: Callable[[], Any] = FakeModel, *, workers: int = 1
) -> list[UnitResult]:
    """Run a sweep on Ray, and return the results of its units."""
    results: list[UnitResult] = []
    run_sweep(sweep, out, load=load, workers=workers, callback_on_unit_end=results.append)
    return results


def without_seconds(out: Path) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in table_of(out)]


def test_the_table_is_that_of_one_process(tmp_path: Path) -> None:
    sweep = small_sweep(seeds="0-5", seeds_together=1)
    results = run(sweep, tmp_path / "ray", workers=2)
    run_sweep(sweep, tmp_path / "here", pipeline=FakeModel())
    assert sorted(one.index for one in results) == list(range(12))
    here = without_seconds(tmp_path / "here")
    assert without_seconds(tmp_path / "ray") == here
    assert sum(one.evaluations for one in results) == sum(int(one["evaluations"]) for one in here)
    assert images_of(tmp_path / "ray") == images_of(tmp_path / "here") != set()
    # The Ray was the user's.
    assert ray.is_initialized()


def test_a_finished_sweep_starts_no_worker(tmp_path: Path) -> None:
    sweep = small_sweep()
    run_sweep(sweep, tmp_path, pipeline=FakeModel())

    def load() -> None:
        raise AssertionError

    assert list(run_on_ray(sweep, (), tmp_path, load, workers=1, address=None)) == []


def test_a_unit_that_raises_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    def fault(prompt: str) -> None:
        if prompt == "a dog":
            raise RuntimeError("no dogs")

    results = run(small_sweep(), tmp_path, faulty(fault))
    assert [one.errors for one in sorted(results, key=lambda one: one.index)] == [0, 0, 6, 3]
    errors = {(row["prompt"], row["error"]) for row in table_of(tmp_path)}
    assert errors == {("a cat", ""), ("a dog", "RuntimeError: no dogs")}


def test_a_unit_that_ends_its_workers_is_given_up(tmp_path: Path) -> None:
    tries = tmp_path / "tries"

    def fault(prompt: str) -> None:
        if prompt == "a dog":
            with tries.open("a") as file:
                file.write("x")
            # Once the answer of the unit before has left; else that one counts as the lost one.
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)

    out = tmp_path / "out"
    prompts = ["a cat", "a dog", "a fox"]
    results = run(small_sweep(seeds=[3, 4], prompts=prompts), out, faulty(fault))
    assert {one.index: one.errors for one in results} == {0: 0, 1: 6, 2: 0}
    assert len(tries.read_text()) == TRIES
    rows = table_of(out)
    assert len(rows) == 18
    for row in rows:
        assert (f"ended, {TRIES} times" in row["error"]) == (row["prompt"] == "a dog")
    # Failed units run again, and here they do not fail.
    again = run(small_sweep(seeds=[3, 4], prompts=prompts), out)
    assert [(one.index, one.errors) for one in again] == [(1, 0)]
    assert not any(row["error"] for row in table_of(out))


def test_a_pipeline_that_does_not_load_ends_the_sweep(tmp_path: Path) -> None:
    def load() -> None:
        raise CheckpointError("no such checkpoint")

    with pytest.raises(CheckpointError, match="no such checkpoint"):
        run(small_sweep(), tmp_path, load)


def test_a_pipeline_whose_loading_ends_its_workers_ends_the_sweep(tmp_path: Path) -> None:
    tries = tmp_path / "tries"

    def load() -> None:
        with tries.open("a") as file:
            file.write("x")
        os._exit(1)

    out = tmp_path / "out"
    with pytest.raises(SegaSessionError, match=f"loaded the pipeline ended, {TRIES} times"):
        run_sweep(small_sweep(), out, load=load, workers=1)
    assert len(tries.read_text()) == TRIES


def test_a_worker_has_one_thread_and_the_folder_must_be_shared(tmp_path: Path) -> None:
    def load() -> FakeModel:
        (tmp_path / "threads").write_text(str(torch.get_num_threads()))
        return FakeModel()

    sweep = small_sweep()
    run_sweep(sweep, tmp_path / "out", load=load, workers=1)
    assert (tmp_path / "threads").read_text() == "1"
    missing = tmp_path / "missing"
    with pytest.raises(SegaSessionError, match="a folder that all machines share"):
        list(run_on_ray(sweep, units_of(sweep), missing, load, workers=1, address=None))


def counted(units: Iterable[Unit], taken: list[Unit]) -> Iterator[Unit]:
    for unit in units:
        taken.append(unit)
        yield unit


def test_units_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    sweep = small_sweep(seeds="0-19", seeds_together=1)
    taken: list[Unit] = []
    units = counted(units_of(sweep), taken)
    with closing(run_on_ray(sweep, units, tmp_path, FakeModel, workers=2, address=None)) as results:
        for done, _ in enumerate(results, 1):
            # Those in flight, and one that waits.
            assert len(taken) <= done + 2 * IN_FLIGHT + 1
    assert len(taken) == sweep.num_units == 40


def test_a_sweep_that_is_ended_ends_its_workers_and_goes_on_later(tmp_path: Path) -> None:
    sweep = small_sweep(seeds="0-9", seeds_together=1)

    def interrupt(result: UnitResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, tmp_path, load=FakeModel, workers=2, callback_on_unit_end=interrupt)
    done = len(table_of(tmp_path)) // len(sweep.edits)
    assert 1 <= done < sweep.num_units
    # The actors gave their CPUs back, else these would wait for ever.
    assert len(run(sweep, tmp_path)) <= sweep.num_units - done
    assert len(table_of(tmp_path)) == sweep.num_images == len(images_of(tmp_path))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "host:port"])
def test_an_address_where_no_ray_answers(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InvalidValueError, match=r"ray_address is .*ray start --head"):
        run_sweep(small_sweep(), tmp_path, ray_address=address)


def refuse(address: str, **_: object) -> None:
    """Do what `ray.init` does with an address that is none."""
    raise ValueError(address)


def test_workers_must_be_a_number(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="workers is 0"):
        run_sweep(small_sweep(), tmp_path, load=FakeModel, workers=0)


def test_a_missing_ray_is_named_with_its_extra() -> None:
    code = "import sys; sys.modules['ray'] = None; import sega_session.sweeps.ray_engine"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'sega-session[ray]'" in done.stderr


OWN_RAY = """
import os, sys
from pathlib import Path
import ray
from sega_session import run_sweep
from sega_session.testing import FakeModel
from tests.sweeps.support import small_sweep

run_sweep(small_sweep(), sys.argv[1], load=FakeModel, workers=2)
assert not ray.is_initialized()
assert "RAY_USAGE_STATS_ENABLED" not in os.environ
"""


def test_a_ray_that_is_started_here_is_quiet_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::FutureWarning", "-c", OWN_RAY, str(tmp_path)]
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(table_of(tmp_path)) == 18
