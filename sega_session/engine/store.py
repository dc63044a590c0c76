"""Recorded latents and predictions, within a byte budget."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from numbers import Integral

import torch
from attrs import frozen
from torch import Tensor

from ..errors import InvalidValueError
from ..sega.trajectory import LATENTS, Key

GIB = 2**30


@frozen
class CacheInfo:
    """What a session has recorded.

    Attributes:
        bytes: on the session's device.
        max_bytes: the budget there, `EditSession`'s ``cache_bytes``.
        spilled_bytes: in host memory, where they went to make room.
        max_spilled_bytes: the budget there, `EditSession`'s ``spill_bytes``.
        trajectories: renders of which at least the final latents are on the device.
        hits: predictions and final latents that were found instead of evaluated, so far.
    """

    bytes: int
    max_bytes: int
    spilled_bytes: int
    max_spilled_bytes: int
    trajectories: int
    hits: int


def default_cache_bytes(device: torch.device) -> int:
    """1 GiB; on CUDA a quarter of the memory that is free now, between 256 MiB and 8 GiB."""
    if device.type != "cuda":
        return GIB
    free, _ = torch.cuda.mem_get_info(device)
    return min(max(free // 4, GIB // 4), 8 * GIB)


class TrajectoryStore:
    """Tensors by `Key`, on the device they were made on, grouped by the renders that used them.

    A render begins with `begin`; what it looks up and records from then on is its trajectory.
    Where a new tensor does not fit, the least recently begun trajectories give way, each from its
    last call backwards and its final latents at the very end; a tensor that another trajectory
    uses as well stays. Where nothing may give way, the new tensor is not recorded.

    Args:
        max_bytes: the budget; 0 records nothing.
        spill_bytes: a budget in host memory for what gave way, 0 to drop it.

    Raises:
        InvalidValueError: a negative budget.
    """

    def __init__(self, max_bytes: int, spill_bytes: int = 0) -> None:
        for what, value in (("cache_bytes", max_bytes), ("spill_bytes", spill_bytes)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise InvalidValueError(what, value, "an integer, at least 0")
        self.max_bytes = int(max_bytes)
        self.spill_bytes = int(spill_bytes)
        self.bytes = 0
        self.hits = 0
        self._tensors: dict[Key, Tensor] = {}
        self._spilled = _HostMemory(self.spill_bytes)
        # By the key of their final latents, the least recently begun first; their tensors' keys
        # in the order in which they may give way, last first.
        self._trajectories: OrderedDict[str, dict[Key, None]] = OrderedDict()
        self._uses: Counter[Key] = Counter()
        self._kept: frozenset[str] = frozenset()

    def __contains__(self, key: Key) -> bool:
        return key in self._tensors or key in self._spilled

    def begin(self, trajectory: str, kept: Iterable[str] = ()) -> None:
        """Attribute to ``trajectory`` (the key of its final latents) what is used from now on.

        Neither it nor the trajectories ``kept`` give way until the next one begins.
        """
        self._kept = frozenset((trajectory, *kept))
        if trajectory not in self._trajectories:
            self._trajectories[trajectory] = {}
            # First in the order: a state whose final latents are left needs no evaluation at all.
            self._use(Key(trajectory, LATENTS))
        self._trajectories.move_to_end(trajectory)

    def get(self, key: Key) -> Tensor | None:
        """The recorded tensor, on the device it was made on, or None."""
        found = self._tensors.get(key)
        if found is None:
            return self._spilled.get(key)
        self._use(key)
        return found

    def peek(self, key: Key) -> Tensor | None:
        """The recorded tensor or None; looking does not count as use."""
        found = self._tensors.get(key)
        return self._spilled.get(key) if found is None else found

    def put(self, key: Key, tensor: Tensor) -> None:
        """Record a tensor if the budget can hold it."""
        if key in self or not self._make_room(tensor.nbytes):
            return
        # A copy, because a view of a batch would keep the whole batch alive.
        self._tensors[key] = tensor.clone()
        self.bytes += tensor.nbytes
        self._use(key)

    def release(self) -> bool:
        """Let everything that may give way do so; False where nothing could."""
        before = self.bytes
        self._make_room(self.max_bytes)
        return self.bytes < before

    @property
    def info(self) -> CacheInfo:
        """What is recorded."""
        return CacheInfo(
            bytes=self.bytes,
            max_bytes=self.max_bytes,
            spilled_bytes=self._spilled.bytes,
            max_spilled_bytes=self.spill_bytes,
            trajectories=sum(
                Key(name, LATENTS) in self._tensors for name in tuple(self._trajectories)
            ),
            hits=self.hits,
        )

    def _use(self, key: Key) -> None:
        if not self._trajectories:
            return
        current = self._trajectories[next(reversed(self._trajectories))]
        if key not in current:
            current[key] = None
            self._uses[key] += 1

    def _make_room(self, nbytes: int) -> bool:
        """Whether so many bytes fit now; they are not counted yet."""
        if nbytes > self.max_bytes:
            return False
        for name in tuple(self._trajectories):
            if self.bytes + nbytes <= self.max_bytes:
                return True
            if name not in self._kept:
                self._shorten(name, self.max_bytes - nbytes)
        return self.bytes + nbytes <= self.max_bytes

    def _shorten(self, name: str, target: int) -> None:
        """Drop a trajectory's tensors from the end, until ``target`` bytes are left in all."""
        trajectory = self._trajectories[name]
        while trajectory and self.bytes > target:
            key, _ = trajectory.popitem()
            self._uses[key] -= 1
            if not self._uses[key]:
                del self._uses[key]
                if key in self._tensors:
                    dropped = self._tensors.pop(key)
                    self.bytes -= dropped.nbytes
                    self._spilled.put(key, dropped)
        if not trajectory:
            del self._trajectories[name]


class _HostMemory:
    """Tensors in host memory, the least recently used leaving first.

    Copies to and from a GPU go through pinned memory and do not wait for each other: both run on
    the device's current stream, in order.
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
