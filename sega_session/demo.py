"""What `sega-session demo` does: a portrait edited step by step, beside the same from scratch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from PIL import Image

from .models import AVATARS
from .render import Render
from .session import EditSession

Edit = Callable[[EditSession], None]
Setting = tuple[float, float]
"""A concept's scale and threshold."""


@frozen
class Settings:
    """What the demo does on one kind of checkpoint."""

    prompt: str
    seed: int
    guidance_scale: float
    edits: tuple[tuple[str, Edit], ...]


def _edits(
    glasses: Setting, beard: Setting, stronger: float, smile: Setting
) -> tuple[tuple[str, Edit], ...]:
    """The demo's edits with their labels."""

    def add(prompt: str, setting: Setting) -> tuple[str, Edit]:
        scale, threshold = setting
        return f"add {prompt}", lambda s: s.add(prompt, scale=scale, threshold=threshold)

    return (
        ("base", lambda s: s.momentum(scale=0.3, beta=0.6)),
        add("glasses", glasses),
        add("beard", beard),
        (f"beard {beard[0]:g} to {stronger:g}", lambda s: s.reweight("beard", scale=stronger)),
        add("smile", smile),
        ("invert smile", lambda s: s.invert("smile")),
        ("remove beard", lambda s: s.remove("beard")),
        ("remove smile", lambda s: s.remove("smile")),
    )


def settings_for(model: str) -> Settings:
    """The embedded checkpoint's measured settings, or the published ones for any other."""
    if Path(model).resolve() == AVATARS:
        return Settings(
            prompt="a portrait of a person",
            seed=8,
            guidance_scale=5.0,
            edits=_edits(glasses=(5, 0.9), beard=(2, 0.92), stronger=5, smile=(6, 0.95)),
        )
    return Settings(
        prompt="a photo of the face of a woman",
        seed=21,
        guidance_scale=7.0,
        edits=_edits(glasses=(5, 0.975), beard=(5.4, 0.96), stronger=8, smile=(4, 0.99)),
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
