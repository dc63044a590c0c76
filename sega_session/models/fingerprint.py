"""Digests that tell one model from another: of weights and settings, not of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from attrs import astuple
from torch import Tensor, nn

from ..errors import UnsupportedPipelineError
from .base import DiffusionModel
from .components import canonical, plain_name, plain_tensors, settings, unwrapped
from .glances import Glance, glance_at
from .identity import ModelIdentity

PLAIN = (str, bytes, int, float, torch.dtype, type(None))
"""Entries of a network's ``state_dict`` that are not tensors and have a stable text."""

_KNOWN: WeakKeyDictionary[nn.Module, tuple[Glance, str]] = WeakKeyDictionary()


def identify(model: DiffusionModel) -> ModelIdentity:
    """Return the identity of a model: one digest, and one of each component.

    A network's digest covers name, dtype, shape and bytes of every tensor, sorted by name, its
    settings, the states and scales of its adapters, and FreeU. A tokenizer's digest covers its
    vocabulary and chat template, a scheduler's its class and settings. Files, folders, devices and
    compilation are not covered. A network is read once, and again after its weights have changed;
    gigabytes take seconds.

    Raises:
        UnsupportedPipelineError: weights are not in memory, or cannot be read.
    """
    components = model.components()
    digests = component_digests(components)
    return ModelIdentity(
        digest=_hash(f"{name}={digest}".encode() for name, digest in digests.items()),
        components=digests,
        dtype=str(model.spec.dtype).removeprefix("torch."),
        sampler=type(components["scheduler"]).__name__,
    )


def component_digests(components: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each component, sorted by name; see `identify`."""
    return {name: _digest(component) for name, component in sorted(components.items())}


def _digest(component: Any) -> str:
    component = unwrapped(component)
    if isinstance(component, nn.Module):
        return _network_digest(component)
    if hasattr(component, "get_vocab"):
        parts = [_vocabulary(component), str(component.model_max_length)]
        template = getattr(component, "chat_template", None)
        if template is not None:
            parts.append(canonical(template))
        return _hash(part.encode() for part in parts)
    return _hash([_settings(component)])


def _vocabulary(tokenizer: Any) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return canonical(tokenizer.get_vocab())
    # The JSON has merges and rules too, and the arguments of the tokenizer's last call.
    parts = json.loads(fast.to_str())
    return canonical({k: v for k, v in parts.items() if k not in ("padding", "truncation")})


def _network_digest(network: nn.Module) -> str:
    seen = glance_at(network)
    known = _KNOWN.get(network)
    if known is None or known[0] != seen:
        state = {plain_name(name): value for name, value in network.state_dict().items()}
        tensors = (part for name in sorted(state) for part in _parts(name, state[name]))
        known = _KNOWN[network] = (seen, _hash([_settings(network), *tensors, *_extras(seen)]))
    return known[1]


def _extras(seen: Glance) -> Iterator[bytes]:
    """Yield what a network has only with adapters or FreeU."""
    if seen.adapters:
        states = {
            name: {path: astuple(layer) for path, layer in layers.items()}
            for name, layers in seen.adapters.items()
        }
        yield f"adapters {canonical(states)}".encode()
    if seen.free_u:
        yield f"FreeU {canonical(seen.free_u)}".encode()


def _parts(name: str, value: Any) -> Iterator[bytes]:
    """Yield what a network's entry of this name consists of: tensors in most cases.

    Raises:
        UnsupportedPipelineError: the values are not in memory, or are none that can be read.
    """
    if isinstance(value, Tensor) and value.is_quantized:
        yield from _quantized_parts(name, value)
    elif isinstance(value, Tensor):
        for part, tensor in plain_tensors(name, value):
            _check_in_memory(part, tensor)
            yield f"{part} {tensor.dtype} {tuple(tensor.shape)}".encode()
            yield _bytes(tensor)
    elif isinstance(value, tuple | list):
        for index, one in enumerate(value):
            yield from _parts(f"{name}.{index}", one)
    elif isinstance(value, PLAIN):
        yield f"{name} {value!r}".encode()
    else:
        raise UnsupportedPipelineError(
            f"{name} is a {type(value).__name__}; allowed: networks whose state_dict() holds "
            "tensors and numbers, so that a file can name the weights. Load other weights."
        )


def _quantized_parts(name: str, tensor: Tensor) -> Iterator[bytes]:
    whole = tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)
    scales: tuple[Any, Any] = (
        (tensor.q_scale(), tensor.q_zero_point())
        if whole
        else (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
    )
    return _parts(f"{name} {tensor.dtype}", (tensor.int_repr(), *scales))


def _bytes(tensor: Tensor) -> bytes:
    # Viewed as bytes, because numpy has no bfloat16.
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _check_in_memory(name: str, tensor: Tensor) -> None:
    if tensor.is_meta:
        raise UnsupportedPipelineError(
            f"the weights of {name} are not in memory (sequential offloading); allowed: weights "
            "on a device. Use enable_model_cpu_offload() instead."
        )


def _settings(component: Any) -> bytes:
    return f"{type(component).__name__} {canonical(settings(component))}".encode()


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
