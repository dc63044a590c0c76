"""Many cases compared with diffusers' SEGA pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.test_parity import cases, check_case


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@settings(max_examples=240, deadline=None, derandomize=True, database=None)
@given(case=cases())
def test_latents_equal_the_reference(case: dict[str, Any]) -> None:
    check_case(case)
