"""Digests of weights: read once, again when weights change, not when they move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sega_session import EditSession
from sega_session.errors import ModelMismatchError, UnsupportedPipelineError
from sega_session.models import component_digests, fingerprint
from tests.support.adapters import load_lora, unload_lora
from tests.support.pipelines import tiny_stable_diffusion


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the tensors that were read for a digest."""
    sizes: list[int] = []
    original = fingerprint._bytes  # noqa: SLF001 - everything is read through it

    def read_bytes(tensor: torch.Tensor) -> bytes:
        sizes.append(tensor.nbytes)
        return original(tensor)

    monkeypatch.setattr(fingerprint, "_bytes", read_bytes)
    return sizes


def digest(module: Any) -> str:
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


class Net(nn.Module):
    """A network with known weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)
        self.register_buffer("b", torch.arange(3))
        with torch.no_grad():
            self.a.weight.copy_(torch.arange(6.0).view(3, 2))
            self.a.bias.copy_(torch.arange(3.0))


NET_DIGEST = "9d0bc367167ab1ef368ad3beb6066c3cdceacd9ea76712ea22f32f28a49defd4"
"""Saved files name weights so, and must stay readable."""


def test_the_digest_of_plain_weights_stays() -> None:
    assert digest(Net()) == NET_DIGEST


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compilation_does_not_change_a_digest() -> None:
    unet = tiny_stable_diffusion().unet
    expected = digest(unet)
    assert digest(torch.compile(unet)) == expected
    unet.mid_block = torch.compile(unet.mid_block)
    assert digest(unet) == expected


def check_file(
    folder: Path, pipeline: Callable[[], Any], others: Sequence[Any], message: str
) -> None:
    """Check that a pipeline's file is read with an equal one, and refused with others."""
    path = folder / "a.safetensors"
    session = EditSession(pipeline(), "a cat", num_inference_steps=4)
    session.render()
    session.save(path)
    assert EditSession.load(path, pipeline()).render().evaluations == 0
    for other in others:
        with pytest.raises(ModelMismatchError, match=message):
            EditSession.load(path, other)


def test_a_file_of_a_lora_is_refused_at_another_scale(tmp_path: Path) -> None:
    def pipeline(scale: float) -> Any:
        found = tiny_stable_diffusion()
        load_lora(found.unet, scale=scale)
        return found

    others = [pipeline(1.0), tiny_stable_diffusion()]
    check_file(tmp_path, lambda: pipeline(0.5), others, r"What differs: unet\.")


def test_adapters_and_free_u_are_part_of_a_digest() -> None:
    unet = tiny_stable_diffusion().unet
    found = [digest(unet)]
    layers = load_lora(unet)
    found.append(digest(unet))
    layers[0].switch(on=False)
    found.append(digest(unet))
    layers[0].scaling["x"] = 0.25
    found.append(digest(unet))
    for layer in layers:
        layer.merge()
    found.append(digest(unet))
    unload_lora(unet)
    found.append(digest(unet))
    unet.enable_freeu(0.9, 0.2, 1.2, 1.4)
    found.append(digest(unet))
    assert len(set(found)) == len(found)
    unet.disable_freeu()
    assert digest(unet) == found[-2]


@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantized_network_can_be_saved(tmp_path: Path) -> None:
    from torch.ao.quantization import quantize_dynamic  # noqa: PLC0415 - warns

    def pipeline(seed: int) -> Any:
        found = tiny_stable_diffusion(seed=seed)
        found.unet = quantize_dynamic(found.unet, {nn.Linear}, torch.qint8)
        return found

    others = [pipeline(5), tiny_stable_diffusion()]
    check_file(tmp_path, lambda: pipeline(0), others, r"What differs: .*unet")


def test_state_that_cannot_be_read_is_refused() -> None:
    class Odd(nn.Module):
        def get_extra_state(self) -> object:
            return object()

        def set_extra_state(self, state: object) -> None:
            pass

    with pytest.raises(UnsupportedPipelineError, match=r"_extra_state is a object; allowed: netw"):
        digest(Odd())
