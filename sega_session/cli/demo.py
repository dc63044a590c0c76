"""What `sega-session demo` does: a portrait edited step by step, beside the same from scratch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen
from PIL import Image

from ..models.presets import Preset, Recommended, recommended
from ..render import Render
from ..session import EditSession

Edit = Callable[[EditSession], None]

PUBLISHED = Recommended(
    prompt="a photo of the face of a woman",
    seed=21,
    guidance_scale=7.0,
    concepts={
        "glasses": Preset(scale=5, threshold=0.975, warmup=0.2),
        "beard": Preset(scale=5.4, threshold=0.96, warmup=0.2),
        "smile": Preset(scale=4, threshold=0.99, warmup=0.2),
    },
    removals={},
)
"""Scales and thresholds of the example in diffusers' documentation, for any other checkpoint."""


@frozen
class Settings:
    """What the demo does on one kind of checkpoint."""

    prompt: str
    seed: int
    guidance_scale: float
    edits: tuple[tuple[str, Edit], ...]


def settings_for(pipeline: Any) -> Settings:
    """What the checkpoint recommends, or where it does not, the published settings."""
    found = recommended(pipeline)
    if found is None or not PUBLISHED.concepts.keys() <= found.concepts.keys():
        found = PUBLISHED
    return Settings(found.prompt, found.seed, found.guidance_scale, _edits(found.concepts))


def _edits(presets: Mapping[str, Preset]) -> tuple[tuple[str, Edit], ...]:
    """The demo's edits with their labels."""

    def add(prompt: str, **changes: float) -> tuple[str, Edit]:
        preset = evolve(presets[prompt], **changes)
        return f"add {prompt}", lambda s: s.add(prompt, **preset.arguments(s.num_calls))

    strong = presets["beard"].scale
    weak = strong / 2
    return (
        ("base", lambda s: None),
        add("glasses"),
        add("beard", scale=weak),
        (f"beard {weak:g} to {strong:g}", lambda s: s.reweight("beard", scale=strong)),
        add("smile"),
        ("invert smile", lambda s: s.invert("smile")),
        ("remove beard", lambda s: s.remove("beard")),
        ("remove smile", lambda s: s.remove("smile")),
    )


@frozen(eq=False)
class Row:
    """One edit of the demo: its picture and what it took, with and without what was recorded."""

    label: str
    image: Image.Image
    evaluations: int
    seconds: float
    scratch_evaluations: int
    scratch_seconds: float


def run(
    pipeline: Any, prompt: str, settings: Settings, on_progress: Callable[[int, int], None]
) -> list[Row]:
    """Make every edit in a session, and again in one that records nothing.

    Args:
        on_progress: called with the model calls done and those there will be; calls that need
            no evaluation count as done.
    """
    scratch, session = (
        EditSession(
            pipeline,
            prompt,
            seed=settings.seed,
            guidance_scale=settings.guidance_scale,
            cache_bytes=cache_bytes,
        )
        for cache_bytes in (0, 2**30)
    )
    total = 2 * len(settings.edits) * session.num_calls
    done = 0

    def timed(one: EditSession) -> tuple[Render, float]:
        nonlocal done
        start = time.perf_counter()
        render = one.render(
            callback_on_step_end=lambda _, call, *__: on_progress(done + call + 1, total)
        )
        done += one.num_calls
        on_progress(done, total)
        return render, time.perf_counter() - start

    rows = []
    for label, edit in settings.edits:
        edit(scratch)
        edit(session)
        again, scratch_seconds = timed(scratch)
        render, seconds = timed(session)
        rows.append(
            Row(
                label, render.image, render.evaluations, seconds, again.evaluations, scratch_seconds
            )
        )
    return rows
