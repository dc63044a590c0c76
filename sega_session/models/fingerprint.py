"""Digests that tell one model from another: of weights and settings, not of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import UnsupportedPipelineError
from .base import DiffusionModel
from .identity import ModelIdentity

NOT_SETTINGS = ("architectures", "dtype", "torch_dtype", "transformers_version")
"""Config entries that are not settings; the tensors' own types are part of the digest."""

SAMPLES = 16
"""The number of values of a tensor that are compared to notice replaced weights."""

_KNOWN: WeakKeyDictionary[nn.Module, tuple[Hashable, str]] = WeakKeyDictionary()


def identify(model: DiffusionModel) -> ModelIdentity:
    """Return the identity of a model: one digest, and one of each component.

    A network's digest covers name, dtype, shape and bytes of every tensor, sorted by name, and its
    settings. A tokenizer's digest covers its vocabulary, a scheduler's its class and settings.
    Files, folders and devices are not covered. A network is read once, and again after its weights
    have changed; gigabytes take seconds.

    Raises:
        UnsupportedPipelineError: weights are not in memory.
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
    if isinstance(component, nn.Module):
        return _module_digest(component)
    if hasattr(component, "get_vocab"):
        return _hash([_vocabulary(component).encode(), str(component.model_max_length).encode()])
    return _hash([_settings(component)])


def _vocabulary(tokenizer: Any) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return _canonical(tokenizer.get_vocab())
    # The JSON has merges and rules too, and the arguments of the tokenizer's last call.
    parts = json.loads(fast.to_str())
    return _canonical({k: v for k, v in parts.items() if k not in ("padding", "truncation")})


def _module_digest(module: nn.Module) -> str:
    tensors = sorted(module.state_dict().items())
    state = tuple((name, *_glance(name, tensor)) for name, tensor in tensors)
    known = _KNOWN.get(module)
    if known is None or known[0] != state:
        parts = (part for name, tensor in tensors for part in _parts(name, tensor))
        known = _KNOWN[module] = (state, _hash([_settings(module), *parts]))
    return known[1]


def _glance(name: str, tensor: Tensor) -> tuple[Hashable, ...]:
    """Return a value that changes with a tensor's values, but not when it moves to a device.

    Changes in place increase the tensor's version, except those through ``.data``; these replace
    all values, so a few values are compared too. Addresses would change with every offloading.
    """
    _check_in_memory(name, tensor)
    flat = tensor.detach().flatten()
    samples = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
    version = tensor._version  # noqa: SLF001 - the only counter of changes in place
    return tensor.dtype, tuple(tensor.shape), version, _bytes(samples)


def _parts(name: str, tensor: Tensor) -> Iterable[bytes]:
    yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
    yield _bytes(tensor)


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
    """Return a component's class and settings, without its folder and library versions."""
    config: Any = getattr(component, "config", {})
    # A model's config is a class in transformers and a dict in diffusers.
    plain = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    settings = {
        key: value
        for key, value in plain.items()
        if not key.startswith("_") and key not in NOT_SETTINGS
    }
    return f"{type(component).__name__} {_canonical(settings)}".encode()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
