"""Test the tests: put small faults into the core, one at a time, and run the tests that reach each.

    python tools/mutation.py --seed 1 --count 400            # draws 400 faults, prints the score
    python tools/mutation.py --seed 1 --count 400 --again    # tries those again that survived

A fault that fails a test is killed; one that hangs a test is timed out. A fault that survives shows
a missing test, or changes nothing that anyone could see. The latter are explained by hand in
tools/mutation_explained.toml. The result is written to benchmarks/results/mutation.json.

The same seed draws the same faults as long as the core does not change. The checkout is never
touched: faults are put into copies of it, one for each worker. First all tests run once with every
line of the core recorded, which takes minutes and is kept for the next run. Then each fault is put
into a copy, and the tests that reach its lines run in a forked process, until one fails: those that
are named after its module first.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate
from pathlib import Path
from types import FrameType
from typing import Any

# Before the libraries below are imported: each worker has one core.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from attrs import asdict, frozen
from hypothesis import Phase, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.mutants import Mutant, mutants_of

ROOT = Path(__file__).resolve().parent.parent
EXPLAINED = ROOT / "tools" / "mutation_explained.toml"
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
RECORDED = ROOT / ".mutation.json"
"""What the tests reach, kept from the last run."""

CORE = (
    *(f"sega_session/{name}/*.py" for name in ("sega", "engine", "state", "saving", "files")),
    *("sega_session/models/*.py", "sega_session/scripts/*.py"),
    *("sega_session/session.py", "sega_session/render.py"),
)
LEFT_OUT = ("__init__.py", "presets.py", "loading.py")

TESTS = (
    *(f"tests/{name}/test_*.py" for name in ("sega", "engine", "state", "saving", "files")),
    *("tests/models/test_*.py", "tests/scripts/test_*.py", "tests/test_*.py"),
)
NOT_OF_THE_CORE = ("test_architecture.py", "test_readme.py", "test_own_model.py", "test_mutants.py")

IDENTITY = ("path", "where", "before", "after")
"""What tells a fault from others, wherever its line moves."""

Identity = tuple[str, str, str, str]

WORKERS = 2
FIRST, MOST = 10.0, 60.0
"""Seconds of tests, as recorded, that run first, and that run at all, except with ``--again``. The
first kill most faults, and the files of the others are not imported then. Recording makes tests
several times slower."""

SLOWER, PATIENCE = 10, 20.0
"""A test may take ten times what it took without a fault, and as many seconds more."""

PRELOADED = ("torch", "diffusers", "transformers", "hypothesis.stateful", "safetensors.torch")


@frozen
class Test:
    """One test: its seconds, and the lines of the core that it runs, by module."""

    name: str
    seconds: float
    lines: dict[str, list[int]]

    @property
    def file(self) -> str:
        return self.name.split("::")[0]


@frozen
class Result:
    """What became of a fault: killed, timed out, explained or survived, and by or why."""

    path: str
    where: str
    before: str
    after: str
    status: str
    by: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.path, self.where, self.before, self.after


class Recorder:
    """A pytest plugin that records, for each test, its time and the lines it runs."""

    def __init__(self, root: Path) -> None:
        self._prefix = f"{root}/"
        self._core = {str(root / path) for path in core(root)}
        self._lines: set[tuple[str, int]] = set()
        self._shared: set[tuple[str, int]] = set()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._found: dict[str, set[tuple[str, int]]] = {}
        self.failed: list[str] = []

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._core else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        self._lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._lines = set()
        sys.settrace(self._call)
        threading.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._found[item.nodeid] = self._lines

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        try:
            return (yield)
        finally:
            # A fixture may serve the tests after this one as well.
            self._shared |= self._lines

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)

    def tests(self) -> list[dict[str, Any]]:
        found = []
        for name, lines in self._found.items():
            by_module: dict[str, list[int]] = {}
            for path, line in sorted(lines | self._shared):
                by_module.setdefault(path.removeprefix(self._prefix), []).append(line)
            found.append(asdict(Test(name, self._seconds[name], by_module)))
        return found


class Chosen:
    """A pytest plugin that runs the chosen tests in their order, each within its time."""

    def __init__(self, tests: Sequence[Test]) -> None:
        self._seconds = {test.name: test.seconds for test in tests}
        self.killer = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in self._seconds if name in found]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        # Its default action ends the process, whatever the test is waiting for.
        signal.setitimer(signal.ITIMER_REAL, SLOWER * self._seconds[nodeid] + PATIENCE)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.killer = self.killer or report.nodeid


def run_pytest(files: Sequence[str], plugin: object) -> int:
    """Run pytest in this process on the copy it is in."""
    # Faults are found, not made small; nothing depends on the runs before or on a busy machine.
    settings.register_profile(
        "mutation", database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
    )
    settings.load_profile("mutation")
    options = ["--assert=plain", "--tb=no", "--hypothesis-seed=0", "-p", "no:cacheprovider"]
    return int(pytest.main(["-x", "-q", *options, *files], plugins=[plugin]))


def record_file(file: str) -> dict[str, Any]:
    """Run one file of tests in a forked process and return what it reaches."""
    recorder = Recorder(Path.cwd())
    status = run_pytest([file], recorder)
    modules = [
        name
        for name, module in sys.modules.items()
        if getattr(module, "__file__", None) and not name.startswith(("sega_", "tests", "__"))
    ]
    return {
        "tests": recorder.tests(),
        "failed": recorder.failed,
        "status": status,
        "modules": modules,
    }


def try_mutant(mutant: Mutant, tests: Sequence[Test]) -> dict[str, Any]:
    """Put a fault into the copy of a forked process and run tests; return which one failed."""
    # What is imported is compiled in memory: the copy's caches are those of the original.
    sys.dont_write_bytecode = True
    Path(mutant.path).write_text(mutant.source)
    signal.setitimer(signal.ITIMER_REAL, 6 * PATIENCE)
    chosen = Chosen(tests)
    status = run_pytest(sorted({test.file for test in tests}), chosen)
    return {"killer": chosen.killer or (f"pytest ended with {status}" if status else "")}


class Copies:
    """Copies of the checkout, one for each worker, and forked processes that work in them.

    Attributes:
        seconds: the processor time of the processes so far.
    """

    def __init__(self, folder: Path) -> None:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        paths = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        self._free = []
        for number in range(WORKERS):
            copy = folder / str(number)
            for path in paths.splitlines():
                if (ROOT / path).is_file():
                    (copy / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / path, copy / path)
            self._free.append(copy)
        self._running: dict[int, tuple[Any, Path]] = {}
        self.seconds = 0.0

    def start(self, job: Any, work: Callable[[], dict[str, Any]]) -> None:
        """Do work in a process of its own, in a free copy."""
        copy = self._free.pop()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._work(copy, work)
        self._running[child] = (job, copy)

    def _work(self, copy: Path, work: Callable[[], dict[str, Any]]) -> None:
        os.setsid()
        output = os.open(copy.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(copy)
        os.environ["PYTHONPATH"] = f"{copy}:{copy}/widgets"
        sys.path[:0] = [str(copy), f"{copy}/widgets"]
        try:
            copy.with_suffix(".json").write_text(json.dumps(work()))
        finally:
            os._exit(0)

    def finished(self, most: int) -> Iterator[tuple[Any, dict[str, Any] | None]]:
        """Wait until at most ``most`` processes run; yield jobs with results, None if killed."""
        while len(self._running) > most:
            child, status, used = os.wait4(-1, 0)
            self.seconds += used.ru_utime + used.ru_stime
            job, copy = self._running.pop(child)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # The processes that its tests started.
            result = copy.with_suffix(".json")
            found = json.loads(result.read_text()) if result.exists() else None
            result.unlink(missing_ok=True)
            for path in core(ROOT):
                shutil.copy2(ROOT / path, copy / path)
            self._free.append(copy)
            yield job, None if os.WIFSIGNALED(status) else found


def core(root: Path) -> list[str]:
    """Return the modules that faults are put into, relative to the repository."""
    paths = [path for pattern in CORE for path in sorted(root.glob(pattern))]
    return [str(path.relative_to(root)) for path in paths if path.name not in LEFT_OUT]


def digest(paths: Sequence[str]) -> str:
    hasher = hashlib.sha256()
    for path in paths:
        hasher.update(path.encode() + (ROOT / path).read_bytes())
    return hasher.hexdigest()


def record(copies: Copies) -> tuple[list[Test], list[str]]:
    """Return all tests with what they reach, and the modules that they import."""
    files = sorted(
        str(path.relative_to(ROOT))
        for pattern in TESTS
        for path in ROOT.glob(pattern)
        if path.name not in NOT_OF_THE_CORE
    )
    helpers = [str(one.relative_to(ROOT)) for one in sorted((ROOT / "tests").rglob("*.py"))]
    shared = digest([*core(ROOT), *(one for one in helpers if "/test_" not in one)])
    known = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    found: dict[str, Any] = {}

    def take(most: int) -> None:
        for file, result in copies.finished(most):
            if result is None or result["status"]:
                which = result["failed"] if result else "it was killed"
                sys.exit(f"{file} fails without any fault: {which}")
            found[file] = {"key": shared + digest([file]), **result}
            RECORDED.write_text(json.dumps(known | found))
            print(f"recorded {file}", flush=True)

    for file in files:
        if file in known and known[file]["key"] == shared + digest([file]):
            found[file] = known[file]
            continue
        take(WORKERS - 1)
        copies.start(file, partial(record_file, file))
    take(0)
    tests = [Test(**test) for file in files for test in found[file]["tests"]]
    modules = list(dict.fromkeys(name for file in files for name in found[file]["modules"]))
    return tests, modules


def reaching(mutant: Mutant, tests: Sequence[Test], most: float) -> list[Test]:
    """Return the tests that run a fault: those named after its module, then others by their time.

    Tests beyond ``most`` seconds are left out, so a fault that only they would find survives.
    """
    package, _, module = mutant.path.removeprefix("sega_session/").rpartition("/")
    own = f"tests/{package}/test_{module}".replace("//", "/")
    lines = range(mutant.first, mutant.last + 1)
    found = []
    for test in tests:
        reached = test.lines.get(mutant.path, [])
        # What runs with the import matters to every test that uses the module.
        if any(line in lines for line in reached) or (reached and not mutant.in_function):
            found.append(test)
    found.sort(key=lambda test: (test.file != own, test.seconds, test.name))
    ends = accumulate(test.seconds for test in found)
    return [test for test, end in zip(found, ends, strict=True) if end <= most]


def in_two(tests: Sequence[Test]) -> list[Sequence[Test]]:
    """Return tests in two parts: those of the first seconds, and the others."""
    seconds = 0.0
    for number, test in enumerate(tests):
        seconds += test.seconds
        if seconds > FIRST:
            return [part for part in (tests[:number], tests[number:]) if part]
    return [tests] if tests else []


def try_all(
    copies: Copies, mutants: Sequence[Mutant], tests: Sequence[Test], most: float
) -> list[Result]:
    """Return the result of each fault, in their order."""
    results: dict[Identity, Result] = {}
    waiting = [(mutant, in_two(reaching(mutant, tests, most))) for mutant in mutants]

    def finish(mutant: Mutant, status: str, by: str) -> None:
        results[mutant.identity] = Result(*mutant.identity, status, by)
        print(f"{len(results)}/{len(mutants)} {status}: {mutant.path}: {mutant.after}", flush=True)

    def take(most: int) -> None:
        for (mutant, others), result in copies.finished(most):
            if result is None:
                finish(mutant, "timed out", "")
            elif result["killer"]:
                finish(mutant, "killed", result["killer"])
            elif others:
                waiting.insert(0, (mutant, others))
            else:
                finish(mutant, "survived", "")

    while waiting:
        mutant, parts = waiting.pop(0)
        if not parts:
            finish(mutant, "survived", "")
            continue
        take(WORKERS - 1)
        copies.start((mutant, parts[1:]), partial(try_mutant, mutant, parts[0]))
        if not waiting:
            take(0)
    return [results[mutant.identity] for mutant in mutants]


def explanations(mutants: Sequence[Mutant]) -> dict[Identity, str]:
    """Return why faults change nothing that matters, and name explanations of no fault."""
    known = {mutant.identity for mutant in mutants}
    found = {}
    for one in tomllib.loads(EXPLAINED.read_text()).get("mutant", []):
        identity = (one["path"], one["where"], one["before"], one["after"])
        if identity not in known:
            print(f"explained, but no fault: {identity}")
        found[identity] = one["why"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--only", nargs="+", default=[""], metavar="PATH", help="starts of paths")
    parser.add_argument("--again", action="store_true", help="only those that survived")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()

    every = [one for path in core(ROOT) for one in mutants_of(path, (ROOT / path).read_text())]
    explained = explanations(every)
    drawn = [one for one in every if one.path.startswith(tuple(options.only))]
    # Lines that are there twice in one function count once.
    drawn = list({one.identity: one for one in drawn}.values())
    dice = random.Random(options.seed)
    drawn = dice.sample(drawn, min(options.count, len(drawn)))

    old: dict[Identity, Result] = {}
    if options.again:
        text = json.loads(options.output.read_text())
        if text["core"] != digest(core(ROOT)):
            sys.exit("The core has changed since the last run: run without --again.")
        old = {one.identity: one for one in (Result(**fields) for fields in text["mutants"])}

    began = time.monotonic()
    results: dict[Identity, Result] = {}
    for mutant in drawn:
        why = explained.get(mutant.identity)
        before = old.get(mutant.identity)
        if why is not None:
            results[mutant.identity] = Result(*mutant.identity, "explained", why)
        elif before is not None and before.status in ("killed", "timed out"):
            results[mutant.identity] = before
    to_try = [mutant for mutant in drawn if mutant.identity not in results]
    with tempfile.TemporaryDirectory() as folder:
        for name in PRELOADED:
            importlib.import_module(name)
        copies = Copies(Path(folder))
        tests, modules = record(copies)
        for name in modules:
            with suppress(ImportError):  # Some modules are made by others.
                importlib.import_module(name)
        recorded, used = time.monotonic(), copies.seconds
        most = math.inf if options.again else MOST
        results |= {one.identity: one for one in try_all(copies, to_try, tests, most)}
    final = [results[mutant.identity] for mutant in drawn]
    report(final, options)
    print(
        f"{recorded - began:.0f} s to record the tests, {time.monotonic() - recorded:.0f} s to try "
        f"{len(to_try)} faults, {copies.seconds - used:.0f} s of processors"
    )


def report(results: Sequence[Result], options: argparse.Namespace) -> None:
    """Print and write the score and what survived, as tools/mutation_explained.toml has it."""
    counts = Counter(one.status for one in results)
    score = 1 - counts["survived"] / len(results)
    document = {
        "seed": options.seed,
        "count": len(results),
        "score": round(score, 4),
        **{one: counts[one] for one in ("killed", "timed out", "explained", "survived")},
        "core": digest(core(ROOT)),
        "mutants": [asdict(one) for one in results],
    }
    options.output.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for one in results:
        if one.status == "survived":
            fields = {key: value for key, value in asdict(one).items() if key in IDENTITY}
            lines = [
                f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()
            ]
            print("\n".join(["", "[[mutant]]", *lines, 'why = ""']))
    print(
        f"\n{len(results)} faults: {counts['killed']} killed, {counts['timed out']} timed out, "
        f"{counts['explained']} explained, {counts['survived']} survived: {100 * score:.1f}%"
    )


if __name__ == "__main__":
    main()
