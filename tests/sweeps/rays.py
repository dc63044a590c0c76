"""Rays that a test starts itself."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Let a test start a Ray that neither reports its use nor gives advice, and end it afterwards.

    Ray does not wait for the processes that it ends, of which Python warns.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            yield
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                ray.shutdown()
                gc.collect()
