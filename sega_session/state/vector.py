"""An immutable sequence for long histories, of which an edit copies a small part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")

BLOCK = 256
"""The number of items that are copied at a time."""


class Vector(Sequence[T], Generic[T]):
    """An immutable sequence; others made from it share its blocks.

    Appending or replacing an item copies the item's block and the list of blocks: for 100,000 items
    some hundred references, where a tuple copies all of them. A slice is a tuple.

    >>> tuple(as_vector("abc").appended("d").replaced({0: "z"}))
    ('z', 'b', 'c', 'd')

    Args:
        blocks: the items; every block but the last has `BLOCK` of them.
        length: the number of items.
    """

    __slots__ = ("_blocks", "_length")

    def __init__(self, blocks: tuple[tuple[T, ...], ...], length: int) -> None:
        self._blocks, self._length = blocks, length

    def appended(self, item: T) -> Vector[T]:
        """Return a sequence with one more item at its end."""
        blocks = self._blocks
        if self._length % BLOCK == 0:
            return Vector((*blocks, (item,)), self._length + 1)
        return Vector((*blocks[:-1], (*blocks[-1], item)), self._length + 1)

    def replaced(self, items: Mapping[int, T]) -> Vector[T]:
        """Return a sequence with other items in some places, each a number from 0."""
        blocks = list(self._blocks)
        for place, item in items.items():
            number, inside = divmod(place, BLOCK)
            block = list(blocks[number])
            block[inside] = item
            blocks[number] = tuple(block)
        return Vector(tuple(blocks), self._length)

    def differing(self, other: Vector[Any]) -> Iterator[int]:
        """Yield the places, in order, whose items are not the same object in another sequence.

        Blocks that both share are not looked into. Places that only one of them has all differ.
        """
        for number, (ours, theirs) in enumerate(zip(self._blocks, other._blocks, strict=False)):
            if ours is not theirs:
                pairs = zip(ours, theirs, strict=False)
                yield from (number * BLOCK + i for i, (a, b) in enumerate(pairs) if a is not b)
        yield from range(min(len(self), len(other)), max(len(self), len(other)))

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[T, ...]: ...
    def __getitem__(self, place: int | slice) -> T | tuple[T, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(self._length)))
        if not -self._length <= place < self._length:
            raise IndexError(place)
        number, inside = divmod(place % self._length, BLOCK)
        return self._blocks[number][inside]

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._blocks)

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and self._blocks == other._blocks

    def __hash__(self) -> int:
        return hash(self._blocks)

    def __repr__(self) -> str:
        return f"Vector({tuple(self)!r})"


def as_vector(items: Iterable[T]) -> Vector[T]:
    """Return a sequence of items; the items themselves, if they are one."""
    if isinstance(items, Vector):
        return items
    whole = tuple(items)
    blocks = (whole[begin : begin + BLOCK] for begin in range(0, len(whole), BLOCK))
    return Vector(tuple(blocks), len(whole))
