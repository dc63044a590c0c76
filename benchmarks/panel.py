"""Measure the panel's render thread during a drag and after it, with the embedded checkpoint.

    python benchmarks/panel.py            # about 3 minutes on two cores that do nothing else
    python benchmarks/panel.py --quick    # 10 steps, one short drag; say where with --output

The worker has rendered one image with two concepts exactly. Then a slider moves 20 times a second
for some seconds; each move edits the session and asks the panel's `RenderWorker` for a preview, and
right after the last move the drag ends. Images are encoded as the panel encodes
them, and progress goes to a `ProgressView`. Pages, and what the panel does besides, are left out.

- Possible previews: the same session renders previews of other scales back to back, without a
  worker and without encoding them.
- An exact render alone: a copy of the session, as it was before the drag, renders the last state,
  on a thread of its own as the worker does.

One further edit, without a drag, is made twice at two scales: with the worker's reports at most
every tenth of a second, and with a report at every model call. The bytes are those of the traits,
without what Jupyter wraps each message in.

Writes results/panel.md and panel.json: medians of all runs, each of another seed, and the smallest
and the largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from attrs import frozen
from sega_widgets import RenderWorker
from sega_widgets.png import encode, encode_thumbnail
from sega_widgets.progress_view import ProgressView
from speed import machine

from sega_session import EditSession, Render, load_avatars
from sega_session.state import edits

PROMPT = "a portrait of a person"
MOVED, OTHER = "glasses", "a smile"
MOVES_A_SECOND = 20
POSSIBLE = 8
"""The previews that are rendered back to back."""
RUNS = 7
STEPS = (50, 25)


@frozen
class Drag:
    """One drag and what followed.

    Attributes:
        possible: previews a second, back to back.
        shown: previews a second that the worker showed.
        preview_evaluations: of one preview.
        alone: seconds of an exact render alone.
        alone_evaluations: its evaluations.
        after: seconds from the last move until the exact image was shown.
        after_evaluations: the evaluations after the last move.
        modes: the modes of the images after the last move.
    """

    possible: float
    shown: float
    preview_evaluations: int
    alone: float
    alone_evaluations: int
    after: float
    after_evaluations: int
    modes: tuple[str, ...]

    @property
    def share(self) -> float:
        """The previews shown, as a share of the possible ones."""
        return self.shown / self.possible

    @property
    def delay(self) -> float:
        """The seconds to the exact image, as a multiple of an exact render's own."""
        return self.after / self.alone


@frozen
class Traffic:
    """What one edit sends to a page: messages and bytes of progress, and bytes of images."""

    messages: int
    progress: int
    images: int


class Bench:
    """A worker on a session, with what it shows and sends."""

    def __init__(self, session: EditSession) -> None:
        self.session = session
        self.shown: list[tuple[float, Render]] = []
        self.failed: list[Exception] = []
        self.sent: list[int] = []
        self.images = 0
        self.view = ProgressView(lambda: None, lambda: None)
        mock.patch.object(self.view, "_send", self._send).start()
        self.worker = RenderWorker(
            session, show=self._show, progress=self.view.show, fail=self.failed.append
        )

    def _send(self, message: dict[str, Any], buffers: object = None) -> None:
        if message["method"] == "update":
            self.sent.append(len(json.dumps(message)))

    def _show(self, render: Render) -> None:
        self.images += len(encode(render.image)) + len(encode_thumbnail(render.image))
        self.shown.append((time.perf_counter(), render))

    def finish(self) -> None:
        """Wait until nothing is left to do. Raises what has failed."""
        self.worker.wait()
        for error in self.failed:
            raise error


def begin(pipeline: Any, seed: int, steps: int) -> EditSession:
    """Return a session with two concepts."""
    session = EditSession(pipeline, PROMPT, seed=seed, num_inference_steps=steps, guidance_scale=5)
    session.add(MOVED, scale=5, threshold=0.9)
    session.add(OTHER, scale=5, threshold=0.9)
    return session


def possible_previews(session: EditSession) -> tuple[float, int]:
    """Return the previews a second back to back, and the evaluations of one."""
    states = [
        edits.update(session.state, MOVED, scale=3 + number / 100) for number in range(POSSIBLE)
    ]
    start = time.perf_counter()
    evaluations = [session.render("preview", state=one).evaluations for one in states]
    return POSSIBLE / (time.perf_counter() - start), max(evaluations)


def on_a_thread(render: Callable[[], Render]) -> tuple[Render, float]:
    """Return a render and its seconds, on a thread of its own as a worker's.

    On two cores and this small model, that takes 1.7 times as long as on the main thread: each
    thread has an OpenMP team of its own, and with more threads than cores they sleep between calls.
    """

    def timed() -> tuple[Render, float]:
        start = time.perf_counter()
        return render(), time.perf_counter() - start

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(timed).result()


def drag(session: EditSession, seconds: float) -> Drag:
    """Drag a slider, and wait for the exact image."""
    bench = Bench(session)
    bench.worker.post()
    bench.finish()
    bench.shown.clear()
    possible, preview_evaluations = possible_previews(session)
    before = session.copy()
    start = time.perf_counter()
    for number in range(round(seconds * MOVES_A_SECOND)):
        time.sleep(max(0.0, start + number / MOVES_A_SECOND - time.perf_counter()))
        with session.gesture(MOVED):
            session.reweight(MOVED, scale=5.02 + number / 50)
        bench.worker.post(moving=True)
    last = time.perf_counter()
    bench.worker.post()
    bench.finish()
    bench.worker.close()
    previews = [at for at, _ in bench.shown if at <= last]
    later = [(at, render) for at, render in bench.shown if at > last]
    alone, seconds_alone = on_a_thread(partial(before.render, state=session.state))
    return Drag(
        possible=possible,
        shown=len(previews) / (previews[-1] - start),
        preview_evaluations=preview_evaluations,
        alone=seconds_alone,
        alone_evaluations=alone.evaluations,
        after=later[-1][0] - last,
        after_evaluations=sum(render.evaluations for _, render in later),
        modes=tuple(render.mode for _, render in later),
    )


