"""Long walks of a session, rendered from the cache and from scratch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings

from tests.slow.size import WALKS
from tests.support.pipelines import tiny_stable_diffusion
from tests.test_session import check_cache, walks


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
@settings(max_examples=WALKS, deadline=None, derandomize=True, database=None)
@given(walk=walks)
def test_a_render_from_the_cache_equals_one_from_scratch(walk: list[Any]) -> None:
    check_cache(tiny_stable_diffusion(dtype=torch.float64), walk)
