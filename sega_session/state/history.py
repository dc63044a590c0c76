"""The tree of edit states: every edit adds to it, nothing is taken out, undo moves a pointer.

The model is jj's operation log: an entry holds a whole state and its parent, never an inverse.
Going back is therefore no computation, and an edit after an undo grows a sibling.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

import attrs
from attrs import field, frozen

from ..errors import HistoryError, InvalidValueError
from .edits import Concept, EditState


@frozen
class Entry:
    """One point in a history.

    Attributes:
        id: its number in the order of creation; 0 is where the session began.
        parent: the entry that it was edited from; None for the first.
        state: the edit state.
        label: what led to it, in words.
    """

    id: int
    parent: int | None
    state: EditState
    label: str


@frozen(repr=False)
class History:
    """All edit states of a session, where it is, and the branches' names. Every change is a copy.

    It iterates over its entries in the order they were made, and prints as a tree.

    Attributes:
        entries: by id.
        current: the id of the current entry.
        visited: by id, the child that was visited last: where `redo` goes.
        branches: by name, an entry's id.
        branch: the branch that the next edit moves along, if it is at its end.
    """

    entries: tuple[Entry, ...] = (Entry(0, None, EditState(), "unedited"),)
    current: int = 0
    visited: tuple[int | None, ...] = (None,)
    branches: Mapping[str, int] = field(factory=dict)
    branch: str | None = None

    @property
    def entry(self) -> Entry:
        """The current entry."""
        return self.entries[self.current]

    @property
    def state(self) -> EditState:
        """The current edit state."""
        return self.entry.state

    @property
    def can_undo(self) -> bool:
        """Whether there is an entry before the current one."""
        return self.entry.parent is not None

    @property
    def can_redo(self) -> bool:
        """Whether there is an entry after the current one."""
        return self.visited[self.current] is not None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, target: int | str) -> Entry:
        """An entry by its id or by a branch's name. Raises HistoryError."""
        if isinstance(target, str):
            if target in self.branches:
                return self.entries[self.branches[target]]
        elif type(target) is int and 0 <= target < len(self.entries):
            return self.entries[target]
        names = ", ".join(map(repr, self.branches))
        raise HistoryError(
            f"the history has no entry {target!r}; allowed: 0 to {len(self.entries) - 1}"
            f"{f', {names}' if names else ''}. print(session.history) shows them."
        )

    def commit(self, state: EditState, label: str | None = None) -> History:
        """Add an entry after the current one and go there; a state that is equal adds none.

        Args:
            label: what led to it; None: the difference in words.
        """
        if state == self.state:
            return self
        new = Entry(len(self.entries), self.current, state, label or diff(self.state, state))
        branches = self.branches
        at_end = self.branch is not None and branches[self.branch] == self.current
        if self.branch is not None and at_end:
            branches = {**branches, self.branch: new.id}
        return attrs.evolve(
            self,
            entries=(*self.entries, new),
            visited=(*self.visited, None),
            branches=branches,
            branch=self.branch if at_end else None,
        )._at(new.id)

    def undo(self) -> History:
        """Go back to the entry before. Raises HistoryError at the first."""
        if self.entry.parent is None:
            raise HistoryError("there is nothing to undo: this is where the session began.")
        return attrs.evolve(self, current=self.entry.parent)

    def redo(self) -> History:
        """Go on to the entry that was visited last of those after. Raises HistoryError."""
        target = self.visited[self.current]
        if target is None:
            raise HistoryError("there is nothing to redo: no edit was made from here.")
        # Beyond its end a branch is left.
        left = self.branch is not None and self.branches[self.branch] == self.current
        return attrs.evolve(self, branch=None if left else self.branch)._at(target)

    def checkout(self, target: int | str) -> History:
        """Go to an entry, by its id or by a branch's name. Raises HistoryError.

        By name, the next edit moves the branch along; by id, it leaves all branches alone.
        """
        there = self[target]
        return attrs.evolve(self, branch=target if isinstance(target, str) else None)._at(there.id)

    def named(self, name: str) -> History:
        """Begin a branch at the current entry; edits from here move it along.

        Raises:
            InvalidValueError: no text, or the name is taken.
        """
        check_line("name", name)
        if name in self.branches:
            raise InvalidValueError(
                "name",
                name,
                "a name that no other branch has",
                f"checkout({name!r}) goes to that one.",
            )
        return attrs.evolve(self, branches={**self.branches, name: self.current}, branch=name)

    def path(self, target: int) -> tuple[Entry, ...]:
        """The entries from the first one to ``target``."""
        found = [self.entries[target]]
        while (parent := found[-1].parent) is not None:
            found.append(self.entries[parent])
        return tuple(reversed(found))

    def children(self) -> dict[int, list[int]]:
        """The entries that were edited from an entry, by its id; none: not there."""
        found: dict[int, list[int]] = {}
        for entry in self.entries:
            if entry.parent is not None:
                found.setdefault(entry.parent, []).append(entry.id)
        return found

    def names(self) -> dict[int, list[str]]:
        """The branches that end at an entry, by its id; none: not there."""
        found: dict[int, list[str]] = {}
        for name, there in self.branches.items():
            found.setdefault(there, []).append(name)
        return found

    def problems(self) -> list[str]:
        """What does not fit together, in words; empty for every history made by the methods."""
        found = []
        count = len(self.entries)
        for number, entry in enumerate(self.entries):
            parent_fits = entry.parent is None if not number else entry.parent in range(number)
            if entry.id != number or not parent_fits:
                found.append(f"history entry {number} has id {entry.id}, parent {entry.parent}")
            names = [concept.name for concept in entry.state]
            if len({*names}) < len(names):
                found.append(f"history entry {number} has two concepts of one name")
        if self.current not in range(count):
            found.append(f"the history is at entry {self.current} of {count}")
        for number, child in enumerate(self.visited):
            if child is not None and (
                child not in range(count) or self.entries[child].parent != number
            ):
                found.append(f"history entry {number} was left for {child}, which is no child")
        if len(self.visited) != count:
            found.append(f"visited has {len(self.visited)} values for {count} entries")
        for name, there in self.branches.items():
            if there not in range(count):
                found.append(f"branch {name!r} is at entry {there} of {count}")
        if self.branch is not None and self.branch not in self.branches:
            found.append(f"there is no branch {self.branch!r}")
        return found

    def _at(self, target: int) -> History:
        """At an entry, remembered as the one that was visited last on every way to it."""
        visited = list(self.visited)
        for before, after in zip(self.path(target), self.path(target)[1:], strict=False):
            visited[before.id] = after.id
        return attrs.evolve(self, current=target, visited=tuple(visited))

    def __repr__(self) -> str:
        return f"<History: {len(self)} entries, at {self.current}>"

    def __str__(self) -> str:
        return "\n".join(line for line, _ in self._lines())

    def _repr_html_(self) -> str:
        lines = (
            f"<b>{html.escape(line)}</b>" if entry == self.current else html.escape(line)
            for line, entry in self._lines()
        )
        return '<pre style="line-height: 1.4">' + "\n".join(lines) + "</pre>"

    def _lines(self) -> Iterator[tuple[str, int]]:
        """The tree's lines, with the entry that each shows: only forks are indented."""
        children, names = self.children(), self.names()
        width = len(str(len(self.entries) - 1))
        waiting = [(0, "", "")]
        while waiting:
            number, first, rest = waiting.pop()
            mark = "*" if number == self.current else " "
            label = f"{mark} {number:{width}}  {self.entries[number].label}"
            label += f"  ({', '.join(names[number])})" if number in names else ""
            yield first + label, number
            after = children.get(number, [])
            if len(after) == 1:
                waiting.append((after[0], rest, rest))
                continue
            for one in reversed(after):
                last = one == after[-1]
                corner, line = ("└─", "  ") if last else ("├─", "│ ")
                waiting.append((one, rest + corner, rest + line))


