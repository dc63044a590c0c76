"""Facts about a component that images depend on, besides the values of its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn

NOT_SETTINGS = ("architectures", "dtype", "torch_dtype", "transformers_version")
"""Config entries that are not settings; the tensors' own types are part of a digest."""

FREE_U = ("s1", "s2", "b1", "b2")
"""The attributes that diffusers' ``enable_freeu`` sets on a U-Net's up blocks."""


@frozen
class AdapterLayer:
    """An adapter, such as a LoRA, in one layer.

    Attributes:
        scale: its factor; None: its kind has none.
        active: it is applied when the layer is called.
        fused: it is merged into the layer's own weights.
    """

    scale: float | None
    active: bool
    fused: bool


def unwrapped(component: Any) -> Any:
    """Return a component itself, without the wrapper of ``torch.compile``."""
    return unwrap_module(component) if isinstance(component, nn.Module) else component


def plain_name(name: str) -> str:
    """Return a module's or tensor's name as it is without ``torch.compile``."""
    if "_orig_mod" not in name:
        return name
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def settings(component: Any) -> dict[str, Any]:
    """Return a component's settings, without its folder and library versions."""
    config: Any = getattr(component, "config", {})
    # A model's config is a class in transformers and a dict in diffusers.
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    plain = config if isinstance(config, Mapping) else getattr(config, "__dict__", {})
    found = {
        key: value
        for key, value in plain.items()
        if not key.startswith("_") and key not in NOT_SETTINGS
    }
    if hasattr(component, "set_shift"):
        # Schedulers of flow matching keep what was set out of their config.
        found["shift"] = component.shift
    return found


def adapters(network: nn.Module) -> dict[str, dict[str, AdapterLayer]]:
    """Return a network's adapters by name, each by the layers that it is in."""
    found: dict[str, dict[str, AdapterLayer]] = {}
    for path, module in network.named_modules():
        # Only the layers of peft have this list. They are not asked for by class, since peft is
        # not needed to render.
        if "merged_adapters" not in vars(module):
            continue
        layer: Any = module
        scales: Mapping[str, float] = getattr(layer, "scaling", {})
        active = () if layer.disable_adapters else layer.active_adapters
        for name in dict.fromkeys([*scales, *layer.active_adapters, *layer.merged_adapters]):
            found.setdefault(name, {})[plain_name(path)] = AdapterLayer(
                scales.get(name), name in active, name in layer.merged_adapters
            )
    return found


def free_u(network: Any) -> dict[int, tuple[Any, ...]]:
    """Return the FreeU factors of a U-Net's up blocks, by their index; empty: FreeU is off."""
    blocks = network.up_blocks if hasattr(network, "enable_freeu") else ()
    factors = {i: tuple(vars(block).get(one) for one in FREE_U) for i, block in enumerate(blocks)}
    return {i: found for i, found in factors.items() if set(found) != {None}}


def plain_tensors(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the ordinary tensors that a tensor consists of, with their names.

    Weights of quantized networks can be wrappers of several tensors, which have no values of
    their own.
    """
    if not hasattr(type(tensor), "__tensor_flatten__"):
        yield name, tensor
        return
    wrapper: Any = tensor
    for part in wrapper.__tensor_flatten__()[0]:
        yield from plain_tensors(f"{name}.{part}", getattr(wrapper, part))


def canonical(value: Any) -> str:
    """Return JSON that is equal for equal settings."""
    return json.dumps(value, sort_keys=True, default=str)
