"""The VAE to work with: SDXL's own overflows in float16, so a float32 copy takes its place."""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakKeyDictionary

import torch
from accelerate.hooks import remove_hook_from_module
from diffusers.utils.torch_utils import get_module_execution_device
from torch import nn

from .components import unwrapped
from .glances import Glance, glance_at

HOOKS = ("_hf_hook", "_diffusers_hook")
"""The attributes of modules whose weights accelerate or diffusers moves at every call."""

REPLACED = ("_diffusers_hook", "forward", "encode", "decode")
"""Attributes of an instance that stand for the class's own; in a copy they lead to the original."""

_COPIES: WeakKeyDictionary[nn.Module, tuple[Glance, Any]] = WeakKeyDictionary()


def without_overflow(vae: Any) -> Any:
    """Return a VAE that encodes and decodes without overflow, and leave the given one as it is.

    Returns:
        The VAE itself, or a float32 copy if it is in float16 and its ``force_upcast`` is set. A
        copy is made once, again after the weights have changed, and stays on the device that the
        VAE runs on.
    """
    if vae.dtype != torch.float16 or not vae.config.force_upcast:
        return vae
    network: Any = unwrapped(vae)
    seen = glance_at(network)
    known = _COPIES.get(network)
    if known is None or known[0] != seen:
        known = _COPIES[network] = (seen, _without_hooks(network).float())
    upcast = known[1].to(get_module_execution_device(network))
    # Slicing and tiling can be switched at any time.
    vars(upcast).update(
        {
            name: value
            for name, value in vars(network).items()
            if isinstance(value, bool | int | float) and not name.startswith("_")
        }
    )
    return upcast


def _without_hooks(network: nn.Module) -> nn.Module:
    """Return a copy of a network that is not offloaded, its weights in memory."""
    hooks = [vars(one)[name] for one in network.modules() for name in HOOKS if name in vars(one)]
    # A hook leads to the networks that are offloaded before this one, which must not be copied.
    copied = copy.deepcopy(network, {id(hook): hook for hook in hooks})
    # This reads the weights from where they are offloaded to.
    remove_hook_from_module(copied, recurse=True)
    for module in copied.modules():
        for name in REPLACED:
            vars(module).pop(name, None)
    return copied
