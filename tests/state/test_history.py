"""The tree of edit states, and how a session moves in it."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from IPython.core.formatters import HTMLFormatter

from sega_session import Concept, EditSession, EditState
from sega_session.errors import HistoryError, InvalidValueError
from sega_session.state import Entry, History
from sega_session.testing import FakeModel
from tests.support.machine import SessionMachine
from tests.support.pipelines import tiny_stable_diffusion


def state(*concepts: Concept, **momentum: Any) -> EditState:
    return EditState(concepts=concepts, **momentum)


BEARD, GLASSES = Concept(name="beard", prompt="beard"), Concept(name="glasses", prompt="glasses")


def change(concept: Concept, **fields: Any) -> Concept:
    return Concept(**{"name": concept.name, "prompt": concept.prompt, **fields})


@pytest.fixture
def session() -> EditSession:
    return EditSession(FakeModel(), "a cat", num_inference_steps=6, batch_plan="canonical")


def test_a_history_prints_as_a_tree() -> None:
    history = History().commit(state(BEARD)).commit(state(BEARD, GLASSES))
    history = history.commit(state(BEARD, change(GLASSES, inverted=True))).undo().undo()
    history = history.commit(state(change(BEARD, scale=8))).with_branch("strong").commit(state())
    assert str(history) == (
        "  0  unedited\n"
        "  1  beard added\n"
        "├─  2  glasses added\n"
        "│   3  glasses inverted\n"
        "└─  4  beard: scale 5 -> 8\n"
        "  * 5  beard removed  (strong)"
    )
    page = HTMLFormatter()(history.checkout(0).commit(state(change(BEARD, name="<b>"))))
    assert "<b>└─* 6  &lt;b&gt; added</b>" in page
    assert "* 5" not in page


def test_a_long_history_prints() -> None:
    history = History()
    for scale in range(3000):
        history = history.commit(state(change(BEARD, scale=scale)))
    assert str(history).splitlines()[-1] == "* 3000  beard: scale 2998 -> 2999"
    assert [entry.id for entry in history] == list(range(3001))


def test_inconsistencies_are_found() -> None:
    good = History().commit(state(BEARD)).with_branch("a")
    assert good.problems() == []
    entry = good.entries[1]
    for broken, problem in [
        (History(good.entries, 2, good.visited), "the history is at entry 2 of 2"),
        (History(good.entries, 1, (None,)), "visited has 1 values for 2 entries"),
        (History(good.entries, 1, (1, 0)), "entry 1 was left for 0, which is no child"),
        (History(good.entries, 1, good.visited, {"a": 2}), "branch 'a' is at entry 2 of 2"),
        (History(good.entries, 1, good.visited, {}, "b"), "there is no branch 'b'"),
        (History((entry,), 0), "history entry 0 has id 1, parent 0"),
        (
            History((good.entries[0], Entry(1, 1, entry.state, "x")), 1, (None, None)),
            "history entry 1 has id 1, parent 1",
        ),
    ]:
        assert any(problem in found for found in broken.problems())


def test_a_few_inconsistencies_stand_for_millions() -> None:
    first = History().entries[0]
    broken = History((first,) * 1_000_000, 0, (7,) * 1_000_000)
    assert len(broken.problems()) == 10


def test_an_edit_of_a_long_history_costs_little() -> None:
    entries = [
        Entry(i, i - 1 if i else None, state(change(BEARD, scale=i)), "edit") for i in range(10**4)
    ]
    history = History(entries, 9_999, (*range(1, 10_000), None))
    states = [state(change(BEARD, scale=number + 0.5)) for number in range(100)]
    kept = []  # so that what each history has of its own is counted
    tracemalloc.start()
    for one in states:
        history = history.commit(one, "an edit").undo().redo()
        kept.append(history)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert history.path(history.current)[-1].parent == 10_098
    assert allocated / len(kept) < 40_000  # a copy of the entries alone has 80,000 bytes


def test_numbers_are_aligned() -> None:
    history = History()
    for scale in range(10):
        history = history.commit(state(change(BEARD, scale=scale)), "edit")
    assert str(history).splitlines()[-2:] == ["   9  edit", "* 10  edit"]


def test_an_edit_after_an_undo_adds_a_sibling(session: EditSession) -> None:
    session.add("hat", warmup=1)
    session.add("beard", warmup=1)
    session.undo()
    session.invert("hat")
    assert [entry.parent for entry in session.history] == [None, 0, 1, 1]
    session.checkout(2)
    session.undo()
    session.redo()
    # To the child that was visited last, not to the newest.
    assert session.history.current == 2
    assert session.diff(2, 3) == "beard removed; hat inverted"
    assert (session.history.can_undo, session.history.can_redo) == (True, False)


def test_a_branch_moves_along(session: EditSession) -> None:
    session.add("hat", warmup=1)
    session.branch("old")
    session.add("beard", warmup=1)
    session.checkout(1)
    session.invert("hat")
    assert dict(session.history.branches) == {"old": 2}
    session.checkout("old")
    session.invert("beard")
    assert session.history["old"].label == "beard inverted"
    session.undo()
    session.remove("beard")
    # The edit added a sibling, so the branch stays where it was.
    assert session.history["old"].label == "beard inverted"
    assert session.history.branch is None


def test_a_branch_is_renamed(session: EditSession) -> None:
    session.add("hat", warmup=1)
    session.branch("old")
    session.branch("second")
    session.checkout("old")
    session.rename_branch("old", "new")
    assert list(session.history.branches.items()) == [("new", 1), ("second", 1)]
    assert session.history.branch == "new"
    session.invert("hat")
    assert session.history.branches["new"] == 2
    session.rename_branch("second", "third")
    assert session.history.branch == "new"
    before = session.history
    session.rename_branch("new", "new")
    assert session.history is before


def test_a_refused_name_leaves_the_branches_as_they_were(session: EditSession) -> None:
    with pytest.raises(HistoryError, match="no branch 'main'; allowed: no name"):
        session.rename_branch("main", "trunk")
    session.branch("main")
    session.branch("other")
    before = session.history
    wrong: tuple[object, ...] = ("mian", 0, None, [])
    for missing in wrong:
        with pytest.raises(HistoryError, match=r"has no branch .*; allowed: 'main', 'other'"):
            session.rename_branch(missing, "trunk")  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="Did you mean 'main'"):
        session.rename_branch("mian", "trunk")
    for name in ("other", "", "two\nlines", 3):
        with pytest.raises(InvalidValueError, match="name is"):
            session.rename_branch("main", name)  # type: ignore[arg-type]
    with session.transaction("more"), pytest.raises(HistoryError, match="inside a transaction"):
        session.rename_branch("main", "trunk")
    assert session.history is before


def test_refused_moves_leave_the_session_as_it_was(session: EditSession) -> None:
    session.add("hat", warmup=1)
    session.branch("old")
    before = session.history
    for wrong in (7, -1, "new", True, None):
        with pytest.raises(HistoryError, match=r"has no entry .*; allowed: 0 to 1, 'old'\. "):
            session.checkout(wrong)  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="nothing to redo"):
        session.redo()
    for name in ("old", "", "two\nlines", 3):
        with pytest.raises(InvalidValueError, match="name is"):
            session.branch(name)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="label is ''; allowed: text in one line"):
        session.transaction("").__enter__()
    with pytest.raises(InvalidValueError, match="scale is -1"):
        session.reweight("hat", scale=-1)
    assert session.history is before


def test_an_edit_without_effect_is_no_entry(session: EditSession) -> None:
    session.add("hat", warmup=1)
    session.reweight("hat", scale=5)
    assert len(session.history) == 2


def test_a_gesture_is_one_entry(session: EditSession) -> None:
    session.add("hat", warmup=1)
    with session.gesture("hat.scale"):
        for scale in (6, 7, 8):
            session.reweight("hat", scale=scale)
            assert session.history.entry.label == f"hat: scale 5 -> {scale}"
    assert len(session.history) == 3
    session.undo()
    assert session.state.concept("hat").scale == 5


def test_gestures_of_one_key_are_one_entry_unless_interrupted(
    session: EditSession,
) -> None:
    session.add("hat", warmup=1)

    def tick(key: str, scale: float) -> None:
        with session.gesture(key):
            session.reweight("hat", scale=scale)

    tick("drag 1", 6)
    session.render(output_type="latent")
    tick("drag 1", 7)
    assert len(session.history) == 3
    tick("drag 2", 8)
    assert len(session.history) == 4
    session.undo()
    session.redo()
    tick("drag 2", 9)
    assert [entry.state.concept("hat").scale for entry in list(session.history)[1:]] == [5, 7, 8, 9]
    tick("drag 2", 8)
    # The gesture ends where it began, so its entry is dropped.
    assert len(session.history) == 4


def test_a_transaction_is_one_entry_or_none(session: EditSession) -> None:
    with session.transaction("age her"):
        session.add("grey hair", warmup=1)
        with session.transaction("the face"), session.gesture("scale"):
            session.add("wrinkles", scale=4, warmup=1)
    assert [entry.label for entry in session.history] == ["unedited", "age her"]
    before = session.history

    def fail() -> None:
        with session.transaction("more"):
            session.remove("grey hair")
            session.add("")

    with pytest.raises(InvalidValueError, match="prompt is ''"):
        fail()
    assert session.history is before
    with session.transaction("some"):
        session.remove("wrinkles")
        with pytest.raises(InvalidValueError):
            fail()
    assert [concept.name for concept in session.concepts] == ["grey hair"]
    for walk in (session.undo, lambda: session.checkout(0)):
        with (
            pytest.raises(HistoryError, match="inside a transaction or a gesture; end it first"),
            session.transaction("no"),
        ):
            walk()


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_random_walks() -> None:
    assert walk(FakeModel(), runs=40, steps=30)["revisits"] > 8


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_random_walks_with_a_pipeline(pipeline: Any) -> None:
    walk(pipeline, runs=2, steps=6)


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
def test_random_walks_from_a_photograph() -> None:
    assert walk(FakeModel(), runs=20, steps=30, photograph=True)["revisits"] > 4


def walk(pipeline: Any, *, runs: int, steps: int, photograph: bool = False) -> Counter[str]:
    """Compare a session with a model of it in random walks, and return what was counted."""
    scene: dict[str, Any] = {"num_inference_steps": 5, "batch_plan": "canonical"}

    class Machine(SessionMachine):
        counts: ClassVar[Counter[str]] = Counter()

        @classmethod
        def opened(cls) -> EditSession:
            if photograph:
                return EditSession.from_photo(np.eye(16), pipeline, "a cat", **scene)
            return EditSession(pipeline, "a cat", **scene)

        @classmethod
        def loaded(cls, path: Path) -> EditSession:
            return EditSession.load(path, pipeline)

        def teardown(self) -> None:
            self.counts["walks"] += 1
            super().teardown()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
        ),
    )
    assert Machine.counts["walks"] >= runs
    return Machine.counts


@pytest.mark.parametrize("label", ["", " ", "a\nb", "a\x1b[2J", "a\x9bb", "a\u202eb", "a\u2028b"])
def test_labels_and_branches_are_lines(label: str) -> None:
    with pytest.raises(InvalidValueError, match=r"label is .*; allowed: text in one line"):
        Entry(0, None, EditState(), label)
    history = attrs.evolve(History(), branches={label: 0})
    (problem,) = history.problems()
    assert problem == f"the branch's name {label!r} is not one line of text"
