"""What a render will evaluate, told before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from ..sega.guider import UNCOND, Branches
from ..sega.recipe import Recipe
from ..sega.trajectory import LATENTS, Key, last_shared_call
from ..state import Anchored, Exact, Mode, Replay
from ..state.modes import anchors
from .denoise import damping_of, key_of, unrecorded
from .estimates import Recording
from .store import TrajectoryStore


def planned_evaluations(
    recipe: Recipe,
    keys: tuple[str, ...],
    branches: Branches,
    store: TrajectoryStore,
    mode: Mode,
    recording: Recording | None,
) -> int:
    """The branch-steps an image that `denoise` would evaluate now; at most, for a tolerance."""
    if Key(keys[-1], LATENTS) in store:
        return 0
    return sum(key not in store for key in _wanted(recipe, keys, branches, mode, recording))


def _wanted(
    recipe: Recipe,
    keys: tuple[str, ...],
    branches: Branches,
    mode: Mode,
    recording: Recording | None,
) -> Iterator[Key]:
    needed = [branches.needed(step) for step in recipe.steps]
    calls = len(needed)
    if recording is None or isinstance(mode, Exact):
        yield from (Key(keys[call], branch) for call in range(calls) for branch in needed[call])
        return
    first = last_shared_call(keys, recording.keys)
    yield from (Key(keys[call], branch) for call in range(first + 1) for branch in needed[call])
    if isinstance(mode, Replay):
        exact = True
        for call in range(first + 1, calls):
            latents = key_of(keys[call], recording, None if exact else "replay")
            known = recording.branches_at(call) - {UNCOND, branches.text}
            yield from (Key(latents, branch) for branch in needed[call] if branch not in known)
            exact = exact and known.isdisjoint(needed[call])
        return
    damping = damping_of(mode)
    any_call = isinstance(mode, Anchored) and mode.tolerance is not None
    taken = [first]
    forced = unrecorded(recipe, branches, recording, first)
    for call in sorted({*anchors(mode, first, calls), *forced}):
        exact = taken == list(range(first, call)) and not any_call
        latents = key_of(keys[call], recording, None if exact else (damping, *taken))
        yield from (Key(latents, branch) for branch in needed[call])
        taken.append(call)
