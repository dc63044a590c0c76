"""The ways to draw a state: how much of it is evaluated, and what is estimated instead."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from attrs import field, frozen

from ..errors import InvalidValueError


def _check_every(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
        raise InvalidValueError("every", value, "an integer, at least 1", "1 evaluates all.")


def _check_tolerance(_: object, __: object, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise InvalidValueError("tolerance", value, "a number above 0", "Try 0.1.")


@frozen
class Exact:
    """Every prediction taken at the very latents: SEGA as from scratch."""

    def __str__(self) -> str:
        return "exact"


@frozen
class Anchored:
    """All branches are evaluated at anchors; between them they are estimated.

    The estimate is what was recorded at the same call before the edit, plus the change seen at
    the anchors.

    Attributes:
        every: an anchor at every so many changed model calls, 1 or more, closer at first; or
        tolerance: anchors as close as keeps what is corrected on the way within this in all (root
            mean square of latents, whose own spread is about 1), above 0.
    """

    every: int | None = field(default=None, validator=_check_every)
    tolerance: float | None = field(default=None, validator=_check_tolerance)

    def __attrs_post_init__(self) -> None:
        if (self.every is None) == (self.tolerance is None):
            raise InvalidValueError(
                "anchored(every=, tolerance=)",
                (self.every, self.tolerance),
                "exactly one of the two",
                "Try anchored(every=5).",
            )

    def __str__(self) -> str:
        what = "every" if self.every is not None else "tolerance"
        return f"anchored({what}={getattr(self, what):g})"


@frozen
class Replay:
    """The classic: uncond and text are evaluated, each concept's recorded direction is re-applied.

    Of a concept that was not recorded before the edit, the prediction is evaluated.
    """

    def __str__(self) -> str:
        return "replay"


@frozen
class Preview:
    """Anchors at four model calls only, for a slider in motion."""

    def __str__(self) -> str:
        return "preview"


Mode = Exact | Anchored | Replay | Preview

MODES: dict[str, Mode] = {
    "exact": Exact(),
    "anchored": Anchored(every=5),
    "replay": Replay(),
    "preview": Preview(),
}
"""What a mode's name stands for."""


def anchored(*, every: int | None = None, tolerance: float | None = None) -> Anchored:
    """The mode that evaluates at anchors only: ``session.render(anchored(every=5))``.

    Args:
        every: an anchor at every so many changed model calls, closer at first: of the evaluations
            from scratch 2 takes about 40 %, 5 about 20 %, and 1 all that is not recorded.
        tolerance: or anchors placed by the error that is measured on the way, at most 4 calls
            apart: a target for the error of the latents (root mean square). 0.1 is a good start.

    Raises:
        InvalidValueError: both or none are given, or a value is outside its range.
    """
    return Anchored(every=every, tolerance=tolerance)


def as_mode(mode: object) -> Mode:
    """A mode, or what its name stands for. Raises InvalidValueError."""
    if isinstance(mode, str) and mode in MODES:
        return MODES[mode]
    if isinstance(mode, Mode):
        return Exact() if mode == Anchored(every=1) else mode
    names = ", ".join(map(repr, MODES))
    raise InvalidValueError("mode", mode, f"one of {names}, or anchored(every=...)")


PREVIEW_ANCHORS = (0.1, 0.25, 0.45, 0.7)
"""Where a preview's anchors are, as shares of the changed calls; measured best of those tried."""


def anchors(mode: Anchored | Preview, first: int, calls: int) -> tuple[int, ...]:
    """The model calls to evaluate after the ``first`` changed one.

    Counted back from the last call but one: what is wrong in the last calls, nothing mends. Where
    a picture goes is decided early, so the way to the first is halved until it is 2 calls or
    fewer. For a tolerance these are all calls: which of them it takes, the render finds out.
    """
    if isinstance(mode, Preview):
        changed = calls - first
        offsets = [max(1, round(share * changed)) for share in PREVIEW_ANCHORS]
        return tuple(sorted({first + one for one in offsets if first + one < calls}))
    found = list(range(calls - 2, first, -(mode.every or 1)))
    while found and found[-1] - first > 2:
        found.append(first + (found[-1] - first) // 2)
    return tuple(reversed(found))
