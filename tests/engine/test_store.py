"""Test the trajectory store: its budget, the order of evictions, lack of memory."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from sega_session import EditSession
from sega_session.engine import Recorder, TrajectoryStore, default_cache_bytes
from sega_session.engine import store as store_module
from sega_session.errors import InvalidValueError, OutOfMemoryError, SegaSessionError
from sega_session.sega import LATENTS, Key
from sega_session.testing import FakeModel
from tests.support.pipelines import tiny_stable_diffusion

ONE = 4 * 8 * 8 * 4
"""Bytes of one prediction of the tiny pipeline: channels, height, width, float32."""


def tensor(value: float = 0.0) -> torch.Tensor:
    return torch.full((4, 8, 8), float(value))


def keys(trajectory: str, calls: int = 3) -> list[Key]:
    """The tensors of a render: its final latents, and one condition at so many calls."""
    return [
        Key(trajectory, LATENTS),
        *(Key(f"{trajectory}{call}", "text") for call in range(calls)),
    ]


def fill(store: TrajectoryStore, trajectory: str, calls: int = 3, kept: Any = ()) -> None:
    """Record a render of so many calls with one condition, and its final latents."""
    with store.record(trajectory, kept) as recorder:
        for call in range(calls):
            recorder.put(Key(f"{trajectory}{call}", "text"), tensor(call))
        recorder.put(Key(trajectory, LATENTS), tensor(-1))


def left(store: TrajectoryStore, trajectory: str, calls: int = 3) -> str:
    """Which tensors of a render are there: calls as digits, F for the final latents."""
    found = [str(call) for call in range(calls) if Key(f"{trajectory}{call}", "text") in store]
    return "".join([*found, *("F" if Key(trajectory, LATENTS) in store else "")])


def test_the_least_recent_trajectory_is_evicted_from_its_end_and_its_image_last() -> None:
    store = TrajectoryStore(8 * ONE)
    fill(store, "a")
    fill(store, "b")
    assert (left(store, "a"), left(store, "b")) == ("012F", "012F")
    with store.record("a", keys("a")):
        pass
    fill(store, "c", calls=1)
    assert (left(store, "a"), left(store, "b"), left(store, "c", 1)) == ("012F", "0F", "0F")
    fill(store, "d", calls=2)
    assert (left(store, "a"), left(store, "b"), left(store, "d", 2)) == ("01F", "", "01F")
    assert store.info.bytes == 8 * ONE
    assert store.info.trajectories == 3


def test_what_is_kept_stays_and_what_does_not_fit_is_not_recorded() -> None:
    store = TrajectoryStore(5 * ONE)
    fill(store, "base")
    fill(store, "now", kept=keys("base"))
    assert (left(store, "base"), left(store, "now")) == ("012F", "0")
    with store.record("huge") as recorder:
        recorder.put(Key("huge", "text"), torch.zeros(6, 4, 8, 8))
    assert Key("huge", "text") not in store


def test_what_open_recorders_need_stays_until_all_are_closed() -> None:
    store = TrajectoryStore(4 * ONE)
    with store.record("outer") as outer:
        outer.put(Key("outer0", "text"), tensor())
        fill(store, "inner", calls=2)
        fill(store, "other", calls=2)
        assert Key("outer0", "text") in store
        outer.put(Key("outer1", "text"), tensor())
        assert Key("outer1", "text") in store
    fill(store, "last", calls=3)
    assert left(store, "last") == "012F"
    assert Key("outer0", "text") not in store


def test_bytes_are_counted_whatever_is_evicted() -> None:
    rng = random.Random(0)
    store = TrajectoryStore(20 * ONE, spill_bytes=7 * ONE)
    names = [Key(str(number), "text") for number in range(60)]
    for _ in range(500):
        with store.record(f"render {rng.randrange(9)}") as recorder:
            for key in rng.sample(names, 5):
                if recorder.get(key) is None:
                    recorder.put(key, tensor())
        info = store.info
        assert info.bytes + info.spilled_bytes == ONE * sum(key in store for key in names)
        assert (info.bytes <= 20 * ONE, info.spilled_bytes <= 7 * ONE) == (True, True)
    assert store.info.spilled_bytes == 7 * ONE


def test_what_two_trajectories_share_stays_with_the_other() -> None:
    store = TrajectoryStore(6 * ONE)
    fill(store, "a")
    with store.record("b") as recorder:
        assert recorder.get(Key("a0", "text")) is not None
        recorder.put(Key("b", LATENTS), tensor())
    fill(store, "c", calls=2, kept=[Key("b", LATENTS), Key("a0", "text")])
    assert Key("a0", "text") in store
    assert left(store, "a") == "0F"


def test_what_is_evicted_goes_to_host_memory() -> None:
    store = TrajectoryStore(4 * ONE, spill_bytes=3 * ONE)
    fill(store, "a")
    fill(store, "b")
    assert left(store, "b") == "012F"
    # 2, 1 and 0 went first, then the final latents; the host holds three.
    assert left(store, "a") == "01F"
    assert store.info.spilled_bytes == 3 * ONE
    found = store.peek(Key("a1", "text"))
    assert found is not None
    assert torch.equal(found, tensor(1))
    assert store.info.bytes == 4 * ONE


def test_what_may_not_leave_the_device_sends_new_tensors_to_host_memory() -> None:
    store = TrajectoryStore(4 * ONE, spill_bytes=9 * ONE)
    fill(store, "base")
    fill(store, "now", kept=keys("base"))
    fill(store, "last", kept=keys("base"))
    # Host memory dropped the end of the older render.
    assert [left(store, name) for name in ("base", "now", "last")] == ["012F"] * 3
    fill(store, "more", calls=2, kept=keys("base"))
    assert [left(store, name) for name in ("base", "now", "last")] == ["012F", "0F", "012F"]
    assert (store.info.bytes, store.info.spilled_bytes) == (4 * ONE, 9 * ONE)


def test_evictions_pass_over_what_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Key] = []
    keeps = Recorder.keeps

    def counted(recorder: Recorder, key: Key) -> bool:
        asked.append(key)
        return keeps(recorder, key)

    monkeypatch.setattr(Recorder, "keeps", counted)
    store = TrajectoryStore(50 * ONE, spill_bytes=50 * ONE)
    fill(store, "a", calls=99)
    asked.clear()
    fill(store, "b", calls=400, kept=keys("a", 99))
    assert left(store, "a", 99) == "".join(map(str, range(99))) + "F"
    assert 100 <= len(asked) <= 300


def test_what_was_passed_over_keeps_its_place_in_the_order() -> None:
    store = TrajectoryStore(6 * ONE)
    fill(store, "a")
    fill(store, "b", calls=4, kept=keys("a"))
    assert (left(store, "a"), left(store, "b", 4)) == ("012F", "01")
    with store.record("c") as recorder:
        for call, expected in enumerate(["01F", "0F", "F", ""]):
            recorder.put(Key(f"c{call}", "text"), tensor())
            assert (left(store, "a"), left(store, "b", 4)) == (expected, "01")
        recorder.put(Key("c4", "text"), tensor())
        assert left(store, "b", 4) == "0"


def test_renders_are_counted_while_their_final_latents_are_recorded() -> None:
    store = TrajectoryStore(8 * ONE, spill_bytes=2 * ONE)
    for number in range(1000):
        fill(store, f"{number} ", calls=1)
        assert store.info.trajectories == min(number + 1, 5)
    # Nothing is left of the others.
    assert len(store._finals) == 5  # noqa: SLF001
    with store.record("cancelled") as recorder:
        recorder.put(Key("cancelled0", "text"), tensor())
        recorder.put(Key("cancelled1", "text"), tensor())
    assert store.copy().info.trajectories == store.info.trajectories == 4


def test_lack_of_memory_moves_kept_tensors_too_while_host_memory_has_room() -> None:
    store = TrajectoryStore(4 * ONE, spill_bytes=5 * ONE)
    with store.record("base") as recorder:
        for number, key in enumerate(keys("base")):
            recorder.put(key, tensor(number))
        assert recorder.evict_others()
        assert (store.info.bytes, store.info.spilled_bytes) == (0, 4 * ONE)
        assert torch.equal(recorder.find(keys("base"))[keys("base")[2]], tensor(2))
        assert not recorder.evict_others()


# Interrupts.


class Interrupt:
    """Raise KeyboardInterrupt at the nth line that runs in the store's module."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != store_module.__file__:
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return self


