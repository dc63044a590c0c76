"""Digests of weights: read once, again when weights change, not when they move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sega_session.models import component_digests, fingerprint
from tests.support.pipelines import tiny_stable_diffusion


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the tensors that were read for a digest, larger than a glance."""
    sizes: list[int] = []
    original = torch.Tensor.numpy

    def numpy(tensor: torch.Tensor, **arguments: Any) -> Any:
        if tensor.nbytes > 8 * fingerprint.SAMPLES:
            sizes.append(tensor.nbytes)
        return original(tensor, **arguments)

    monkeypatch.setattr(torch.Tensor, "numpy", numpy)
    return sizes


def digest(module: nn.Module) -> str:
    return component_digests({"unet": module})["unet"]


def test_weights_that_move_are_not_read_again(read: list[int]) -> None:
    unet = tiny_stable_diffusion().unet
    first = digest(unet)
    assert read
    read.clear()
    # As offloading does: the same values at other addresses.
    for parameter in unet.parameters():
        parameter.data = parameter.data.clone()
    assert digest(unet) == first
    assert read == []


@pytest.mark.parametrize(
    "change",
    [
        lambda weight: weight.mul_(1.5),
        lambda weight: setattr(weight, "data", weight.data * 1.5),
        lambda weight: weight.data.mul_(1.5),
        lambda weight: weight.view(-1)[-1:].add_(1),
    ],
    ids=["in place", "replaced", "through .data", "one value"],
)
def test_weights_that_change_have_another_digest(change: Callable[[Any], object]) -> None:
    unet = tiny_stable_diffusion().unet
    first = digest(unet)
    with torch.no_grad():
        change(unet.conv_in.weight)
    assert digest(unet) != first
    with torch.no_grad():
        fresh = tiny_stable_diffusion().unet
    assert digest(fresh) == first
