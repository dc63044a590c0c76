"""A cheap look at a model: it tells whether recorded predictions are still the model's own.

Only a few values of each weight are read, in one transfer a device, so it fits before every render.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, TypeAlias

import torch
from attrs import Factory, frozen
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from .base import DiffusionModel
from .components import (
    AdapterLayer,
    adapters,
    canonical,
    free_u,
    plain_name,
    plain_tensors,
    settings,
    unwrapped,
)

SAMPLES = 16
"""The values of a tensor, or the words of a vocabulary, that are compared."""

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The type that shows the bits of a number, by its size in bytes."""


@frozen
class Weight:
    """A tensor at a glance: it changes with the values, but not when they move to a device.

    Attributes:
        dtype: the type of its values.
        shape: its shape.
        version: its count of changes in place.
        sample: the bytes of some of its values. Changes through ``.data``, such as merging a LoRA,
            do not count in the version, and replace all values.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    version: int
    sample: bytes


@frozen
class Glance:
    """A component at a glance; all but the first two attributes are of networks only.

    Attributes:
        kind: the name of its class.
        settings: its settings, by name.
        weights: its tensors, by the names that they have without adapters and compilation.
        adapters: see `components.adapters`.
        free_u: see `components.free_u`.
    """

    kind: str
    settings: Mapping[str, str]
    weights: Mapping[str, Weight] = Factory(dict)
    adapters: Mapping[str, Mapping[str, AdapterLayer]] = Factory(dict)
    free_u: Mapping[int, tuple[Any, ...]] = Factory(dict)


ModelGlance: TypeAlias = Mapping[str, Glance]
"""The components of a model at a glance, by name."""


def glance(model: DiffusionModel) -> ModelGlance:
    """Return a model's components at a glance. Two glances are equal while the images are.

    Moving weights to another device changes nothing, and neither does replacing a component by
    one with equal weights and settings. A weight that was changed in place stays changed, even
    where its old values were put back.
    """
    return {name: glance_at(component) for name, component in model.components().items()}


def changes(before: ModelGlance, after: ModelGlance) -> tuple[str, ...]:
    """Return what changed between two glances, in words: ``unet: adapter 'x' added``."""
    return tuple(
        f"{name}: {change}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
        for change in _changes(before.get(name), after.get(name))
    )


def glance_at(component: Any) -> Glance:
    """Return a component at a glance."""
    component = unwrapped(component)
    kind = type(component).__name__
    if isinstance(component, PreTrainedTokenizerBase):
        template = canonical(getattr(component, "chat_template", None))
        vocabulary = canonical(_vocabulary(component))
        return Glance(kind, {"vocabulary": vocabulary, "chat_template": template})
    found = {key: canonical(value) for key, value in settings(component).items()}
    if not isinstance(component, nn.Module):
        return Glance(kind, found)
    return Glance(kind, found, dict(_weights(component)), adapters(component), free_u(component))


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    size = len(tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(list(range(0, size, max(1, size // SAMPLES))))
    return [size, tokens, tokenizer.get_added_vocab(), tokenizer.model_max_length]


def _weights(network: nn.Module) -> Iterator[tuple[str, Weight]]:
    named = [
        found
        for name, tensor in chain(network.named_parameters(), network.named_buffers())
        for found in plain_tensors(plain_name(name).replace(".base_layer.", "."), tensor)
    ]
    samples = _samples([tensor for _, tensor in named])
    for (name, tensor), sample in zip(named, samples, strict=True):
        # Tensors made in inference mode have no version. Buffers begin with a new one when they
        # move to a device: only parameters stay the same objects.
        counts = isinstance(tensor, nn.Parameter) and not tensor.is_inference()
        version = tensor._version if counts else 0  # noqa: SLF001
        yield name, Weight(tensor.dtype, tuple(tensor.shape), version, sample)


def _samples(tensors: Sequence[Tensor]) -> list[bytes]:
    """Return the bytes of some values of each tensor; none where they are not in memory."""
    found = [b""] * len(tensors)
    groups: dict[tuple[torch.device, int], list[int]] = {}
    for index, tensor in enumerate(tensors):
        if not tensor.is_meta:
            groups.setdefault((tensor.device, tensor.itemsize), []).append(index)
    for indices in groups.values():
        # One transfer for all, because each waits for the device.
        parts = [_diagonal(tensors[index]) for index in indices]
        whole = torch.cat(parts).cpu().numpy().tobytes()
        ends = accumulate((part.nbytes for part in parts), initial=0)
        for index, (begin, end) in zip(indices, pairwise(ends), strict=True):
            found[index] = whole[begin:end]
    return found


def _diagonal(tensor: Tensor) -> Tensor:
    """Return the bits of values along a tensor's diagonal, the same in every memory format."""
    numbers = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    bits = numbers.detach().as_subclass(Tensor).view(BITS[numbers.itemsize])
    if not bits.numel():
        return bits.flatten()
    count = min(SAMPLES, max(bits.shape, default=1))
    steps = [(size - 1) // max(1, count - 1) for size in bits.shape]
    stride = sum(step * one for step, one in zip(steps, bits.stride(), strict=True))
    return bits.as_strided((count,), (stride,))


def _changes(before: Glance | None, after: Glance | None) -> Iterator[str]:
    """Yield how a component changed, in words."""
    if before is None or after is None:
        yield "added" if before is None else "removed"
        return
    if before.kind != after.kind:
        yield f"{before.kind} -> {after.kind}"
        return
    for key in sorted({*before.settings, *after.settings}):
        old, new = before.settings.get(key, "none"), after.settings.get(key, "none")
        if old != new:
            # A vocabulary is too long to show.
            yield f"{key} {old} -> {new}" if len(old) + len(new) < 80 else f"{key} changed"
    if before.free_u != after.free_u:
        yield _switched("FreeU", bool(before.free_u), bool(after.free_u))
    for name in sorted({*before.adapters, *after.adapters}):
        old_layers, new_layers = before.adapters.get(name, {}), after.adapters.get(name, {})
        if old_layers != new_layers:
            yield f"adapter {name!r} {_adapter_change(old_layers, new_layers)}"
    # The tensors of an adapter come and go with it.
    moved = before.adapters.keys() ^ after.adapters.keys()
    old_weights, new_weights = _without(before.weights, moved), _without(after.weights, moved)
    if old_weights != new_weights:
        in_place = any(
            one.version < new_weights[name].version
            for name, one in old_weights.items()
            if name in new_weights
        )
        yield "weights changed in place" if in_place else "weights changed"


def _adapter_change(before: Mapping[str, AdapterLayer], after: Mapping[str, AdapterLayer]) -> str:
    if not before or not after:
        return "removed" if before else "added"
    states = [(before.get(path), after.get(path)) for path in sorted({*before, *after})]
    for field, yes, no in (
        ("fused", "fused", "unfused"),
        ("active", "switched on", "switched off"),
    ):
        values = {(getattr(old, field, False), getattr(new, field, False)) for old, new in states}
        if (False, True) in values:
            return yes
        if (True, False) in values:
            return no
    return "reweighted"


def _switched(what: str, before: bool, after: bool) -> str:
    return f"{what} changed" if before and after else f"{what} {'enabled' if after else 'disabled'}"


def _without(weights: Mapping[str, Weight], adapters: set[str]) -> dict[str, Weight]:
    return {
        name: weight for name, weight in weights.items() if adapters.isdisjoint(name.split("."))
    }
