"""Values that several packages share."""

from __future__ import annotations

from typing import Literal

BatchPlan = Literal["together", "canonical"]

Include = Literal["state", "base", "all"]
