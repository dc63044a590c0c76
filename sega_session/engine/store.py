"""Recorded latents and predictions, within a byte budget."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from attrs import frozen
from torch import Tensor

from ..sega import LATENTS, Key
from ..state.fields import check_integer

GIB = 2**30


@frozen
class CacheInfo:
    """The size of a session's recorded tensors, and how often they were reused.

    Attributes:
        bytes: bytes recorded on the session's device.
        max_bytes: the budget there, `EditSession`'s ``cache_bytes``.
        spilled_bytes: bytes in host memory, of tensors evicted from the device.
        max_spilled_bytes: the budget there, `EditSession`'s ``spill_bytes``.
        trajectories: renders whose final latents, at least, are on the device.
        hits: predictions and final latents reused instead of evaluated, so far.
    """

    bytes: int
    max_bytes: int
    spilled_bytes: int
    max_spilled_bytes: int
    trajectories: int
    hits: int


def default_cache_bytes(device: torch.device) -> int:
    """Return 1 GiB; on CUDA a quarter of the free memory, between 256 MiB and 8 GiB."""
    if device.type != "cuda":
        return GIB
    free, _ = torch.cuda.mem_get_info(device)
    return min(max(free // 4, GIB // 4), 8 * GIB)


class TrajectoryStore:
    """Tensors by `Key`, on the device they were made on, grouped by the renders that used them.

    A render finds and records tensors through a `Recorder`. Where a new tensor does not fit, the
    least recently begun renders are evicted, each from its last call backwards and its final
    latents last; a tensor that another render uses as well stays. Where nothing can be evicted,
    the new tensor is not recorded.

    Args:
        max_bytes: the budget; 0 records nothing.
        spill_bytes: the budget in host memory for evicted tensors; 0 drops them.

    Raises:
        InvalidValueError: a negative budget.
    """

    def __init__(self, max_bytes: int, spill_bytes: int = 0) -> None:
        self._max_bytes = check_integer("cache_bytes", max_bytes, at_least=0)
        self._spilled = _HostMemory(check_integer("spill_bytes", spill_bytes, at_least=0))
        self._bytes = 0
        self._hits = 0
        self._tensors: dict[Key, Tensor] = {}
        # By the name of their final latents, the least recently begun first; their tensors' keys
        # in reverse order of eviction.
        self._trajectories: OrderedDict[str, dict[Key, None]] = OrderedDict()
        self._uses: Counter[Key] = Counter()
        self._kept: Counter[str] = Counter()

    def __contains__(self, key: Key) -> bool:
        return key in self._tensors or key in self._spilled

    @contextmanager
    def record(self, trajectory: str, kept: Iterable[str] = ()) -> Iterator[Recorder]:
        """Open a render's recorder.

        Args:
            trajectory: the name of the render's final latents.
            kept: further trajectories that are not evicted while the recorder is open.
        """
        if trajectory not in self._trajectories:
            self._trajectories[trajectory] = {}
            # First in order: a state whose final latents remain needs no evaluation at all.
            self._use(trajectory, Key(trajectory, LATENTS))
        self._trajectories.move_to_end(trajectory)
        names = {trajectory, *kept}
        self._kept.update(names)
        try:
            yield Recorder(self, trajectory)
        finally:
            self._kept.subtract(names)

    def peek(self, key: Key) -> Tensor | None:
        """Return the recorded tensor or None, without counting it as used."""
        found = self._tensors.get(key)
        return self._spilled.get(key) if found is None else found

    @property
    def info(self) -> CacheInfo:
        """The size of the recorded tensors, and how often they were reused."""
        return CacheInfo(
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            spilled_bytes=self._spilled.bytes,
            max_spilled_bytes=self._spilled.max_bytes,
            trajectories=sum(
                Key(name, LATENTS) in self._tensors for name in tuple(self._trajectories)
            ),
            hits=self._hits,
        )

    def get(self, trajectory: str, key: Key) -> Tensor | None:
        """Return a recorded tensor or None, and count the trajectory among its users."""
        found = self._tensors.get(key)
        if found is None:
            return self._spilled.get(key)
        self._use(trajectory, key)
        return found

    def put(self, trajectory: str, key: Key, tensor: Tensor) -> None:
        """Record a copy of a tensor for a trajectory if the budget can hold it."""
        if key in self or not self._make_room(tensor.nbytes):
            return
        # A copy, because a view of a batch would keep the whole batch alive.
        self._tensors[key] = tensor.clone()
        self._bytes += tensor.nbytes
        self._use(trajectory, key)

    def count_hits(self, count: int) -> None:
        """Count recorded tensors that were used instead of an evaluation."""
        self._hits += count

    def evict_all(self) -> bool:
        """Evict everything that no open recorder keeps. Return whether anything was evicted."""
        before = self._bytes
        self._make_room(self._max_bytes)
        return self._bytes < before

    def _use(self, trajectory: str, key: Key) -> None:
        used = self._trajectories[trajectory]
        if key not in used:
            used[key] = None
            self._uses[key] += 1

    def _make_room(self, nbytes: int) -> bool:
        """Evict until ``nbytes`` more fit. Return whether they fit; they are not counted yet."""
        if nbytes > self._max_bytes:
            return False
        for name in tuple(self._trajectories):
            if self._bytes + nbytes <= self._max_bytes:
                return True
            if not self._kept[name]:
                self._shorten(name, self._max_bytes - nbytes)
        return self._bytes + nbytes <= self._max_bytes

    def _shorten(self, name: str, target: int) -> None:
        """Evict a trajectory's tensors from the end, until ``target`` bytes are left in all."""
        trajectory = self._trajectories[name]
        while trajectory and self._bytes > target:
            key, _ = trajectory.popitem()
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key]
                if key in self._tensors:
                    evicted = self._tensors.pop(key)
                    self._bytes -= evicted.nbytes
                    self._spilled.put(key, evicted)
        if not trajectory:
            del self._trajectories[name]