def traffic(session: EditSession, scale: float) -> Traffic:
    """Return what one edit without a drag sends."""
    bench = Bench(session)
    session.reweight(MOVED, scale=scale)
    bench.worker.post()
    bench.finish()
    bench.worker.close()
    return Traffic(len(bench.sent), sum(bench.sent), bench.images)


def measured(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the smallest and the largest."""
    found = {"median": statistics.median(values), "smallest": min(values), "largest": max(values)}
    return {name: round(one, 3) for name, one in found.items()}


def summary(
    steps: int, drags: Sequence[Drag], edited: Sequence[tuple[Traffic, Traffic]]
) -> dict[str, Any]:
    """Return the results of one number of steps."""
    fields = ("possible", "shown", "share", "alone", "after", "delay")
    columns: dict[str, Callable[[Traffic], float]] = {
        "messages": lambda one: one.messages,
        "bytes": lambda one: one.progress,
        "of_images": lambda one: one.progress / one.images,
    }
    return {
        "steps": steps,
        "runs": len(drags),
        **{name: measured([getattr(one, name) for one in drags]) for name in fields},
        "preview_evaluations": drags[0].preview_evaluations,
        "alone_evaluations": drags[0].alone_evaluations,
        "after_evaluations": measured([one.after_evaluations for one in drags]),
        "modes": sorted({", ".join(one.modes) for one in drags}),
        "progress": {
            name: {
                "every_call": measured([get(every) for every, _ in edited]),
                "throttled": measured([get(throttled) for _, throttled in edited]),
            }
            for name, get in columns.items()
        },
    }


def run(pipeline: Any, steps: int, runs: int, seconds: float) -> dict[str, Any]:
    """Measure one number of steps."""
    drags, edited = [], []
    for seed in range(runs):
        session = begin(pipeline, seed, steps)
        drags.append(drag(session, seconds))
        with mock.patch("sega_widgets.worker.INTERVAL", 0.0):
            every = traffic(session, 11.0)
        edited.append((every, traffic(session, 12.0)))
        print(
            f"{steps} steps, seed {seed}: {drags[-1].share:.2f}, {drags[-1].delay:.2f}", flush=True
        )
    return summary(steps, drags, edited)


def table(rows: Sequence[dict[str, Any]], made_on: dict[str, Any], minutes: float) -> str:
    """Format the results in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in made_on["versions"].items())
    return "\n".join(
        [
            "# The panel's render thread",
            "",
            f"Written by `benchmarks/panel.py` on {made_on['date']}: {rows[0]['runs']} drags for "
            f"each number of steps, {minutes:.1f} minutes with {made_on['threads']} threads of "
            f"{made_on['cpu']}; Python {made_on['python']}, {versions}.",
            "",
            "Medians, and the smallest and largest in brackets. *Possible* are previews back to "
            "back, *alone* is an exact render of the last state that nothing comes before; see "
            "the benchmark's docstring.",
            "",
            *_rows(
                ("steps", "previews/s shown", "possible", "share", "evaluations of one"),
                (
                    (
                        row["steps"],
                        _cell(row["shown"], ".2f"),
                        _cell(row["possible"], ".2f"),
                        _cell(row["share"], ".2f"),
                        row["preview_evaluations"],
                    )
                    for row in rows
                ),
            ),
            "",
            *_rows(
                (
                    *("steps", "last move to exact, s", "exact alone, s", "multiple"),
                    *("evaluations", "alone", "images after the last move"),
                ),
                (
                    (
                        row["steps"],
                        _cell(row["after"], ".2f"),
                        _cell(row["alone"], ".2f"),
                        _cell(row["delay"], ".2f"),
                        _cell(row["after_evaluations"], ".0f"),
                        row["alone_evaluations"],
                        "; ".join(row["modes"]),
                    )
                    for row in rows
                ),
            ),
            "",
            "What one edit without a drag sends of progress:",
            "",
            *_rows(
                ("steps", "reports", "messages", "bytes", "bytes, of those of its images"),
                (
                    (
                        row["steps"],
                        reports.replace("_", " "),
                        _cell(row["progress"]["messages"][reports], ".0f"),
                        _cell(row["progress"]["bytes"][reports], ".0f"),
                        _cell(row["progress"]["of_images"][reports], ".2f"),
                    )
                    for row in rows
                    for reports in ("every_call", "throttled")
                ),
            ),
            "",
        ]
    )


def _rows(columns: Sequence[str], rows: Any) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def _cell(value: dict[str, float], spec: str) -> str:
    median, least, most = (format(value[one], spec) for one in ("median", "smallest", "largest"))
    return f"{median} ({least} to {most})"


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    steps, runs, seconds = ((10,), 1, 1.0) if arguments.quick else (STEPS, RUNS, 3.0)
    start = time.perf_counter()
    pipeline = load_avatars(device="cpu", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    rows = [run(pipeline, one, runs, seconds) for one in steps]
    minutes = (time.perf_counter() - start) / 60
    made_on = machine()
    written = table(rows, made_on, minutes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "panel.md").write_text(written)
    results = {"machine": made_on, "minutes": round(minutes, 1), "rows": rows}
    (arguments.output / "panel.json").write_text(json.dumps(results, indent=1) + "\n")
    print(written)


if __name__ == "__main__":
    main()
