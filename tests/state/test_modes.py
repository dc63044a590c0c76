"""Modes by value and by name. (What they render is tested in tests/engine.)"""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from sega_session.errors import InvalidValueError
from sega_session.state import MODES, Anchored, Exact, ModeName, anchored, as_mode


def test_every_mode_has_one_name() -> None:
    assert [*get_args(ModeName)] == [*MODES]
    for name, mode in MODES.items():
        assert as_mode(name) is as_mode(mode) is mode
        assert str(mode) == ("anchored(tolerance=0.1)" if name == "anchored" else name)


def test_an_anchor_at_every_call_is_exact() -> None:
    assert as_mode(anchored(every=1)) == Exact()
    assert as_mode(anchored(every=2)) == Anchored(every=2)


@pytest.mark.parametrize("mode", ["fast", "", None, 3, Exact, ["exact"]])
def test_other_modes_are_refused(mode: object) -> None:
    with pytest.raises(InvalidValueError, match="allowed: one of 'exact', 'anchored', 'replay', "):
        as_mode(mode)


def test_numbers_of_numpy_become_plain() -> None:
    assert type(anchored(every=np.int64(3)).every) is int  # type: ignore[arg-type]
    assert type(anchored(tolerance=np.float32(0.5)).tolerance) is float  # type: ignore[arg-type]
    assert str(anchored(tolerance=0.5)) == "anchored(tolerance=0.5)"
