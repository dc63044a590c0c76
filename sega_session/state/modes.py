"""The modes of a render: which predictions are evaluated, and which are estimated instead."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import optional

from ..errors import InvalidValueError, suggest
from .fields import as_float, as_int, check_integer, check_number, checked_by


@frozen
class Exact:
    """SEGA as from scratch: every prediction is evaluated at the current latents."""

    def __str__(self) -> str:
        return "exact"


@frozen
class Anchored:
    """Conditions evaluated at some model calls, the anchors, and estimated between them.

    An estimate is the prediction that was recorded at the same call before the edit, plus the
    change at the neighbouring anchors. Exactly one of the two values is given.

    Attributes:
        every: the mean distance of anchors in changed model calls, 1 or more; closer at first.
        tolerance: the error of the latents, above 0, that anchors are placed for: a root mean
            square, where the latents' own spread is about 1.

    Raises:
        InvalidValueError: both or none are given, or a value is outside its range.
    """

    every: int | None = field(
        default=None,
        converter=as_int,
        validator=optional(checked_by(check_integer, at_least=1, hint="1 evaluates all.")),
    )
    tolerance: float | None = field(
        default=None,
        converter=as_float,
        validator=optional(checked_by(check_number, above=0, hint="Try 0.1.")),
    )

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
    """Prompt and empty prompt evaluated, and each concept's recorded guidance applied again.

    A concept without recorded guidance, added by the edit, is evaluated.
    """

    def __str__(self) -> str:
        return "replay"


@frozen
class Preview:
    """Anchors at four model calls only, for a slider in motion."""

    def __str__(self) -> str:
        return "preview"


Mode = Exact | Anchored | Replay | Preview
"""A render mode; see `anchored` and `as_mode`."""

ModeName = Literal["exact", "anchored", "replay", "preview"]
"""The names of render modes; "anchored" is a tolerance of 0.1."""

MODES: dict[ModeName, Mode] = {
    "exact": Exact(),
    "anchored": Anchored(tolerance=0.1),
    "replay": Replay(),
    "preview": Preview(),
}
"""The mode of each name."""


def anchored(*, every: int | None = None, tolerance: float | None = None) -> Anchored:
    """Return the mode that evaluates at anchors only: ``session.render(anchored(every=5))``.

    Args:
        every: the mean distance of anchors in changed model calls, 1 or more; closer at first. 2
            makes about 40% of the evaluations of a render from scratch, 5 about 20%, and 1 all
            that are not recorded.
        tolerance: instead, a target above 0 for the error of the latents (root mean square).
            Anchors are placed by the error measured during the render, at most 4 calls apart. 0.1,
            which "anchored" means, makes about 30% of the evaluations.

    Raises:
        InvalidValueError: both or none are given, or a value is outside its range.
    """
    return Anchored(every=every, tolerance=tolerance)


def as_mode(mode: object) -> Mode:
    """Return a mode, given itself or its name. Raises InvalidValueError."""
    for name, found in MODES.items():
        if isinstance(mode, str) and mode == name:
            return found
    if isinstance(mode, Mode):
        return Exact() if mode == Anchored(every=1) else mode
    names = ", ".join(map(repr, MODES))
    allowed = f"one of {names}, or anchored(every=...)"
    raise InvalidValueError("mode", mode, allowed, suggest(mode, MODES))
