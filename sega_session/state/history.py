"""The tree of edit states: every edit adds to it, nothing is removed, and undo moves a pointer.

As in jj's operation log, an entry holds a whole state and its parent, never an inverse. Undo
therefore computes nothing, and an edit after an undo adds a sibling.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import attrs
from attrs import field, frozen

from ..errors import HistoryError, InvalidValueError, suggest
from .differences import diff
from .fields import check_line, checked_by, is_line
from .values import EditState
from .vector import Vector, as_vector

MAX_PROBLEMS = 10
"""The most inconsistencies that are described; a damaged file may have millions."""


@frozen
class Entry:
    """One point in a history.

    Attributes:
        id: its number in the order of creation; the session began at 0.
        parent: the id of the entry that was edited; None for the first.
        state: the edit state.
        label: the edit that made it, in words: one line of text.

    Raises:
        InvalidValueError: the label is not one line of text.
    """

    id: int
    parent: int | None
    state: EditState
    label: str = field(validator=checked_by(check_line))


def _as_entries(value: Iterable[Entry]) -> Vector[Entry]:
    return as_vector(value)


def _as_visited(value: Iterable[int | None]) -> Vector[int | None]:
    return as_vector(value)


@frozen(repr=False)
class History:
    """All edit states of a session, the current one, and the branches.

    Every method that changes a history returns a new one. Iterating yields the entries in the
    order of creation; printing shows the tree.

    Attributes:
        entries: the entries, by id.
        current: the id of the current entry.
        visited: by id, the child that was visited last, which `redo` goes to.
        branches: the id of the entry at the end of each branch, by name.
        branch: the name of the branch that the next edit moves along, if it starts at the
            branch's end; None: no branch.
    """

    entries: Vector[Entry] = field(
        default=(Entry(0, None, EditState(), "unedited"),), converter=_as_entries
    )
    current: int = 0
    visited: Vector[int | None] = field(default=(None,), converter=_as_visited)
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
        """True if there is an entry before the current one."""
        return self.entry.parent is not None

    @property
    def can_redo(self) -> bool:
        """True if there is an entry after the current one."""
        return self.visited[self.current] is not None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, target: int | str) -> Entry:
        """Return an entry by its id or by a branch's name. Raises HistoryError."""
        if isinstance(target, str):
            if target in self.branches:
                return self.entries[self.branches[target]]
        elif type(target) is int and 0 <= target < len(self.entries):
            return self.entries[target]
        names = ", ".join(map(repr, self.branches))
        raise HistoryError(
            f"the history has no entry {target!r}; allowed: 0 to {len(self.entries) - 1}"
            f"{f', {names}' if names else ''}. "
            f"{suggest(target, self.branches) or 'print(session.history) shows them.'}"
        )

    def commit(self, state: EditState, label: str | None = None) -> History:
        """Add an entry after the current one and go there; a state equal to it adds none.

        Args:
            state: the state of the new entry.
            label: the edit that made it; None: the difference in words.
        """
        if state == self.state:
            return self
        new = Entry(len(self.entries), self.current, state, label or diff(self.state, state))
        branches = self.branches
        at_end = self.branch is not None and branches[self.branch] == self.current
        if self.branch is not None and at_end:
            branches = {**branches, self.branch: new.id}
        return History(
            entries=self.entries.appended(new),
            current=new.id,
            visited=self.visited.appended(None).replaced({self.current: new.id}),
            branches=branches,
            branch=self.branch if at_end else None,
        )

    def undo(self) -> History:
        """Go back to the entry before. Raises HistoryError at the first."""
        if self.entry.parent is None:
            raise HistoryError("there is nothing to undo: this is where the session began.")
        return attrs.evolve(self, current=self.entry.parent)

    def redo(self) -> History:
        """Go to the child that was visited last. Raises HistoryError if there is none."""
        target = self.visited[self.current]
        if target is None:
            raise HistoryError("there is nothing to redo: no edit was made from here.")
        # Beyond its end a branch is left.
        left = self.branch is not None and self.branches[self.branch] == self.current
        return _moved_to(attrs.evolve(self, branch=None if left else self.branch), target)

    def checkout(self, target: int | str) -> History:
        """Go to an entry, by its id or by a branch's name. Raises HistoryError.

        By name, the next edit moves the branch along; by id, no branch moves.
        """
        entry = self[target]
        branch = target if isinstance(target, str) else None
        return _moved_to(attrs.evolve(self, branch=branch), entry.id)

    def with_branch(self, name: str) -> History:
        """Start a branch at the current entry; edits from here move it along.

        Raises:
            InvalidValueError: the name is not one line of text, or another branch has it.
        """
        self._check_new(name)
        return attrs.evolve(self, branches={**self.branches, name: self.current}, branch=name)

    def with_renamed_branch(self, old: str, new: str) -> History:
        """Give a branch another name; its end and the current entry stay.

        Raises:
            HistoryError: there is no branch ``old``.
            InvalidValueError: the new name is not one line of text, or another branch has it.
        """
        if not isinstance(old, str) or old not in self.branches:
            names = ", ".join(map(repr, self.branches))
            raise HistoryError(
                f"the history has no branch {old!r}; allowed: "
                f"{names or 'no name, since it has no branches'}. "
                f"{suggest(old, self.branches) or 'print(session.history) shows them.'}"
            )
        if new == old:
            return self
        self._check_new(new)
        # The order of the names stays, too.
        branches = {new if name == old else name: end for name, end in self.branches.items()}
        return attrs.evolve(
            self, branches=branches, branch=new if self.branch == old else self.branch
        )

    def path(self, target: int) -> tuple[Entry, ...]:
        """Return the entries from the first one to ``target``."""
        found = [self.entries[target]]
        while (parent := found[-1].parent) is not None:
            found.append(self.entries[parent])
        return tuple(reversed(found))

    def entries_in_common(self, other: History) -> int:
        """Return how many entries another history shares with this one: the first ones."""
        return next(self.entries.differing(other.entries), len(self))

    def other_visits(self, other: History, count: int) -> Iterator[int]:
        """Yield the entries that another history left for another child than this one.

        Args:
            other: another history.
            count: the number of entries in common; this history left no others.
        """
        for number in self.visited.differing(other.visited):
            if number >= count:
                break
            if self.visited[number] != other.visited[number]:
                yield number
        yield from (one for one in range(count, len(other)) if other.visited[one] is not None)

    def states(self) -> list[EditState]:
        """Return the entries' states, each object once: several entries may share it."""
        return list({id(entry.state): entry.state for entry in self.entries}.values())

    def with_states(self, change: Callable[[EditState], EditState]) -> History:
        """Return the tree with a changed state in every entry.

        An entry whose state becomes that of its parent is left out, as `commit` adds none.

        Args:
            change: returns the state to put in the place of one.
        """
        first = self.entries[0]
        made, places = History(entries=[attrs.evolve(first, state=change(first.state))]), {0: 0}
        for entry in self.entries[1:]:
            parent = attrs.evolve(made, current=places[entry.parent or 0])
            made = parent.commit(change(entry.state), entry.label)
            places[entry.id] = made.current
        visited: dict[int, int | None] = {}
        for number, child in enumerate(self.visited):
            if child is not None and places[child] != places[number]:
                visited.setdefault(places[number], places[child])
        return attrs.evolve(
            made,
            current=places[self.current],
            visited=[visited.get(number) for number in range(len(made))],
            branches={name: places[end] for name, end in self.branches.items()},
            branch=self.branch,
        )

    def children(self) -> dict[int, list[int]]:
        """Return the children of each entry, by its id; an entry without children is left out."""
        found: dict[int, list[int]] = {}
        for entry in self.entries:
            if entry.parent is not None:
                found.setdefault(entry.parent, []).append(entry.id)
        return found

    def names(self) -> dict[int, list[str]]:
        """Return the branches that end at each entry, by its id; others are left out."""
        found: dict[int, list[str]] = {}
        for name, end in self.branches.items():
            found.setdefault(end, []).append(name)
        return found

    def problems(self) -> list[str]:
        """Describe the first inconsistencies, for a history that was read from a file.

        The list is empty for every history made by the methods.
        """
        return list(islice(self._problems(), MAX_PROBLEMS))

    def _problems(self) -> Iterator[str]:
        count = len(self.entries)
        if len(self.visited) != count:
            yield f"visited has {len(self.visited)} values for {count} entries"
            return
        for number, (entry, child) in enumerate(zip(self.entries, self.visited, strict=True)):
            parent_fits = entry.parent is None if not number else entry.parent in range(number)
            if entry.id != number or not parent_fits:
                yield f"history entry {number} has id {entry.id}, parent {entry.parent}"
            if child is not None and (
                child not in range(count) or self.entries[child].parent != number
            ):
                yield f"history entry {number} was left for {child}, which is no child"
        for state in self.states():
            names = [concept.name for concept in state]
            if len({*names}) < len(names):
                yield "a state of the history has two concepts of one name"
        if self.current not in range(count):
            yield f"the history is at entry {self.current} of {count}"
        for name, end in self.branches.items():
            if not is_line(name):
                yield f"the branch's name {name!r} is not one line of text"
            if end not in range(count):
                yield f"branch {name!r} is at entry {end} of {count}"
        if self.branch is not None and self.branch not in self.branches:
            yield f"there is no branch {self.branch!r}"

    def _check_new(self, name: str) -> None:
        """Raise InvalidValueError unless a branch can be given this name."""
        check_line("name", name)
        if name in self.branches:
            raise InvalidValueError(
                "name",
                name,
                "a name that no other branch has",
                f"checkout({name!r}) goes to that one.",
            )

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
        """Yield the tree's lines, each with its entry's id; only forks are indented."""
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


def _moved_to(history: History, target: int) -> History:
    """Make an entry current, and remember it as visited last on the path to it.

    The path to the current entry is remembered already, so only the rest of the new one is walked.
    """
    before, after, visits = history.current, target, {}
    while before != after:
        # A parent has a smaller number than its children, so both paths meet.
        parent = history.entries[max(before, after)].parent or 0
        if before > after:
            before = parent
        else:
            visits[parent] = after
            after = parent
    visits = {parent: child for parent, child in visits.items() if history.visited[parent] != child}
    return attrs.evolve(history, current=target, visited=history.visited.replaced(visits))