class Recorder:
    """The access of one render to a store; see `TrajectoryStore.record`."""

    def __init__(self, store: TrajectoryStore, trajectory: str) -> None:
        self._store = store
        self._trajectory = trajectory

    def __contains__(self, key: Key) -> bool:
        return key in self._store

    def get(self, key: Key) -> Tensor | None:
        """Return the recorded tensor, on the device it was made on, or None."""
        return self._store.get(self._trajectory, key)

    def find(self, keys: Iterable[Key]) -> dict[Key, Tensor]:
        """Return those of the keys that are recorded, and count them as hits."""
        pairs = ((key, self.get(key)) for key in keys)
        found = {key: tensor for key, tensor in pairs if tensor is not None}
        self._store.count_hits(len(found))
        return found

    def put(self, key: Key, tensor: Tensor) -> None:
        """Record a copy of a tensor if the budget can hold it."""
        self._store.put(self._trajectory, key, tensor)

    def evict_others(self) -> bool:
        """Evict everything that may be evicted. Return whether anything was."""
        return self._store.evict_all()


class _HostMemory:
    """Tensors in host memory, the least recently used evicted first.

    Copies to and from a GPU use pinned memory and are asynchronous; both run in order, on the
    device's current stream.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._tensors: OrderedDict[Key, tuple[Tensor, torch.device]] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._tensors

    def get(self, key: Key) -> Tensor | None:
        found = self._tensors.pop(key, None)
        if found is None:
            return None
        self._tensors[key] = found  # The most recently used stands last.
        tensor, device = found
        return tensor.to(device, non_blocking=True)

    def put(self, key: Key, tensor: Tensor) -> None:
        if tensor.nbytes > self.max_bytes or key in self._tensors:
            return
        host = tensor
        if tensor.device.type != "cpu":
            pinned = tensor.device.type == "cuda"
            host = torch.empty_like(tensor, device="cpu", pin_memory=pinned)
            host.copy_(tensor, non_blocking=pinned)
        self._tensors[key] = (host, tensor.device)
        self.bytes += host.nbytes
        while self.bytes > self.max_bytes:
            _, (dropped, _) = self._tensors.popitem(last=False)
            self.bytes -= dropped.nbytes
