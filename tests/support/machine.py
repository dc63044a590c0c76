"""A session beside a model of it in plain Python, walked at random by hypothesis."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sega_session import EditSession, anchored
from sega_session.errors import HistoryError, UnknownConceptError
from sega_session.scripts import Script, run_script
from sega_session.state import Mode, mask_of, read_mask

NAMES = st.sampled_from(["hat", "beard", "smile"])
SCALES = st.sampled_from([0.0, 3.0, 5.0])
State = dict[str, Any]


def fresh() -> State:
    return {"concepts": [], "momentum_scale": 0.1, "momentum_beta": 0.4, "region": None}


class SessionMachine(RuleBasedStateMachine):
    """Edits, walks through the history, saves, loads and renders in any order.

    The model: ``states`` and ``parents`` by entry, where the session is, which child `redo` goes
    to, and where branches are. `latents` holds what each rendered state looked like.
    """

    opened: Callable[[], EditSession]
    loaded: Callable[[Path], EditSession]
    counts: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.session = type(self).opened()
        self.states: list[State] = [fresh()]
        self.parents: list[int | None] = [None]
        self.current = 0
        self.visited: dict[int, int] = {}
        self.branches: dict[str, int] = {}
        self.branch: str | None = None
        self.latents: dict[Any, torch.Tensor] = {}
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.folder.cleanup()

    @property
    def state(self) -> State:
        return self.states[self.current]

    def go(self, entry: int) -> None:
        """Move the model to an entry, and record the way."""
        self.current = child = entry
        while (parent := self.parents[child]) is not None:
            self.visited[parent] = child
            child = parent

    def commit(self, state: State) -> None:
        if state == self.state:
            return
        at_end = self.branch is not None and self.branches[self.branch] == self.current
        self.states.append(state)
        self.parents.append(self.current)
        self.go(len(self.states) - 1)
        if not at_end:
            self.branch = None
        elif self.branch is not None:
            self.branches[self.branch] = self.current

    def change(self, name: str, **fields: Any) -> State | None:
        """Return the model's state with a concept changed, or None if it is not there."""
        state = copy.deepcopy(self.state)
        for concept in state["concepts"]:
            if concept["name"] == name:
                concept.update(fields)
                return state
        return None

    def edit(self, name: str, expected: State | None, edit: Callable[[], object]) -> None:
        """Edit session and model; where the model has no such concept, the session refuses."""
        if expected is None:
            with pytest.raises(UnknownConceptError):
                edit()
        else:
            edit()
            self.commit(expected)

    @rule(
        name=NAMES,
        scale=SCALES,
        warmup=st.integers(0, 3),
        opposite=st.sampled_from([None, None, "a dog", "no hat"]),
    )
    def add(self, name: str, scale: float, warmup: int, opposite: str | None) -> None:
        if self.change(name) is not None:
            return
        self.session.add(name, scale=scale, warmup=warmup, opposite=opposite)
        self.commit(self.with_added(name, scale, warmup, opposite))

    def with_added(self, name: str, scale: float, warmup: int, opposite: str | None) -> State:
        state = copy.deepcopy(self.state)
        settings: State = {"embedding": None, "threshold": 0.9, "cooldown": None, "weight": 1.0}
        settings |= {"inverted": False, "enabled": True, "opposite": opposite, "mask": None}
        state["concepts"].append(
            {"name": name, "prompt": name, "scale": scale, "warmup": warmup, **settings}
        )
        return state

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        state = self.change(name)
        if state is not None:
            state["concepts"] = [c for c in state["concepts"] if c["name"] != name]
        self.edit(name, state, lambda: self.session.remove(name))

    @rule(name=NAMES, scale=SCALES)
    def reweight(self, name: str, scale: float) -> None:
        state = self.change(name, scale=scale)
        self.edit(name, state, lambda: self.session.reweight(name, scale=scale))

    @rule(name=NAMES)
    def invert(self, name: str) -> None:
        old = next((c for c in self.state["concepts"] if c["name"] == name), {"inverted": False})
        state = self.change(name, inverted=not old["inverted"])
        self.edit(name, state, lambda: self.session.invert(name))

    @rule(name=NAMES, threshold=st.sampled_from([0.5, 0.9]), enabled=st.booleans())
    def update(self, name: str, threshold: float, enabled: bool) -> None:
        fields = {"threshold": threshold, "enabled": enabled}
        self.edit(name, self.change(name, **fields), lambda: self.session.update(name, **fields))

    @rule(name=NAMES, mask=st.sampled_from([None, (0, 0, 0.5, 1), (0, 0, 1, 0.5)]))
    def mask(self, name: str, mask: Any) -> None:
        scene = self.session.scene
        size = scene.height, scene.width, len(scene.seeds)
        value = None if mask is None else attrs.asdict(mask_of(read_mask(mask, *size)))
        expected = self.change(name, mask=value)
        self.edit(name, expected, lambda: self.session.update(name, mask=mask))

    @rule(mask=st.sampled_from([None, (0, 0, 0.5, 1)]))
    def protect(self, mask: Any) -> None:
        scene = self.session.scene
        size = scene.height, scene.width, len(scene.seeds)
        region = None if mask is None else attrs.asdict(mask_of(read_mask(mask, *size)))
        self.session.protect(mask)
        self.commit({**copy.deepcopy(self.state), "region": region})

    @rule(scale=st.sampled_from([0.0, 0.1]))
    def momentum(self, scale: float) -> None:
        self.session.momentum(scale=scale)
        self.commit({**copy.deepcopy(self.state), "momentum_scale": scale})

    @rule(name=NAMES, scales=st.lists(SCALES, min_size=1, max_size=3))
    def gesture(self, name: str, scales: list[float]) -> None:
        if self.change(name) is None:
            return
        with self.session.gesture(f"{name}.scale {len(self.states)}"):
            for scale in scales:
                self.session.reweight(name, scale=scale)
        expected = self.change(name, scale=scales[-1])
        assert expected is not None
        self.commit(expected)

    @rule(name=NAMES, fails=st.booleans())
    def transaction(self, name: str, fails: bool) -> None:
        state = self.change(name, scale=1.0, inverted=True)
        before = self.session.history
        try:
            with self.session.transaction("both"):
                self.session.momentum(beta=0.2)
                self.session.update(name, scale=1.0, inverted=True)
                if fails:
                    raise RuntimeError
        except (RuntimeError, UnknownConceptError):
            assert self.session.history is before
        else:
            assert state is not None
            self.commit({**state, "momentum_beta": 0.2})

    @rule()
    def undo(self) -> None:
        parent = self.parents[self.current]
        if parent is None:
            with pytest.raises(HistoryError, match="nothing to undo"):
                self.session.undo()
        else:
            self.session.undo()
            self.current = parent

    @rule()
    def redo(self) -> None:
        child = self.visited.get(self.current)
        if child is None:
            with pytest.raises(HistoryError, match="nothing to redo"):
                self.session.redo()
        else:
            self.session.redo()
            if self.branch is not None and self.branches[self.branch] == self.current:
                self.branch = None
            self.go(child)

    @rule(data=st.data())
    def checkout(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from([*range(len(self.states)), *self.branches]))
        self.session.checkout(target)
        self.branch = target if isinstance(target, str) else None
        self.go(self.branches[target] if isinstance(target, str) else target)

    @precondition(lambda self: len(self.branches) < 3)
    @rule()
    def name_a_branch(self) -> None:
        name = f"branch {len(self.branches)}"
        self.session.branch(name)
        self.branches[name] = self.current
        self.branch = name

    @precondition(lambda self: self.branches)
    @rule(data=st.data())
    def rename_a_branch(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from([*self.branches]))
        new = f"{old}'"
        self.session.rename_branch(old, new)
        self.branches[new] = self.branches.pop(old)
        self.branch = new if self.branch == old else self.branch

    @rule()
    def render(self) -> None:
        render = self.session.render(output_type="latent")
        assert render.exact
        seen = self.latents.get(self.session.state)
        self.counts["renders"] += 1
        if seen is not None:
            self.counts["revisits"] += 1
            assert render.evaluations == 0
            assert torch.equal(render.latents, seen)
        self.latents[self.session.state] = render.latents

    @precondition(lambda self: self.current)
    @rule()
    def there_and_back(self) -> None:
        for step in (self.render, self.undo, self.render, self.redo, self.render):
            step()

    @rule(mode=st.sampled_from(["preview", anchored(every=5), "replay"]))
    def estimate(self, mode: str | Mode) -> None:
        planned = self.session.plan(mode)
        render = self.session.render(mode, output_type="latent")
        assert render.evaluations == planned
        if render.exact:
            self.latents.setdefault(self.session.state, render.latents)

    @rule(include=st.sampled_from(["all", "all", "base", "state"]))
    def save_and_load(self, include: Any) -> None:
        path = Path(self.folder.name) / "session.safetensors"
        saved = self.session.save(path, include=include)
        assert saved.bytes == path.stat().st_size
        self.session = type(self).loaded(path)
        history = self.session.history
        kept = {"all": {e.state for e in history}, "base": {history[0].state, history.state}}
        self.latents = {
            state: latents
            for state, latents in self.latents.items()
            if state in kept.get(include, ())
        }

    @rule()
    def run_as_a_script(self) -> None:
        script = self.session.script()
        assert Script.parse(script.dump()) == script
        again = type(self).opened()
        for _ in run_script(script, again, Path(self.folder.name)):
            pass
        assert again.history == self.session.history

    @invariant()
    def the_session_is_where_the_model_is(self) -> None:
        history = self.session.history
        assert attrs.asdict(self.session.state) == {
            **self.state,
            "concepts": tuple(self.state["concepts"]),
        }
        assert [entry.parent for entry in history] == self.parents
        assert history.current == self.current
        assert dict(history.branches) == self.branches
        assert history.branch == self.branch
        assert history.problems() == []
