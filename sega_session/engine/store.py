"""Recorded latents and predictions, within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from weakref import ref

import torch
from attrs import frozen
from torch import Tensor

from ..sega import LATENTS, Key
from ..state.fields import check_integer

GIB = 2**30


@frozen(repr=False)
class CacheInfo:
    """The size of a session's recorded tensors, and how often they were reused.

    Attributes:
        bytes: bytes recorded on the session's device.
        max_bytes: the budget there, `EditSession`'s ``cache_bytes``.
        spilled_bytes: bytes in host memory, of tensors that the device's budget cannot hold.
        max_spilled_bytes: the budget there, `EditSession`'s ``spill_bytes``.
        trajectories: renders whose final latents, at least, are recorded.
        hits: predictions and final latents reused instead of evaluated, so far.
    """

    bytes: int
    max_bytes: int
    spilled_bytes: int
    max_spilled_bytes: int
    trajectories: int
    hits: int

    def __repr__(self) -> str:
        spilled = (
            f", {_megabytes(self.spilled_bytes, self.max_spilled_bytes)} in host memory"
            if self.max_spilled_bytes
            else ""
        )
        used = _megabytes(self.bytes, self.max_bytes)
        return f"<CacheInfo {used}{spilled}, renders: {self.trajectories}, hits: {self.hits}>"


def default_cache_bytes(device: torch.device) -> int:
    """Return 1 GiB; on CUDA a quarter of the free memory, between 256 MiB and 8 GiB."""
    if device.type != "cuda":
        return GIB
    free, _ = torch.cuda.mem_get_info(device)
    return min(max(free // 4, GIB // 4), 8 * GIB)


class TrajectoryStore:
    """Tensors by `Key`, on the device they were made on, and in host memory where that is full.

    A render finds and records tensors through a `Recorder`. Where a new tensor does not fit, those
    of the least recently begun renders make room, each render's from its last call backwards and
    its final latents last; a tensor that a later render used too counts as that render's. Tensors
    that leave the device go to host memory. Where none may leave, because open recorders keep them
    all, the new tensor goes there instead. Host memory drops tensors in the same order. A tensor
    that fits neither is not recorded.

    An interrupt (^C) may end any method at any line. The two memories are then still consistent,
    and a recorder that was not closed keeps nothing once nobody refers to it.

    Args:
        max_bytes: the budget on the device.
        spill_bytes: the budget in host memory; 0 drops what the device cannot hold.

    Raises:
        InvalidValueError: a negative budget.
    """

    def __init__(self, max_bytes: int, spill_bytes: int = 0) -> None:
        self._device = _Memory(check_integer("cache_bytes", max_bytes, at_least=0))
        self._host = _Memory(check_integer("spill_bytes", spill_bytes, at_least=0))
        self._hits = 0
        # The final latents that are recorded, of renders that ended.
        self._finals: set[Key] = set()
        self._open: tuple[ref[Recorder], ...] = ()

    def __contains__(self, key: Key) -> bool:
        return key in self._device or key in self._host

    @contextmanager
    def record(self, trajectory: str, kept: Iterable[Key] = ()) -> Iterator[Recorder]:
        """Open a render's recorder. What it finds and records is kept while it is open.

        Args:
            trajectory: the name of the render's final latents.
            kept: further tensors that are kept while the recorder is open, in reverse order of
                their later eviction.
        """
        final = Key(trajectory, LATENTS)
        recorder = Recorder(self, final, kept)
        self.touch(recorder.keys())
        self._open = (*(one for one in self._open if one() is not None), ref(recorder))
        # One that was not closed, after an interrupt, may keep nothing any more.
        self.look_again()
        try:
            yield recorder
        finally:
            recorder.close()
            if final in self:
                self._finals.add(final)

    def peek(self, key: Key) -> Tensor | None:
        """Return the recorded tensor or None, without counting it as used."""
        found = self._device.get(key)
        return self._host.get(key) if found is None else found

    @property
    def info(self) -> CacheInfo:
        """The size of the recorded tensors, and how often they were reused."""
        return CacheInfo(
            bytes=self._device.bytes,
            max_bytes=self._device.max_bytes,
            spilled_bytes=self._host.bytes,
            max_spilled_bytes=self._host.max_bytes,
            # A copy, since another thread may render.
            trajectories=sum(key in self for key in tuple(self._finals)),
            hits=self._hits,
        )

    def put(self, key: Key, tensor: Tensor) -> None:
        """Record a copy of a tensor if a budget can hold it."""
        if key in self:
            return
        # Copies, because a view of a batch would keep the whole batch alive.
        if self._make_room(self._device, tensor.nbytes):
            self._device.add(key, tensor.clone(), tensor.device)
        else:
            self._put_on_host(key, tensor)

    def emptied(self) -> TrajectoryStore:
        """Return a new store of the same budgets, without tensors."""
        return TrajectoryStore(self._device.max_bytes, self._host.max_bytes)

    def copy(self) -> TrajectoryStore:
        """Return an independent store of the same budgets with the same tensors.

        Recorded tensors never change, so both refer to them, and each counts them.
        """
        other = self.emptied()
        other._device, other._host = self._device.copy(), self._host.copy()  # noqa: SLF001
        other._finals = set(self._finals)  # noqa: SLF001
        return other

    def count_hits(self, count: int) -> None:
        """Count recorded tensors that were used instead of an evaluation."""
        self._hits += count

    def touch(self, keys: Sequence[Key]) -> None:
        """Make tensors the last that are evicted, the first of them last of all."""
        for key in reversed(keys):
            self._device.touch(key)
            self._host.touch(key)

    def look_again(self) -> None:
        """Consider for eviction what recorders kept that are closed now."""
        self._device.look_again()
        self._host.look_again()

    def evict_all(self) -> bool:
        """Free the device of all tensors that nobody keeps, or that fit into host memory.

        Returns:
            Whether the device holds fewer bytes now.
        """
        before = self._device.bytes
        self._make_room(self._device, self._device.max_bytes)
        for key in tuple(self._device):
            if key in self._host or self._make_room(self._host, self._device.size(key)):
                self._leave_device(key)
        return self._device.bytes < before

    def _make_room(self, memory: _Memory, nbytes: int) -> bool:
        """Evict until ``nbytes`` more fit. Return whether they fit; they are not counted yet."""
        if nbytes > memory.max_bytes:
            return False
        while memory.bytes + nbytes > memory.max_bytes:
            key = memory.first_without(self._is_kept)
            if key is None:
                return False
            if memory is self._device:
                self._leave_device(key)
            else:
                memory.remove(key)
                self._forget(key)
        return True

    def _leave_device(self, key: Key) -> None:
        """Move a tensor to host memory, or drop it if there is no room."""
        # Removed last: an interrupt can leave it in both, and then it is counted in both.
        tensor = self._device.get(key)
        if tensor is not None:
            self._put_on_host(key, tensor)
        self._device.remove(key)
        self._forget(key)

    def _forget(self, key: Key) -> None:
        """Count a render no longer if its final latents are gone from both memories."""
        if key not in self:
            self._finals.discard(key)

    def _put_on_host(self, key: Key, tensor: Tensor) -> None:
        if key not in self._host and self._make_room(self._host, tensor.nbytes):
            self._host.add(key, _copy_to_host(tensor), tensor.device)

    def _is_kept(self, key: Key) -> bool:
        recorders = (one() for one in self._open)
        return any(one is not None and one.keeps(key) for one in recorders)


class Recorder:
    """The access of one render to a store; see `TrajectoryStore.record`."""

    def __init__(self, store: TrajectoryStore, final: Key, kept: Iterable[Key]) -> None:
        self._store = store
        # Final latents first: a state whose final latents remain needs no evaluation at all.
        self._used: dict[Key, None] = {final: None}
        self._kept = dict.fromkeys(kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._store

    def keys(self) -> tuple[Key, ...]:
        """Return what is kept or was used, in reverse order of eviction."""
        return tuple({**self._kept, **self._used})

    def keeps(self, key: Key) -> bool:
        """Return whether a tensor may not be evicted while this recorder is open."""
        return key in self._used or key in self._kept

    def get(self, key: Key) -> Tensor | None:
        """Return the recorded tensor, on the device it was made on, or None."""
        found = self._store.peek(key)
        if found is not None:
            self._used[key] = None
        return found

    def find(self, keys: Iterable[Key]) -> dict[Key, Tensor]:
        """Return those of the keys that are recorded, and count them as hits."""
        pairs = ((key, self.get(key)) for key in keys)
        found = {key: tensor for key, tensor in pairs if tensor is not None}
        self._store.count_hits(len(found))
        return found

    def put(self, key: Key, tensor: Tensor) -> None:
        """Record a copy of a tensor if a budget can hold it."""
        self._used[key] = None
        self._store.put(key, tensor)

    def evict_others(self) -> bool:
        """Free the device of what may leave it. Return whether anything left."""
        return self._store.evict_all()

    def close(self) -> None:
        """Keep nothing from now on; what was used is evicted last."""
        used, self._used, self._kept = tuple(self._used), {}, {}
        self._store.touch(used)
        self._store.look_again()


class _Memory:
    """Tensors within a budget, in the order in which they are evicted.

    An interrupt may end any method at any line. So the number of bytes is unknown while a tensor
    comes or goes, and is counted again if that was cut short; and no tensor is without a place in
    the order.

    Args:
        max_bytes: the budget; the caller keeps it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._bytes: int | None = 0
        # Each with the device that it was made on.
        self._tensors: dict[Key, tuple[Tensor, torch.device]] = {}
        self._order: OrderedDict[Key, None] = OrderedDict()
        # What `first_without` passed over, so that no later call meets it again. It comes before
        # the rest of the order; a tensor in both, after an interrupt, has its place here.
        self._passed: OrderedDict[Key, None] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._tensors

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys in the order in which they are evicted."""
        order = dict.fromkeys((*self._passed, *self._order))
        return (key for key in order if key in self._tensors)

    @property
    def bytes(self) -> int:
        """The bytes of all tensors."""
        known = self._bytes
        if known is None:
            return sum(tensor.nbytes for tensor, _ in tuple(self._tensors.values()))
        return known

    def copy(self) -> _Memory:
        """Return an independent memory of the same budget with the same tensors."""
        other = _Memory(self.max_bytes)
        for key in self:
            tensor, device = self._tensors[key]
            other.add(key, tensor, device)
        return other

    def size(self, key: Key) -> int:
        """Return the bytes of a tensor."""
        return self._tensors[key][0].nbytes

    def get(self, key: Key) -> Tensor | None:
        """Return a tensor, on the device that it was made on, or None."""
        found = self._tensors.get(key)
        if found is None:
            return None
        tensor, device = found
        return tensor.to(device, non_blocking=True)

    def add(self, key: Key, tensor: Tensor, device: torch.device) -> None:
        """Add a tensor that was made on ``device``; it is evicted last."""
        after = self._begin() + tensor.nbytes
        self._order[key] = None
        self._tensors[key] = tensor, device
        self._bytes = after

    def remove(self, key: Key) -> None:
        """Remove a tensor."""
        after = self._begin() - self.size(key)
        del self._tensors[key]
        self._order.pop(key, None)
        self._passed.pop(key, None)
        self._bytes = after

    def _begin(self) -> int:
        """Return the bytes before a change. They are unknown until it is complete."""
        before = self.bytes
        if self._bytes is None:
            for order in (self._order, self._passed):
                for key in [key for key in order if key not in self._tensors]:
                    del order[key]
        self._bytes = None
        return before

    def touch(self, key: Key) -> None:
        """Make a tensor the last that is evicted, if it is here."""
        if key in self._tensors:
            self._order[key] = None
            self._order.move_to_end(key)
            self._passed.pop(key, None)

    def first_without(self, is_kept: Callable[[Key], bool]) -> Key | None:
        """Return the first tensor in the order that is not kept, or None.

        Kept ones are passed over, in later calls too, until they are touched or `look_again`.
        """
        while self._order:
            key = next(iter(self._order))
            if key in self._tensors and not is_kept(key):
                return key
            self._passed[key] = None
            del self._order[key]
        return None

    def look_again(self) -> None:
        """Pass over nothing: what was kept may not be any more."""
        for key in reversed(self._passed):
            self._order[key] = None
            self._order.move_to_end(key, last=False)
        self._passed.clear()


def _copy_to_host(tensor: Tensor) -> Tensor:
    """Copy a tensor to host memory.

    Copies from a GPU, and back to it, use pinned memory and are asynchronous; both run in order, on
    the device's current stream.
    """
    if tensor.device.type != "cuda":
        return tensor.to("cpu", copy=True)
    host = torch.empty_like(tensor, device="cpu", pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _megabytes(used: int, budget: int) -> str:
    return f"{used / 1e6:.1f} of {budget / 1e6:.1f} MB"
