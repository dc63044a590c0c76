"""A stand-in for torchsde, which the SDE schedulers of diffusers draw noise with."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

MODULE = "diffusers.schedulers.scheduling_dpmsolver_sde"


class Tree:
    """A Brownian motion whose values depend on its seed and the times alone; it has no copies."""

    def __init__(self, *, size: Any, dtype: torch.dtype, entropy: int, **_: Any) -> None:
        self._size, self._dtype, self._entropy = size, dtype, entropy

    def __call__(self, t0: float, t1: float) -> Tensor:
        return self._at(t1) - self._at(t0)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tree:
        raise KeyError("an interval of another tree")

    def _at(self, t: float) -> Tensor:
        seed = hash((self._entropy, round(float(t), 6))) % 2**31
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(self._size, dtype=self._dtype, generator=generator)


def sde_scheduler_class(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return diffusers' DPMSolverSDEScheduler, which needs no torchsde until the test ends."""
    torchsde: Any = ModuleType("torchsde")
    torchsde.BrownianInterval = Tree
    monkeypatch.setitem(sys.modules, "torchsde", torchsde)
    # The module as it is imported here goes, too.
    monkeypatch.setitem(sys.modules, MODULE, None)
    del sys.modules[MODULE]
    return importlib.import_module(MODULE).DPMSolverSDEScheduler
