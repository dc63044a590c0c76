"""The fixtures of tests/widgets that the slow tests use."""

from __future__ import annotations

from tests.widgets.conftest import model

__all__ = ["model"]