def recount(store: TrajectoryStore, names: Sequence[Key]) -> tuple[int, int]:
    """Return the bytes in both memories, and check that nothing else is there."""
    found = []
    for memory in (store._device, store._host):  # noqa: SLF001
        held = memory._tensors  # noqa: SLF001
        assert set(held) <= set(names)
        # What has no place in the order would never be evicted.
        assert set(held) == set(memory)
        found.append(sum(one.nbytes for one, _ in held.values()))
    return found[0], found[1]


def use(store: TrajectoryStore) -> None:
    """Record and find tensors so that both memories evict."""
    fill(store, "b", kept=keys("a"))
    fill(store, "c", kept=keys("a"))
    with store.record("d", keys("b")) as recorder:
        recorder.find(keys("b"))
        recorder.evict_others()
        fill(store, "e")


@pytest.mark.parametrize("spill_bytes", [0, 3 * ONE])
def test_an_interrupt_at_any_line_leaves_the_accounting_right(spill_bytes: int) -> None:
    names = [key for name in "abcdefgh" for key in keys(name)]
    interrupted = 0
    for nth in itertools.count(1):
        store = TrajectoryStore(7 * ONE, spill_bytes)
        fill(store, "a")
        trace = sys.gettrace()
        sys.settrace(Interrupt(nth))
        try:
            use(store)
        except KeyboardInterrupt:
            interrupted += 1
        else:
            break
        finally:
            sys.settrace(trace)
        info = store.info
        assert (info.bytes, info.spilled_bytes) == recount(store, names)
        # Nothing is kept any more, and everything makes room for what comes next.
        for name in "fgh":
            fill(store, name, calls=3 if spill_bytes else 6)
        info = store.info
        assert (info.bytes, info.spilled_bytes) == recount(store, [*names, *keys("h", 6)])
        assert (info.bytes, info.spilled_bytes) == (7 * ONE, spill_bytes)
        assert left(store, "h") == "012F"
        with store.record("i") as recorder:
            assert recorder.evict_others()
        assert store.info.bytes == 0
        assert store.info.spilled_bytes == spill_bytes
    assert interrupted > 500


