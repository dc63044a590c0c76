"""Concepts that are measured against other words, and distilled models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sega_session import EditSession, EditState, anchored
from sega_session.errors import InvalidValueError, NoEffectWarning
from sega_session.models import Origin
from sega_session.sega.equations import concept_guidance
from sega_session.state import Concept
from sega_session.testing import FakeModel
from tests.support.pipelines import reference_pipeline, tiny_stable_diffusion

STEPS = 8


def begin(pipeline: Any, **arguments: Any) -> EditSession:
    made = EditSession(pipeline, "a cat", seed=1, num_inference_steps=STEPS, **arguments)
    made.momentum(scale=0)
    return made


def latents(session: EditSession, mode: Any = "exact") -> Tensor:
    return session.render(mode, output_type="latent").latents


def test_an_opposite_takes_the_place_of_the_unconditional_prediction() -> None:
    # With the same words as negative prompt, both are the same prediction, and the oracle can
    # render it.
    pipeline = tiny_stable_diffusion()
    plain = begin(pipeline, negative_prompt="a dog")
    plain.add("hat", warmup=2)
    theirs = reference_pipeline(pipeline)(
        "a cat",
        negative_prompt="a dog",
        generator=torch.Generator().manual_seed(1),
        num_inference_steps=STEPS,
        editing_prompt=["hat"],
        edit_warmup_steps=2,
        edit_momentum_scale=0,
        output_type="latent",
    ).images
    session = begin(pipeline, negative_prompt="a dog")
    session.add("hat", warmup=2, opposite="a dog")
    for found in (latents(session), latents(plain)):
        torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)
    session.update("hat", opposite="a bird")
    assert not torch.allclose(latents(session), theirs, atol=1e-2)


def test_swapping_both_ends_is_inverting() -> None:
    pipeline = tiny_stable_diffusion()
    one, other = begin(pipeline), begin(pipeline)
    one.add("old", warmup=2, opposite="young", inverted=True)
    other.add("young", warmup=2, opposite="old")
    torch.testing.assert_close(latents(one), latents(other))


def test_without_guidance_the_unconditional_prediction_is_not_evaluated() -> None:
    model = FakeModel()
    session = begin(model, guidance_scale=1.0)
    session.add("old", warmup=0, opposite="young")
    assert session.plan() == session.render(output_type="latent").evaluations == 3 * STEPS
    session.add("hat", warmup=4)
    for mode in ("preview", "replay", anchored(every=2), "exact"):
        before = model.rows
        planned = session.plan(mode)
        assert session.render(mode, output_type="latent").evaluations == planned
        assert model.rows - before == planned


def test_opposites_are_replayed() -> None:
    model = FakeModel()
    for guidance_scale in (5.0, 1.0):
        session = begin(model, guidance_scale=guidance_scale)
        session.add("old", warmup=2, opposite="young", scale=3)
        session.render(output_type="latent")
        session.reweight("old", scale=4)
        replayed = session.render("replay", output_type="latent")
        assert not replayed.exact
        base = STEPS - 1 - 2
        assert replayed.evaluations == base * (2 if guidance_scale > 1 else 1)


def test_opposites_are_checked_and_told() -> None:
    session = begin(FakeModel())
    with pytest.raises(InvalidValueError, match="opposite is 'old'; allowed: other words than"):
        session.add("old", opposite="old")
    with pytest.raises(InvalidValueError, match="opposite is ''; allowed: text, not empty"):
        session.add("old", opposite="")
    session.add("old", warmup=1, opposite="young")
    session.update("old", opposite="a child")
    session.update("old", opposite=None)
    labels = [entry.label for entry in session.history]
    assert labels[3:] == ["old: opposite young -> a child", "old: opposite a child -> None"]


def test_one_model_of_both_ends_encodes_each_once() -> None:
    model = FakeModel()
    session = begin(model)
    session.add("old", warmup=1, opposite="young")
    session.add("young", warmup=1, opposite="old")
    assert model.encoded == ["", "a cat", "old", "young"]


# Distilled models.


def test_a_distilled_model_has_no_unconditional_prediction() -> None:
    model = FakeModel(distilled=True)
    session = begin(model)
    assert session.render(output_type="latent").evaluations == STEPS
    session.add("hat", warmup=2)
    assert session.plan() == session.render(output_type="latent").evaluations
    assert model.encoded == ["a cat", "a cat, hat"]
    assert latents(session).isfinite().all()


def test_a_distilled_models_concepts_are_measured_against_the_prompt() -> None:
    model = FakeModel(distilled=True)
    for opposite in (None, "cap"):
        session = begin(model, guidance_scale=3.0)
        session.add("hat", scale=4, threshold=0.5, warmup=2, opposite=opposite)
        base = EditSession(model, "a cat", seed=1, num_inference_steps=STEPS, guidance_scale=3.0)
        expected = sega_by_hand(base, "a cat, hat", opposite and f"a cat, {opposite}")
        torch.testing.assert_close(latents(session), expected)


def sega_by_hand(session: EditSession, concept: str, opposite: str | None) -> Tensor:
    """Return the latents of one concept with scale 4, threshold 0.5 and warm-up 2."""
    model, renderer = FakeModel(distilled=True), session._renderer  # noqa: SLF001
    run = renderer.sampler.start(Origin(renderer.initial_noise(), []))

    def predict(prompt: str) -> Tensor:
        factor = model.encode_prompt(prompt, "prompt", session.scene).tensors["factor"]
        return run.latents * float(factor) + run.timestep / 1000

    for call in range(STEPS):
        text = predict("a cat")
        guidance = torch.zeros_like(text)
        if call >= 2:
            against = text if opposite is None else predict(opposite)
            guidance = concept_guidance(against, predict(concept), 4.0, 0.5)
        run.step(text + guidance)
    return run.latents


def test_a_distilled_model_refuses_a_negative_prompt() -> None:
    with pytest.raises(InvalidValueError, match="negative_prompt is 'blurry'; allowed: '' with a"):
        begin(FakeModel(distilled=True), negative_prompt="blurry")
    with pytest.warns(NoEffectWarning, match="guidance_rescale=0.7 has no effect: the model is"):
        begin(FakeModel(distilled=True), guidance_rescale=0.7)
    with pytest.warns(NoEffectWarning, match="guidance_rescale=0.7 has no effect: guidance_scale"):
        begin(FakeModel(), guidance_rescale=0.7, guidance_scale=1)


def test_all_modes_work_on_a_distilled_model() -> None:
    model = FakeModel(distilled=True)
    session = begin(model)
    session.add("hat", warmup=2)
    session.render(output_type="latent")
    session.add("old", warmup=1, opposite="young")
    cold = begin(FakeModel(distilled=True))
    state = EditState(concepts=session.concepts, momentum_scale=0)
    expected = cold.render(state=state, output_type="latent").latents
    for mode in ("preview", "replay", anchored(every=2), "exact"):
        planned, before = session.plan(mode), model.rows
        render = session.render(mode, output_type="latent")
        assert render.evaluations == planned == model.rows - before
        assert render.latents.isfinite().all()
    torch.testing.assert_close(latents(session), expected)


def test_a_concept_knows_its_opposite() -> None:
    concept = Concept(name="age", prompt="old", opposite="young")
    assert concept.opposite == "young"
    with pytest.raises(InvalidValueError, match="opposite is 3; allowed: text"):
        Concept(name="age", prompt="old", opposite=3)  # type: ignore[arg-type]
