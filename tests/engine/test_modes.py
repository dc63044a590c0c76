"""Test modes: the evaluations they make, the accuracy they state, the predictions they reuse."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sega_session import EditSession, anchored, load_avatars
from sega_session.engine.anchored import every_anchors, preview_anchors
from sega_session.errors import InvalidValueError, NoEffectWarning, UnknownConceptError
from sega_session.state import MODES, edits
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS, TOKENS, reference_pipeline, tiny_stable_diffusion

SessionEdit = Callable[[EditSession], object]

APPROXIMATE: list[Any] = ["preview", anchored(every=5), anchored(every=3), "replay"]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def edited(pipeline: Any, edit: SessionEdit, **arguments: Any) -> EditSession:
    """Return a session with two concepts, rendered exactly, and then edited."""
    session = EditSession(pipeline, "a portrait", **{"num_inference_steps": 20, **arguments})
    session.add("hat", warmup=4)
    session.add("beard", warmup=4)
    session.render(output_type="latent")
    edit(session)
    return session


def add_two(session: EditSession) -> None:
    session.add("smile", warmup=4)
    session.add("cap", warmup=15)


def remove_all(session: EditSession) -> None:
    session.remove("hat")
    session.remove("beard")


def remove_beard_and_momentum(session: EditSession) -> None:
    session.momentum(scale=0)
    session.remove("beard")


EDITS: dict[str, SessionEdit] = {
    "reweight": lambda s: s.reweight("hat", scale=7),
    "invert": lambda s: s.invert("hat"),
    "remove": lambda s: s.remove("hat"),
    "add": lambda s: s.add("smile", warmup=4),
    "add two": add_two,
    "threshold": lambda s: s.update("hat", threshold=0.5),
    "earlier": lambda s: s.update("hat", warmup=2),
    "later": lambda s: s.update("hat", warmup=9),
    "momentum off": lambda s: s.momentum(scale=0),
    "nothing left": remove_all,
}


# Evaluations, derived by hand: T = 50 calls, warm-up 10, one image.


def check_evaluations_of_modes(model: Any) -> None:
    def counts(edit: SessionEdit, momentum: float) -> dict[str, int]:
        found = {}
        for mode in ("exact", "replay", anchored(every=5), anchored(every=2), "preview"):
            session = EditSession(model, "a portrait")
            session.momentum(scale=momentum)
            session.add("hat")
            session.add("beard")
            session.render(output_type="latent")
            edit(session)
            planned = session.plan(mode)
            render = session.render(mode, output_type="latent")
            assert (render.evaluations, render.mode) == (planned, str(mode))
            found[str(mode)] = planned
        return found

    # Call 10 is the first to change, at recorded latents: 39 calls follow at new ones. Anchors in
    # the 38 calls up to 48: one more than 38 / 5 rounded up, nine; than 38 / 2, twenty.
    reweight = counts(lambda s: s.reweight("hat", scale=7), 0.1)
    assert reweight == {
        "exact": 4 * 39,
        "replay": 2 * 39,
        "anchored(every=5)": 4 * 9,
        "anchored(every=2)": 4 * 20,
        "preview": 4 * 4,
    }
    assert counts(lambda s: s.update("hat", threshold=0.5), 0) == reweight
    # An added concept is evaluated at call 10, and before it only where it feeds the momentum.
    added = counts(lambda s: s.add("smile"), 0)
    assert added == {
        "exact": 1 + 5 * 39,
        "replay": 1 + 3 * 39,
        "anchored(every=5)": 1 + 5 * 9,
        "anchored(every=2)": 1 + 5 * 20,
        "preview": 1 + 5 * 4,
    }
    with_momentum = counts(lambda s: s.add("smile"), 0.1)
    assert with_momentum == {mode: count + 10 for mode, count in added.items()}
    removed = counts(lambda s: s.remove("hat"), 0.1)
    assert removed["exact"] == 3 * 39
    assert removed["preview"] == 3 * 4


def test_evaluations_of_every_mode() -> None:
    check_evaluations_of_modes(FakeModel())


def check_evaluations_of_edits(model: Any) -> None:
    """T = 50 calls, warm-up 10, momentum on (every concept is evaluated from call 0)."""
    session = EditSession(model, "a portrait")

    def count() -> int:
        planned = session.plan()
        evaluations = session.render(output_type="latent").evaluations
        assert evaluations == planned
        return evaluations

    session.add("hat")
    session.add("beard")
    session.add("smile")
    assert count() == 5 * 50
    assert count() == 0
    session.reweight("hat", scale=5.0)  # no change
    session.update("hat", name="cap", prompt="hat")  # no change to the image
    assert count() == 0
    session.reweight("cap", scale=7)
    assert count() == 5 * 39
    session.invert("smile")
    assert count() == 5 * 39
    session.invert("smile")
    assert count() == 0  # undo
    session.invert("smile")
    assert count() == 0  # redo
    session.disable("smile")
    assert count() == 4 * 39
    session.enable("smile")
    assert count() == 0
    session.remove("smile")
    assert count() == 0  # the same as disabled
    session.update("beard", threshold=0.8)
    assert count() == 4 * 39
    session.momentum(scale=0)
    # The momentum was applied from call 10 on, where all concepts are recorded.
    assert count() == 4 * 39
    # Momentum off, a warm-up moved: from call 20 on both act. Until then "cap" acts alone, with
    # the weight 1 that it had: what changes first is call 10, where "beard" no longer acts.
    session.update("beard", warmup=20)
    assert count() == 3 * 9 + 4 * 30
    # Earlier by 15: the first changed call is 5, where "beard" is recorded: it fed the momentum.
    session.update("beard", warmup=5)
    assert count() == 3 * 4 + 4 * 40


def test_evaluations_of_every_edit() -> None:
    check_evaluations_of_edits(FakeModel())


def test_one_batch_over_calls_for_conditions_that_only_feed_the_momentum(pipeline: Any) -> None:
    sizes: list[int] = []
    hook = pipeline.unet.register_forward_hook(lambda _m, args, _out: sizes.append(len(args[0])))
    try:
        session = EditSession(pipeline, "a portrait")
        session.render(output_type="latent")
        sizes.clear()
        session.add("hat")
        session.render(output_type="latent")
    finally:
        hook.remove()
    # Ten calls that only feed and the first that steers, then one call after the other.
    assert sizes == [11] + [3] * 39


# The accuracy that modes state, and their latents.


def check_exactness(pipeline: Any, edit: str, mode: Any) -> None:
    """Check that a render calls itself exact if and only if it is."""
    session = edited(pipeline, EDITS[edit], seed=[1, 2], batch_plan="canonical")
    before = session.state
    render = session.render(mode, output_type="latent")
    assert render.latents.isfinite().all()
    cold = edited(pipeline, EDITS[edit], seed=[1, 2], batch_plan="canonical", cache_bytes=0)
    exact = cold.render(output_type="latent").latents
    assert render.exact == torch.equal(render.latents, exact)
    assert (render.mode == "exact") == render.exact
    # The exact render that follows does not use predictions at estimated latents.
    again = session.render(output_type="latent")
    assert again.exact
    assert torch.equal(again.latents, exact)
    assert session.state is before
    if not render.exact and mode != "replay":
        assert render.error_estimate is not None
        assert all(0 < error < 10 for error in render.error_estimate)
        assert len(render.error_estimate) == 2


@pytest.mark.parametrize(
    ("edit", "mode"),
    [
        ("reweight", "preview"),
        ("add", anchored(every=3)),
        ("earlier", "replay"),
        ("nothing left", "anchored"),
    ],
    ids=str,
)
def test_no_mode_poses_as_exact(pipeline: Any, edit: str, mode: Any) -> None:
    check_exactness(pipeline, edit, mode)


def check_scheduler(scheduler: str, prediction_type: str) -> None:
    """Check that approximate renders are nearer to the exact one than the image before the edit."""
    pipeline = tiny_stable_diffusion(
        scheduler=SCHEDULERS[scheduler](), prediction_type=prediction_type
    )
    eta = 0.5 if scheduler == "DDIM" else 0.0

    def latents(edit: str | None, mode: Any = "exact", **arguments: Any) -> torch.Tensor:
        session = edited(pipeline, EDITS[edit] if edit else lambda s: None, eta=eta, **arguments)
        return session.render(mode, output_type="latent").latents

    exact, before = latents("invert", cache_bytes=0), latents(None)
    edit = (exact - before).norm()
    assert (latents("invert", anchored(every=2)) - exact).norm() < 0.5 * edit
    assert (latents("invert", "preview") - exact).norm() < edit


@pytest.mark.parametrize(
    ("scheduler", "prediction_type"),
    [("DDIM", "epsilon"), ("DDIM", "v_prediction"), ("Euler", "epsilon"), ("PNDM", "epsilon")],
)
def test_schedulers_go_along(scheduler: str, prediction_type: str) -> None:
    check_scheduler(scheduler, prediction_type)


def test_guidance_off_goes_along(pipeline: Any) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=20, guidance_scale=1)
    session.render(output_type="latent")
    session.add("hat", warmup=4)
    render = session.render(anchored(every=2), output_type="latent")
    assert not render.exact
    exact = session.render(output_type="latent").latents
    base = EditSession(pipeline, "a portrait", num_inference_steps=20, guidance_scale=1)
    edit = (base.render(output_type="latent").latents - exact).norm()
    assert (render.latents - exact).norm() < 0.2 * edit


def test_without_an_exact_render_before_every_mode_is_exact(pipeline: Any) -> None:
    for mode in APPROXIMATE:
        session = EditSession(pipeline, "a portrait", num_inference_steps=10)
        session.add("hat", warmup=2)
        assert session.plan(mode) == 30
        render = session.render(mode, output_type="latent")
        assert (render.exact, render.mode, render.evaluations) == (True, "exact", 30)
        assert session.render(mode, output_type="latent").evaluations == 0


def test_an_approximate_render_is_not_evaluated_twice(pipeline: Any) -> None:
    for mode in APPROXIMATE:
        session = edited(pipeline, EDITS["add"])
        first = session.render(mode, output_type="latent")
        assert session.plan(mode) == 0
        again = session.render(mode, output_type="latent")
        assert again.evaluations == 0
        assert torch.equal(again.latents, first.latents)


walks = st.lists(
    st.tuples(st.sampled_from(sorted(EDITS)), st.sampled_from([*APPROXIMATE, "exact"])),
    min_size=1,
    max_size=4,
)


def check_plans(model: Any, walk: list[tuple[str, Any]]) -> None:
    session = edited(model, lambda s: None, num_inference_steps=16)
    base = session.history.current
    for edit, mode in walk:
        session.checkout(base)
        EDITS[edit](session)
        planned = session.plan(mode)
        assert session.render(mode, output_type="latent").evaluations == planned


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(walk=walks)
def test_plans_come_true(walk: list[tuple[str, Any]]) -> None:
    check_plans(FakeModel(), walk)


def test_a_tolerance_takes_no_more_than_planned(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"])
    planned = session.plan(anchored(tolerance=0.01))
    assert session.render(anchored(tolerance=0.01), output_type="latent").evaluations <= planned
    assert session.render("anchored", output_type="latent").evaluations <= session.plan("exact")


# Replay and the exchange with diffusers.


def test_a_reweighted_direction_is_replayed_as_recorded(pipeline: Any) -> None:
    session = edited(pipeline, remove_beard_and_momentum, seed=3)
    session.render(output_type="latent")
    guidance = session.sem_guidance()
    session.reweight("hat", scale=7.5)
    render = session.render("replay", output_type="latent")
    # By hand: the recorded guidance times 7.5 / 5, on re-evaluated uncond and text.
    by_hand = EditSession(
        pipeline,
        "a portrait",
        seed=3,
        num_inference_steps=20,
        sem_guidance=[1.5 * one for one in guidance],
    ).render(output_type="latent")
    torch.testing.assert_close(render.latents, by_hand.latents, rtol=1e-4, atol=1e-4)
    assert render.evaluations == 2 * 15


@pytest.mark.parametrize("momentum", [0.0, 0.3])
def test_exported_guidance_renders_the_same_in_diffusers(pipeline: Any, momentum: float) -> None:
    session = edited(pipeline, lambda s: s.momentum(scale=momentum), seed=[3, 4])
    session.update("beard", warmup=7, weight=0.5)
    expected = session.render(output_type="latent").latents
    guidance = session.sem_guidance()
    assert [tuple(one.shape) for one in guidance] == [(2, 4, 8, 8)] * 20
    found = reference_pipeline(pipeline)(
        "a portrait",
        num_inference_steps=20,
        num_images_per_prompt=2,
        generator=[torch.Generator().manual_seed(seed) for seed in (3, 4)],
        sem_guidance=guidance,
        output_type="latent",
    ).images
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_recorded_guidance_of_diffusers_is_applied(pipeline: Any) -> None:
    reference = reference_pipeline(pipeline)
    arguments: dict[str, Any] = {
        "num_inference_steps": 20,
        "generator": torch.Generator().manual_seed(3),
        "output_type": "latent",
    }
    expected = reference(
        "a portrait", editing_prompt=["hat", "beard"], edit_warmup_steps=4, **arguments
    ).images
    session = EditSession(
        pipeline, "a portrait", seed=3, num_inference_steps=20, sem_guidance=reference.sem_guidance
    )
    found = session.render(output_type="latent").latents
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    # The guidance that the session was given is part of the whole.
    exported = torch.stack(session.sem_guidance())
    torch.testing.assert_close(exported, reference.sem_guidance[:20])


def test_the_concepts_guidance_adds_up(pipeline: Any) -> None:
    session = edited(pipeline, lambda s: s.momentum(scale=0.4))
    session.update("beard", warmup=7, cooldown=15, weight=0.5, inverted=True)
    whole = torch.stack(session.sem_guidance())
    parts = [torch.stack(session.sem_guidance(name)) for name in ("hat", "beard")]
    assert all(part.abs().max() > 0 for part in parts)
    torch.testing.assert_close(parts[0] + parts[1], whole, rtol=1e-4, atol=1e-4)
    with pytest.raises(UnknownConceptError):
        session.sem_guidance("cap")


def test_a_heat_map_shows_where_a_concept_acts(pipeline: Any) -> None:
    session = edited(pipeline, lambda s: None, seed=[1, 2])
    render = session.render(output_type="latent")
    assert render.evaluations == 0
    for concept in ("hat", "beard"):
        found = session.heat_map(render, concept)
        guidance = torch.stack(session.sem_guidance(concept))
        expected = guidance.square().mean(dim=(0, 2)).sqrt()
        torch.testing.assert_close(found, expected / expected.amax(dim=(1, 2), keepdim=True))
        assert found.shape == (2, *session.latents_shape[2:])
    # The map is of the given render, not of the session's current state.
    with pytest.warns(NoEffectWarning, match="scale is 0"):
        session.reweight("hat", 0)
    torch.testing.assert_close(
        session.heat_map(render, "hat").amax(dim=(1, 2)), torch.ones(2, device=found.device)
    )
    nothing = session.render(output_type="latent")
    assert session.heat_map(nothing, "hat").abs().max() == 0
    session.reweight("beard", scale=9)
    with pytest.raises(InvalidValueError, match="render is 'preview'; allowed: \"exact\""):
        session.heat_map(session.render("preview", output_type="latent"), "hat")
    with pytest.raises(UnknownConceptError):
        session.heat_map(render, "cap")


def test_a_heat_map_is_where_the_model_was_steered() -> None:
    session = EditSession(load_avatars(device="cpu"), "a portrait of a person", seed=33)
    session.add("glasses", threshold=0.9)
    heat = session.heat_map(session.render(), "glasses")[0]
    rows, columns = (heat.square().sum(dim).cumsum(0) / heat.square().sum() for dim in (1, 0))
    # Eyes are in the middle of a portrait, neither above nor below.
    middle = [int((one < 0.5).sum()) / len(one) for one in (rows, columns)]
    assert 0.3 < middle[0] < 0.65
    assert 0.35 < middle[1] < 0.65


def test_another_state_is_rendered_aside(pipeline: Any) -> None:
    session, alone = (edited(pipeline, lambda s: None, batch_plan="canonical") for _ in range(2))
    history, state = session.history, session.state
    other = edits.update(state, "hat", scale=9)
    # Four branches at the 15 calls after the warm-up's last, where latents differ.
    assert (session.plan(state=state), session.plan(state=other)) == (0, 60)
    preview = session.render("preview", state=other, output_type="latent")
    exact = session.render(state=other, output_type="latent")
    assert (preview.mode, exact.mode) == ("preview", "exact")
    assert preview.state is exact.state is other
    # The preview's first anchor is the call after the first changed one, where it is still exact.
    assert (preview.evaluations, exact.evaluations) == (16, 56)
    assert session.history is history
    alone.reweight("hat", scale=9)
    assert torch.equal(exact.latents, alone.render(output_type="latent").latents)
    # Renders of other states do not change what estimates start from.
    session.reweight("hat", scale=6)
    assert session.render("preview", output_type="latent").before is state


def test_another_state_must_be_one(pipeline: Any) -> None:
    session = edited(pipeline, lambda s: None)
    with pytest.raises(InvalidValueError, match="state is 3; allowed: an EditState"):
        session.render(state=3)  # type: ignore[arg-type]
    other = edited(pipeline, lambda s: None)
    other.add(name="gaze", prompt_embeds=torch.ones(TOKENS, 16))
    with pytest.raises(InvalidValueError, match="state is 'gaze'; allowed: concepts in words"):
        session.plan(state=other.state)


def test_guidance_stays_half() -> None:
    session = edited(tiny_stable_diffusion(dtype=torch.float16), lambda s: None)
    assert {one.dtype for one in session.sem_guidance()} == {torch.float16}
    for mode in APPROXIMATE:
        session.reweight("hat", scale=session.state.concept("hat").scale + 1)
        assert session.render(mode, output_type="latent").latents.dtype == torch.float16


def test_guidance_needs_a_cache_that_holds_a_render(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"], cache_bytes=1000)
    with pytest.raises(InvalidValueError, match="cache_bytes is 1000; allowed: enough for all"):
        session.sem_guidance()


# Streams and measurements.


def test_a_stream_gets_better(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"])
    alone = session.plan()
    renders = list(session.stream(output_type="latent"))
    assert [p.mode for p in renders] == ["preview", "anchored(tolerance=0.1)", "exact"]
    exact = renders[-1].latents
    cold = edited(pipeline, EDITS["add"], cache_bytes=0).render(output_type="latent").latents
    torch.testing.assert_close(exact, cold, rtol=1e-5, atol=1e-4)
    # The preview has evaluated the first changed call and all that feeds the momentum; the
    # tolerance, exactly, three calls more.
    assert renders[-1].evaluations == alone - 5 - 3 * 5
    assert [p.mode for p in session.stream(output_type="latent")] == ["exact"]


@pytest.mark.parametrize(
    ("modes", "rendered"),
    [
        (["preview", "exact"], ["preview", "exact"]),
        ([anchored(every=5)], ["anchored(every=5)"]),
        (["exact", "preview"], ["exact"]),
        ([], []),
    ],
)
def test_a_stream_of_other_modes(pipeline: Any, modes: Any, rendered: list[str]) -> None:
    session = edited(pipeline, EDITS["add"])
    renders = list(session.stream(modes=modes, output_type="latent"))
    assert [one.mode for one in renders] == rendered


def test_an_unknown_mode_of_a_stream_is_refused_before_anything_is_rendered(pipeline: Any) -> None:
    stream = edited(pipeline, EDITS["add"]).stream(modes=["preview", "exakt"])
    with pytest.raises(InvalidValueError, match="exakt"):
        next(stream)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ((0.2, 0.3), (0.1, 0.2), ["preview", "anchored", "exact"]),
        ((0.2, 0.3), (0.1, 0.4), ["preview", "exact"]),
        ((0.2, 0.3), (0.2, 0.2), ["preview", "exact"]),
        ((0.2, 0.3), None, ["preview", "exact"]),
        (None, (0.1, 0.2), ["preview", "exact"]),
    ],
)
def test_a_stream_never_yields_a_worse_estimate(
    monkeypatch: pytest.MonkeyPatch, first: Any, second: Any, shown: list[str]
) -> None:
    errors = {"preview": first, "anchored": second, "exact": None}
    names = {mode: name for name, mode in MODES.items()}

    def render(self: EditSession, state: Any, mode: Any, *_: Any) -> Any:
        name = names[mode]
        return SimpleNamespace(mode=name, exact=name == "exact", error_estimate=errors[name])

    monkeypatch.setattr(EditSession, "_render_current", render)
    assert [one.mode for one in EditSession(FakeModel(), "a cat").stream()] == shown


def test_a_stream_can_be_left_and_cancelled(pipeline: Any) -> None:
    class CancelError(Exception):
        pass

    def cancel(owner: Any, call: int, timestep: Any, given: Any) -> None:
        if call == 12:
            raise CancelError

    session = edited(pipeline, EDITS["add"])
    before = session.state
    assert next(session.stream(output_type="latent")).mode == "preview"
    with pytest.raises(CancelError):
        list(session.stream(callback_on_step_end=cancel))
    assert session.state is before
    cold = edited(pipeline, EDITS["add"], cache_bytes=0).render(output_type="latent").latents
    torch.testing.assert_close(
        session.render(output_type="latent").latents, cold, rtol=1e-5, atol=1e-4
    )


def test_a_stream_renders_the_state_it_began_with(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"])
    stream = session.stream(output_type="latent")
    next(stream)
    state = session.state
    session.remove("hat")
    assert [render.state for render in stream] == [state, state]


def test_measuring(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"], seed=[1, 2])
    preview = session.render("preview")
    measured = session.measure(preview)
    # The preview has evaluated the first two changed calls and all that feeds the momentum.
    assert measured.evaluations == 2 * 5 * 14
    assert all(value > 10 for value in measured.psnr)
    assert all(0 < value < 1 for value in measured.missed)
    assert all(0.9 < value < 1.00001 for value in measured.ssim)
    # An exact render has missed nothing of the edit.
    exact = session.render(output_type="pt")
    assert session.measure(exact).psnr == (float("inf"),) * 2
    assert session.measure(exact).missed == (0.0, 0.0)
    # Where nothing is recorded, both exact renders are evaluated.
    other = edited(pipeline, EDITS["add"], cache_bytes=0)
    render = other.render()
    assert render.before is not None
    both = other.plan(state=render.state) + other.plan(state=render.before)
    assert other.measure(render).evaluations == both > other.plan()
    # Measuring renders, but estimates still start from the render before.
    session.invert("hat")
    assert session.render("preview").before == exact.state


# Values.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (anchored, r"\(every=, tolerance=\) is \(None, None\); allowed: exactly one"),
        (lambda: anchored(every=2, tolerance=0.1), "allowed: exactly one of the two"),
        (lambda: anchored(every=0), "every is 0; allowed: an integer, at least 1"),
        (
            lambda: anchored(every=2.5),  # type: ignore[arg-type]
            "every is 2.5; allowed: an integer",
        ),
        (lambda: anchored(every=True), "every is True; allowed: an integer"),
        (lambda: anchored(tolerance=0), "tolerance is 0.0; allowed: a finite number, above 0"),
        (
            lambda: anchored(tolerance=float("nan")),
            "tolerance is nan; allowed: a finite number, ab",
        ),
    ],
)
def test_modes_refuse(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make()


def test_an_unknown_mode_is_named(pipeline: Any) -> None:
    session = edited(pipeline, EDITS["add"])
    with pytest.raises(InvalidValueError, match="mode is 'fast'; allowed: one of 'exact', 'anch"):
        session.render("fast")
    with pytest.raises(InvalidValueError, match="mode is 4; allowed"):
        session.plan(4)  # type: ignore[arg-type]


def test_where_anchors_are() -> None:
    assert every_anchors(5, 10, 50) == (11, 13, 15, 19, 23, 28, 34, 41, 48)
    assert every_anchors(2, 10, 20) == (11, 12, 13, 15, 18)
    assert every_anchors(100, 10, 50) == (21, 48)
    assert every_anchors(1, 10, 20) == (11, 12, 13, 14, 15, 16, 17, 18)
    assert every_anchors(4, 48, 50) == ()
    assert preview_anchors(10, 50) == (13, 18, 26, 40)
    assert preview_anchors(48, 50) == (49,)


@given(st.integers(1, 60), st.integers(0, 50), st.integers(1, 60))
def test_anchors_are_in_order_and_end_at_the_last_call_but_one(
    every: int, first: int, calls: int
) -> None:
    anchors = every_anchors(every, first, calls)
    assert sorted({*anchors}) == [*anchors]
    if first < calls - 2:
        assert first < anchors[0]
        assert anchors[-1] == calls - 2
        assert len(anchors) <= (calls - 2 - first) / every + 2
