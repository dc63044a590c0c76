"""Sessions of another scene, with the edits carried over."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from sega_session import Concept, EditSession, Scene
from sega_session.errors import InvalidValueError, NoEffectWarning
from sega_session.state import EditState, rescaled
from sega_session.testing import FakeModel

LEFT = (0, 0, 0.5, 1)


@pytest.fixture
def session() -> EditSession:
    """Return a session of 10 model calls, whose history has two branches."""
    session = EditSession(FakeModel(), "a portrait", seed=7, num_inference_steps=10)
    session.add("hat", scale=6)
    session.add("beard", scale=4)
    session.undo()
    session.branch("other")
    session.add("scarf", scale=3)
    return session


def latents(session: EditSession) -> Tensor:
    return session.render(output_type="latent").latents


def test_the_history_is_carried_over(session: EditSession) -> None:
    other = session.another(seed=8)
    assert other.history == session.history
    assert other.scene == attrs.evolve(session.scene, seeds=(8,))
    expected = EditSession(FakeModel(), "a portrait", seed=8, num_inference_steps=10)
    expected.add("hat", scale=6)
    expected.add("scarf", scale=3)
    assert torch.equal(latents(other), latents(expected))
    other.undo()
    other.undo()
    assert len(session.concepts) == 2


def test_only_the_current_state_is_carried_over(session: EditSession) -> None:
    other = session.another(prompt="a cat", edits="state")
    assert [entry.label for entry in other.history] == ["unedited", "carried over"]
    assert other.state == session.state
    other.undo()
    assert other.concepts == ()


def test_nothing_is_carried_over(session: EditSession) -> None:
    other = session.another(seed=8, edits="none")
    assert (len(other.history), other.concepts) == (1, ())


def test_an_unedited_state_is_no_entry(session: EditSession) -> None:
    session.checkout(0)
    assert len(session.another(edits="state").history) == 1


def test_changes_apply_to_a_given_scene(session: EditSession) -> None:
    scene = Scene(prompt="a dog", seeds=(1, 2), num_inference_steps=5, height=16, width=16)
    other = session.another(scene, guidance_scale=3)
    assert other.scene == attrs.evolve(scene, guidance_scale=3.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a cat"},
        {"negative_prompt": "blurry"},
        {"num_inference_steps": 4},
        {"guidance_scale": 2.0},
        {"guidance_rescale": 0.5},
        {"clip_skip": 2},
        {"height": 32},
        {"width": 8},
        {"eta": 0.5},
    ],
)
def test_each_field_of_the_scene_can_change(session: EditSession, changes: Any) -> None:
    assert session.another(**changes).scene == attrs.evolve(session.scene, **changes)


def test_a_random_seed_is_reported(session: EditSession) -> None:
    drawn = {session.another(seed=None).seeds for _ in range(3)}
    assert len(drawn) == 3
    batch = session.another(seed=(1, 2, 3)).another(seed=None)
    assert len({*batch.seeds}) == 3


def test_budgets_stay_unless_they_are_given() -> None:
    session = EditSession(FakeModel(), "a cat", cache_bytes=2**20, batch_plan="canonical")
    other = session.another(seed=1, cache_bytes=2**19)
    assert (other.cache.max_bytes, other.batch_plan) == (2**19, "canonical")


def test_masks_travel(session: EditSession) -> None:
    session.update("hat", mask=LEFT)
    session.protect((0, 0, 1, 0.5))
    other = session.another(seed=8)
    expected = EditSession(FakeModel(), "a portrait", seed=8, num_inference_steps=10)
    expected.add("hat", scale=6, mask=LEFT)
    expected.add("scarf", scale=3)
    expected.protect((0, 0, 1, 0.5))
    assert torch.equal(latents(other), latents(expected))


def test_masks_do_not_fit_another_size(session: EditSession) -> None:
    session.update("hat", mask=LEFT)
    with pytest.raises(InvalidValueError, match=r"\(32, 16\); allowed: those of the masks") as told:
        session.another(height=32)
    assert 'Pass edits="none", or edits="state" after update(name, mask=None)' in str(told.value)
    assert session.another(height=32, edits="none").size == (32, 16)
    session.update("hat", mask=None)
    with pytest.raises(InvalidValueError, match="height and width"):
        session.another(height=32)
    assert len(session.another(height=32, edits="state").concepts) == 2


def test_a_mask_for_each_image_needs_as_many_seeds(session: EditSession) -> None:
    batch = session.another(seed=(1, 2))
    batch.update("hat", mask=np.stack([np.zeros((8, 8)), np.ones((8, 8))]))
    assert batch.another(seed=(3, 4)).state == batch.state
    with pytest.raises(InvalidValueError, match="number of seeds is 1; allowed: 2, since a mask"):
        batch.another(seed=3)


def test_embeddings_are_kept_for_the_same_words() -> None:
    embeds = torch.full((1, 1, 1), 0.3)
    session = EditSession(FakeModel(), "a cat", prompt_embeds=embeds, num_inference_steps=5)
    digest = session.scene.prompt_embedding
    assert session.another(seed=2, prompt="a cat").scene.prompt_embedding == digest
    assert session.another(prompt="a dog").scene.prompt_embedding is None


def test_embeddings_of_concepts_travel(session: EditSession) -> None:
    session.add(name="gaze", prompt_embeds=torch.full((1, 1, 1), 0.7))
    other = session.another(seed=8)
    expected = EditSession(FakeModel(), "a portrait", seed=8, num_inference_steps=10)
    expected.add("hat", scale=6)
    expected.add("scarf", scale=3)
    expected.add(name="gaze", prompt_embeds=torch.full((1, 1, 1), 0.7))
    assert torch.equal(latents(other), latents(expected))


def test_concepts_keep_their_share_of_the_calls(session: EditSession) -> None:
    session.update("hat", warmup=5, cooldown=8)
    other = session.another(num_inference_steps=20)
    assert (other["hat"].warmup, other["hat"].cooldown) == (10, 16)
    edited = [entry.state for entry in other.history if entry.id]
    assert [state.concept("hat").warmup for state in edited] == [4, 4, 4, 10]


def test_entries_that_become_equal_are_one(session: EditSession) -> None:
    session.update("hat", warmup=6)
    session.update("hat", warmup=7)
    session.branch("late")
    session.undo()
    other = session.another(num_inference_steps=2)
    # Warm-ups of 2, 6 and 7 calls of 10 are ones of 0, 1 and 1 of 2.
    assert len(other.history) == len(session.history) - 1
    assert other.history.problems() == []
    assert other.history["late"] == other.history.entry
    assert other.history.entry.label == "hat: warmup 2 -> 6"
    assert EditSession.run(other.script(), FakeModel()).history == other.history
    other.undo()
    other.redo()
    assert other["hat"].warmup == 1


@pytest.mark.parametrize(
    ("warmup", "cooldown", "calls", "expected"),
    [
        (10, None, 20, (4, None)),
        (49, None, 10, (9, None)),  # Rounded to 10, it would not be applied any more.
        (20, 22, 5, (2, 3)),  # Rounded to 2 and 2, too.
        (49, 50, 5, (4, 5)),
        (0, 60, 20, (0, 24)),
        (50, None, 20, (20, None)),  # Not applied before, nor after.
        (10, 10, 20, (4, 4)),
        (10, 30, 50, (10, 30)),
    ],
)
def test_warmup_and_cooldown_are_rescaled(
    warmup: int, cooldown: int | None, calls: int, expected: tuple[int, int | None]
) -> None:
    concept = Concept(name="hat", prompt="hat", warmup=warmup, cooldown=cooldown)
    [found] = rescaled(EditState(concepts=(concept,)), 50, calls)
    assert (found.warmup, found.cooldown) == expected


def test_a_concept_without_effect_warns(session: EditSession) -> None:
    with pytest.warns(NoEffectWarning):
        session.reweight("hat", scale=0)
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: scale is 0") as caught:
        session.another(seed=8)
    assert caught[0].filename == __file__


def test_one_seed_counts_for_all_photographs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    session = EditSession.from_photo(pixels, FakeModel(), num_inference_steps=5)
    session.add("hat", scale=9)
    other = session.another(seed=5)
    assert other.seeds == (5, 5)
    assert other.scene.photograph == session.scene.photograph
    assert other.state == session.state
    # Other noise of the inversion changes what edits do, not the photograph.
    assert not torch.equal(latents(other), latents(session))
    other.undo()
    session.undo()
    assert torch.equal(latents(other), latents(session))


def test_the_inversion_of_a_photograph_reports_its_calls() -> None:
    photo = np.zeros((16, 16, 3), np.uint8)
    session = EditSession.from_photo(photo, FakeModel(), num_inference_steps=5)
    calls: list[int] = []
    session.another(seed=1, callback_on_step_end=lambda *step: calls.append(step[1]))
    assert calls == [0, 1, 2, 3, 4]


def test_what_is_refused(session: EditSession) -> None:
    wrong: Any = "all"
    with pytest.raises(InvalidValueError, match="edits is 'all'; allowed: one of 'history'"):
        session.another(seed=1, edits=wrong)
    with pytest.raises(InvalidValueError, match="seed is -1; allowed: an integer, at least 0"):
        session.another(seed=-1)
    with pytest.raises(TypeError, match="sed"):
        session.another(sed=1)  # type: ignore[call-arg]
