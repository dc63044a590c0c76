"""Suggestions for a name that is close to a known one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return "Did you mean 'hat'?", or an empty text if no name is close."""
    close = get_close_matches(given, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
