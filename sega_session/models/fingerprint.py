"""What tells one model from another: digests of weights and settings, not of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import UnsupportedPipelineError
from ..models import Denoiser
from .identity import ModelIdentity

NOT_SETTINGS = ("architectures", "dtype", "torch_dtype", "transformers_version")
"""What a config says that is no setting; the tensors' own types are part of the digest."""

_KNOWN: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()


def model_of(denoiser: Denoiser) -> ModelIdentity:
    """What a pipeline's pictures depend on."""
    components = denoiser.components()
    digests = component_digests(components)
    return ModelIdentity(
        digest=model_digest(digests),
        components=digests,
        dtype=str(denoiser.dtype).removeprefix("torch."),
        sampler=type(components["scheduler"]).__name__,
    )


def component_digests(components: Mapping[str, Any]) -> dict[str, str]:
    """A digest of each component that a picture depends on.

    That of a model covers name, dtype, shape and bytes of every tensor, sorted by name, and its
    settings; that of a tokenizer its vocabulary; that of a scheduler its class and settings. Files
    and folders do not count, and neither does the device. A model's is computed once, and again
    when its weights have changed; it takes seconds for gigabytes.
    """
    return {name: _digest(component) for name, component in sorted(components.items())}


def model_digest(digests: Mapping[str, str]) -> str:
    """One digest of all components."""
    return _hash(f"{name}={digest}".encode() for name, digest in sorted(digests.items()))


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
    # Its JSON has the merges and rules as well, and how it was called last.
    parts = json.loads(fast.to_str())
    return _canonical({k: v for k, v in parts.items() if k not in ("padding", "truncation")})


def _module_digest(module: nn.Module) -> str:
    tensors = sorted(module.state_dict().items())
    # Weights that are changed in place, by a LoRA that is fused for example, count their versions.
    state = [(name, tensor.data_ptr(), tensor._version) for name, tensor in tensors]
    known = _KNOWN.get(module)
    if known is None or known[0] != state:
        parts = (part for name, tensor in tensors for part in _parts(name, tensor))
        known = _KNOWN[module] = (state, _hash([_settings(module), *parts]))
    return known[1]


def _parts(name: str, tensor: Tensor) -> Iterable[bytes]:
    yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
    if tensor.is_meta:
        raise UnsupportedPipelineError(
            f"the weights of {name} are not in memory (sequential offloading); allowed: weights "
            "on a device. Use enable_model_cpu_offload() instead."
        )
    # As bytes, because numpy knows no bfloat16.
    yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _settings(component: Any) -> bytes:
    """A component's class and settings, but not where it was loaded from or by what version."""
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
