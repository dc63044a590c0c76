"""`Calibration`: the scales in which a concept changes the images, and even steps between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from .errors import InvalidValueError
from .state.fields import as_float, as_int, check_integer, check_number, check_text, checked_by

Images: TypeAlias = NDArray[np.floating[Any]]
"""``(images, height, width, 3)`` in [0, 1]."""

RENDERS = 5
"""The renders of a calibration, the unedited one included."""

VISIBLE = 0.01
"""The least root mean square change of the pixels that is looked for: 40 dB.

On the embedded model, concepts that show change the pixels by 0.02 or more.
"""

DOUBLINGS = 2
"""How often the end of the range is doubled where no change is visible."""

BEGIN, END = 0.05, 0.95
"""The shares of the whole change at the ends of the range: outside it, little changes."""


def _as_floats(value: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(as_float, value))


def _check_scales(what: str, value: tuple[Any, ...]) -> None:
    numbers = [check_number(what, one, at_least=0) for one in value]
    if len(numbers) < 2 or any(one >= other for one, other in pairwise(numbers)):
        raise InvalidValueError(what, value, "at least two, ascending")


def _check_changes(what: str, value: tuple[Any, ...]) -> None:
    if not sum(check_number(what, one, at_least=0) for one in value) > 0:
        raise InvalidValueError(what, value, "at least one above 0")


@frozen(kw_only=True)
class Calibration:
    """The scales in which a concept changes the images, measured with a few renders.

    Most concepts change nothing up to some scale, then much within a short range, then little
    again. `steps` are scales whose images differ about equally, whatever the scales are.

    The way that the images go from scale 0 to the last measured one is their *change*: the sum of
    the distances between the images at neighbouring scales. Between measured scales it is
    interpolated, linearly in the square root of the scale.

    Attributes:
        concept: the concept's name.
        scales: the scales that were rendered, ascending.
        changes: the root mean square difference of the pixels, in [0, 1], between the images at
            each scale and the next; one fewer than the scales.
        evaluations: the evaluations of these renders; see `Render.evaluations`.

    Raises:
        InvalidValueError: the scales do not ascend, or no image differs from the others.
    """

    concept: str = field(validator=checked_by(check_text, may_be_empty=False))
    scales: tuple[float, ...] = field(converter=_as_floats, validator=checked_by(_check_scales))
    changes: tuple[float, ...] = field(converter=_as_floats, validator=checked_by(_check_changes))
    evaluations: int = field(converter=as_int, validator=checked_by(check_integer, at_least=0))

    def __attrs_post_init__(self) -> None:
        if len(self.changes) != len(self.scales) - 1:
            raise InvalidValueError(
                "changes", self.changes, f"{len(self.scales) - 1}, one fewer than the scales"
            )

    @property
    def low(self) -> float:
        """The scale at which the images begin to change: 5% of the change is done."""
        return self.scale(0)

    @property
    def high(self) -> float:
        """The scale from which on the images change little: 95% of the change is done."""
        return self.scale(1)

    def scale(self, share: float) -> float:
        """Return the scale at which a share of the change between `low` and `high` is done.

        Args:
            share: 0 (`low`) to 1 (`high`).

        Returns:
            A scale that does not fall as the share grows.

        Raises:
            InvalidValueError: the share is outside its range.
        """
        share = check_number("share", share, at_least=0, at_most=1)
        done = np.cumsum((0, *self.changes))
        wanted = done[-1] * (BEGIN + share * (END - BEGIN))
        return float(np.interp(wanted, done, np.sqrt(self.scales)) ** 2)

    def steps(self, count: int) -> tuple[float, ...]:
        """Return scales whose images look evenly spaced, ascending from `low` to `high`.

        Args:
            count: how many, 2 or more.

        Raises:
            InvalidValueError: the count is outside its range.
        """
        count = check_integer("count", count, at_least=2)
        return tuple(self.scale(share) for share in np.linspace(0, 1, count))


def measure_changes(
    render: Callable[[float], Images], scale: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Render images at a few scales, most of them where the images change most.

    The range begins at scale 0 and ends at the given scale. Where no change is visible there, its
    end is doubled. Then the neighbouring scales whose images differ most are halved, in their
    square root, until there are `RENDERS`: most concepts show at small scales.

    Args:
        render: returns the images at a scale.
        scale: the end of the range, above 0.

    Returns:
        `Calibration.scales` and `Calibration.changes`.

    Raises:
        InvalidValueError: no change is visible at any end of the range.
    """
    images = {0.0: render(0.0)}
    ends = [scale * 2**doublings for doublings in range(DOUBLINGS + 1)]
    for end in ends:
        images[end] = render(end)
        if distance(images[0.0], images[end]) >= VISIBLE:
            break
    else:
        raise InvalidValueError(
            "scale",
            scale,
            f"one that changes the image visibly; {ends[-1]:g} does not either",
            "Raise the scale, or lower the concept's threshold or warm-up.",
        )
    while len(images) < RENDERS:
        below, above = max(
            pairwise(sorted(images)), key=lambda pair: distance(*(images[one] for one in pair))
        )
        middle = (below + above) / 4 + (below * above) ** 0.5 / 2
        images[middle] = render(middle)
    scales = sorted(images)
    return tuple(scales), path([images[one] for one in scales])


def path(images: Sequence[Images]) -> tuple[float, ...]:
    """Return the distance of each image from the next."""
    return tuple(distance(one, other) for one, other in pairwise(images))


def distance(one: Images, other: Images) -> float:
    """Return the root mean square difference of two batches of images."""
    return float(np.sqrt(np.square(one - other, dtype=np.float64).mean()))
