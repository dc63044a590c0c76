"""LoRA and DoRA layers with the attributes of peft's, which the tests do not install."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LoraLinear(nn.Module):
    """A linear layer with adapters, built and merged as `peft.tuners.lora.Linear` is."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.scaling: dict[str, float] = {}
        self.lora_A = nn.ModuleDict()
        self.lora_B = nn.ModuleDict()
        self._disable_adapters = False
        self._active: list[str] = []
        self.merged_adapters: list[str] = []

    @property
    def disable_adapters(self) -> bool:
        return self._disable_adapters

    @property
    def active_adapters(self) -> list[str]:
        return self._active

    def add(self, name: str, scale: float) -> None:
        generator = torch.Generator().manual_seed(len(name))
        sizes = (self.base_layer.in_features, 2), (2, self.base_layer.out_features)
        for parts, (inputs, outputs) in zip((self.lora_A, self.lora_B), sizes, strict=True):
            part = nn.Linear(inputs, outputs, bias=False).requires_grad_(False)
            part.weight.copy_(torch.randn(part.weight.shape, generator=generator))
            parts[name] = part
        self.scaling[name] = scale
        self._active.append(name)

    def switch(self, *, on: bool) -> None:
        self._disable_adapters = not on

    def delta(self, name: str) -> Tensor:
        a: Any = self.lora_A[name]
        b: Any = self.lora_B[name]
        delta: Tensor = self.scaling[name] * (b.weight @ a.weight)
        return delta

    def merge(self) -> None:
        for name in self._active:
            # No version of the tensor counts this.
            self.base_layer.weight.data += self.delta(name)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        while self.merged_adapters:
            self.base_layer.weight.data -= self.delta(self.merged_adapters.pop())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base_layer(x)
        if not self._disable_adapters and not self.merged_adapters:
            for name in self._active:
                result = result + self.scaling[name] * self.lora_B[name](self.lora_A[name](x))
        return result


class DoraLinear(LoraLinear):
    """A linear layer with adapters that also learned the lengths of the weight's rows, as DoRA."""

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__(base_layer)
        self.lora_magnitude_vector = nn.ModuleDict()

    def add(self, name: str, scale: float) -> None:
        super().add(name, scale)
        magnitude = nn.Module()
        lengths = self.base_layer.weight.detach().norm(dim=1)
        magnitude.weight = nn.Parameter(1.5 * lengths, requires_grad=False)
        self.lora_magnitude_vector[name] = magnitude

    def factor(self, name: str) -> Tensor:
        magnitude: Any = self.lora_magnitude_vector[name]
        factor: Tensor = magnitude.weight / (self.base_layer.weight + self.delta(name)).norm(dim=1)
        return factor

    def merge(self) -> None:
        for name in self._active:
            weight = self.factor(name)[:, None] * (self.base_layer.weight + self.delta(name))
            self.base_layer.weight.data.copy_(weight)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        raise NotImplementedError("no test takes a DoRA out again")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base_layer(x)
        # The lengths are those of the weight, and the bias is added as it is.
        bias = self.base_layer.bias
        base = result if bias is None else result - bias
        if not self._disable_adapters and not self.merged_adapters:
            for name in self._active:
                low = self.scaling[name] * self.lora_B[name](self.lora_A[name](x))
                factor = self.factor(name)
                result = result + (factor - 1) * base + factor * low
        return result


def load_lora(
    network: nn.Module,
    name: str = "x",
    scale: float = 1.0,
    *,
    kind: type[LoraLinear] = LoraLinear,
) -> list[LoraLinear]:
    """Add an adapter to every query projection of a network, and return its layers."""
    parents = [module for module in network.modules() if hasattr(module, "to_q")]
    layers = []
    for parent in parents:
        found: Any = parent.to_q
        layer = found if isinstance(found, LoraLinear) else kind(found)
        layer.add(name, scale)
        parent.to_q = layer
        layers.append(layer)
    return layers


def unload_lora(network: nn.Module) -> None:
    """Put the plain layers back, as they are."""
    for parent in [module for module in network.modules() if hasattr(module, "to_q")]:
        layer: Any = parent.to_q
        parent.to_q = layer.base_layer