def test_budgets_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="spill_bytes is -1; allowed: an integer, at least"):
        TrajectoryStore(1, -1)


def test_the_default_budget_depends_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_cache_bytes(torch.device("cpu")) == 2**30
    for free, expected in ((2**20, 2**28), (2**32, 2**30), (2**40, 2**33)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert default_cache_bytes(torch.device("cuda")) == expected


# A session within its budget.


def random_edit(session: EditSession, rng: random.Random) -> None:
    names = ["hat", "beard", "smile"]
    name = rng.choice(names)
    present = {concept.name for concept in session.concepts}
    if name not in present:
        session.add(name, warmup=rng.randint(0, 3), scale=rng.choice([3, 5]))
        return
    edits: list[Any] = [
        lambda: session.remove(name),
        lambda: session.invert(name),
        lambda: session.reweight(name, scale=rng.choice([3, 5, 7])),
        lambda: session.update(name, threshold=rng.choice([0.5, 0.9])),
        lambda: session.update(name, warmup=rng.randint(0, 3)),
        lambda: session.momentum(scale=rng.choice([0, 0.1])),
    ]
    rng.choice(edits)()


def fake_session(model: FakeModel | None = None, **arguments: Any) -> EditSession:
    return EditSession(model or FakeModel(), "a cat", num_inference_steps=6, **arguments)


def check_budget(turns: int) -> tuple[int, int]:
    """Edit and render, and check the budget; return the repeated evaluations and the cache hits."""
    rng = random.Random(0)
    budget = 90 * ONE
    session = fake_session(cache_bytes=budget, spill_bytes=20 * ONE, batch_plan="canonical")
    cold = fake_session(cache_bytes=0, batch_plan="canonical")
    seen: dict[Any, torch.Tensor] = {}
    evaluated_again = 0
    for turn in range(turns):
        random_edit(session, rng)
        mode = "exact" if turn % 3 else rng.choice(["preview", "anchored", "replay"])
        render = session.render(mode, output_type="latent")
        assert session.cache.bytes <= budget
        assert session.cache.spilled_bytes <= 20 * ONE
        if not render.exact:
            continue
        if session.state not in seen:
            again = cold.render(state=session.state, output_type="latent")
            seen[session.state] = again.latents
        else:
            evaluated_again += render.evaluations > 0
        # Whatever was evicted in between, the image has the same bits.
        assert torch.equal(render.latents, seen[session.state])
    return evaluated_again, session.cache.hits


def test_four_hundred_edits_keep_to_the_budget() -> None:
    evaluated_again, hits = check_budget(400)
    assert evaluated_again > 0
    assert hits > 2000


def test_the_unedited_image_is_never_evaluated_again() -> None:
    session = EditSession(
        tiny_stable_diffusion(), "a cat", num_inference_steps=6, cache_bytes=60 * ONE
    )
    session.render(output_type="latent")
    rng = random.Random(1)
    for _ in range(30):
        random_edit(session, rng)
        session.render(output_type="latent")
    for concept in session.concepts:
        session.remove(concept.name)
    assert session.render(output_type="latent").evaluations == 0


# Out of memory.


class Full:
    """A hook that makes a U-Net run out of memory at some calls, as CUDA would."""

    def __init__(self, pipeline: Any, when: Any) -> None:
        self.calls = 0
        self.when = when
        self.rows: list[int] = []
        self.hook = pipeline.unet.register_forward_pre_hook(self)

    def __call__(self, module: Any, args: Any, kwargs: Any = None) -> None:
        self.calls += 1
        self.rows.append(len(args[0]))
        if self.when(self.calls, len(args[0])):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("nth", range(1, 13))
def test_running_out_at_any_evaluation_leaves_the_session_as_it_was(nth: int) -> None:
    pipeline = tiny_stable_diffusion()
    session = EditSession(pipeline, "a cat", num_inference_steps=12, batch_plan="canonical")
    session.render(output_type="latent")
    session.add("hat", warmup=2)
    before = session.state
    full = Full(pipeline, lambda call, rows: call >= nth)
    with pytest.raises(OutOfMemoryError, match=r"cpu has no memory left for the model; .* Lower"):
        session.render(output_type="latent")
    full.hook.remove()
    assert session.state is before
    cold = EditSession(
        pipeline, "a cat", num_inference_steps=12, batch_plan="canonical", cache_bytes=0
    )
    cold.add("hat", warmup=2)
    again = session.render(output_type="latent")
    assert torch.equal(again.latents, cold.render(output_type="latent").latents)
    # What was evaluated before the memory ran out is not evaluated again.
    assert again.evaluations == 3 + 9 * 3 - (nth - 1)


def test_a_batch_that_does_not_fit_is_made_smaller() -> None:
    pipeline = tiny_stable_diffusion()
    expected = EditSession(pipeline, "a cat", seed=[1, 2], num_inference_steps=4)
    expected.add("hat", warmup=1)
    session = EditSession(pipeline, "a cat", seed=[1, 2], num_inference_steps=4)
    session.add("hat", warmup=1)
    full = Full(pipeline, lambda call, rows: rows > 1)
    render = session.render(output_type="latent")
    full.hook.remove()
    torch.testing.assert_close(
        render.latents, expected.render(output_type="latent").latents, rtol=1e-4, atol=1e-4
    )
    assert render.evaluations == 2 * 3 * 4
    # Six rows fail once; from then on no more than one condition is tried at once.
    assert full.rows.count(6) == 1
    assert full.rows.count(1) == 2 * 3 * 4


def test_what_is_cached_is_evicted_for_the_model() -> None:
    pipeline = tiny_stable_diffusion()
    session = EditSession(
        pipeline, "a cat", num_inference_steps=6, batch_plan="canonical", spill_bytes=2**20
    )
    session.render(output_type="latent")
    for scale in (3, 4, 5):
        if session.concepts:
            session.remove("hat")
        session.add("hat", scale=scale, warmup=1)
        session.render(output_type="latent")
    session.reweight("hat", scale=6)
    full = Full(pipeline, lambda call, rows: session.cache.spilled_bytes == 0)
    render = session.render(output_type="latent")
    full.hook.remove()
    assert render.evaluations == 3 * 4
    assert full.calls == 12 + 1
    # They went to host memory, so going back still evaluates nothing.
    session.reweight("hat", scale=4)
    assert session.render(output_type="latent").evaluations == 0


def test_other_errors_of_a_model_are_not_taken_for_lack_of_memory() -> None:
    pipeline = tiny_stable_diffusion()
    session = EditSession(pipeline, "a cat", num_inference_steps=4)

    def fail(*_: Any) -> None:
        raise RuntimeError("a hook of the user's")

    pipeline.unet.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="a hook of the user's") as caught:
        session.render()
    assert not isinstance(caught.value, SegaSessionError)


def test_an_image_that_cannot_be_decoded_is_not_lost() -> None:
    pipeline = tiny_stable_diffusion()
    session = EditSession(pipeline, "a cat", num_inference_steps=4)

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    hook = pipeline.vae.decoder.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemoryError, match="no memory left for the images' decoding"):
        session.render()
    hook.remove()
    assert session.render().evaluations == 0


def test_the_image_of_a_render_is_evicted_last() -> None:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=10, cache_bytes=75 * 1024)
    session.render(output_type="latent")
    session.add("hat", warmup=2)
    render = session.render(output_type="latent")
    session.update("hat", prompt="cap")
    session.render(output_type="latent")
    # Predictions of the hat were evicted for those of the cap, but not the image.
    assert session.plan(state=render.state) == 0
    with pytest.raises(InvalidValueError, match="enough for all predictions of this render"):
        session.heat_map(render, "hat")