def check_line(what: str, value: object) -> None:
    """Raise InvalidValueError unless a value is text in one line, as names and labels are."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidValueError(what, value, "text in one line, not empty")


def diff(before: EditState, after: EditState) -> str:
    """What changed from one state to another, in words: "beard: scale 5 -> 8; glasses inverted"."""
    old = {concept.name: concept for concept in before}
    new = {concept.name: concept for concept in after}
    names = renamed(before, after)
    gone = [name for name in old if name not in new and name not in names]
    come = [name for name in new if name not in old and name not in names.values()]
    words = [f"{name} renamed to {other}" for name, other in names.items()]
    words += [f"{name} removed" for name in gone]
    for name, concept in old.items():
        words += _changes(concept, new[name]) if name in new else []
    words += [f"{name} added" for name in come]
    kept = [concept.name for concept in before if concept.name in new]
    if kept != [concept.name for concept in after if concept.name in old]:
        words.append("order changed")
    for what in ("scale", "beta"):
        one, other = (getattr(state, f"momentum_{what}") for state in (before, after))
        if one != other:
            words.append(f"momentum {what} {one:g} -> {other:g}")
    return "; ".join(words) or "no change"


def renamed(before: EditState, after: EditState) -> dict[str, str]:
    """The concepts that changed their names and nothing else: the new names, by the old ones."""
    old, new = ({concept.name for concept in state} for state in (before, after))
    found: dict[str, str] = {}
    for concept in before:
        for other in after:
            free = other.name not in old and other.name not in found.values()
            same = attrs.evolve(other, name=concept.name) == concept
            if concept.name not in new and free and same:
                found[concept.name] = other.name
                break
    return found


FLAGS = {
    "inverted": ("no longer inverted", "inverted"),
    "enabled": ("disabled", "enabled"),
}


def _changes(one: Concept, other: Concept) -> list[str]:
    """What changed in a concept."""
    words = []
    for attribute in attrs.fields(Concept):
        old, new = getattr(one, attribute.name), getattr(other, attribute.name)
        if old == new:
            continue
        if attribute.name in FLAGS:
            words.append(f"{one.name} {FLAGS[attribute.name][new]}")
        else:
            words.append(f"{one.name}: {attribute.name} {_word(old)} -> {_word(new)}")
    return words


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
