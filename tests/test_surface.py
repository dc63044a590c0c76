"""Test what people try first: sessions as collections, assignments, typing errors, reprs."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

import sega_session
from sega_session import (
    AutosaveWarning,
    Concept,
    EditSession,
    FixedSettingError,
    HistoryError,
    InvalidValueError,
    NoEffectWarning,
    Scene,
    SessionFileError,
    UnknownConceptError,
    errors,
)
from sega_session.state import EditState
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion


@pytest.fixture
def session() -> EditSession:
    session = EditSession(FakeModel(), "a portrait", seed=[1, 2], num_inference_steps=10)
    session.add("glasses")
    session.add("beard", scale=4)
    return session


def test_a_session_is_a_collection_of_its_concepts(session: EditSession) -> None:
    assert "glasses" in session
    assert "glass" not in session
    assert session.concepts[0] not in session  # a name is asked for
    assert len(session) == 2
    assert [concept.name for concept in session] == ["glasses", "beard"]
    assert session["beard"].scale == 4
    assert session["glasses"] == Concept(name="glasses", prompt="glasses", warmup=2)
    with pytest.raises(UnknownConceptError, match="Did you mean 'beard'"):
        session["bear"]
    session.remove("glasses")
    session.remove("beard")
    assert len(session) == 0
    assert session  # a session without concepts is still a session


def test_a_state_knows_its_concepts_by_name() -> None:
    state = EditState(concepts=(Concept(name="glasses", prompt="glasses"),))
    assert "glasses" in state
    assert "hat" not in state


def test_the_scene_can_be_read_and_not_set(session: EditSession) -> None:
    assert (session.prompt, session.seeds, session.size) == ("a portrait", (1, 2), (16, 16))
    before = session.state
    for name in ("seed", "seeds", "prompt", "size", "scene", "guidance_scale", "anything"):
        with pytest.raises(FixedSettingError, match=rf"'{name}' of a session cannot be set"):
            setattr(session, name, 5)
    with pytest.raises(AttributeError):
        session.seeds = (3,)  # type: ignore[misc]
    assert not hasattr(session, "anything")
    assert session.state == before


def test_a_session_is_not_pickled_or_copied_by_accident(session: EditSession) -> None:
    for attempt in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(InvalidValueError, match=r"call copy\(\); for another process, save\("):
            attempt(session)


def test_reprs_are_short(session: EditSession) -> None:
    session.disable("beard")
    assert repr(session) == (
        "<EditSession 'a portrait', seeds 1, 2, concepts: 'glasses', 'beard (muted)'>"
    )
    many = EditSession(FakeModel(), "word " * 1000, seed=range(100))
    assert repr(many).endswith("seeds 0, 1, 2, ..., concepts: none>")
    assert len(repr(many)) < 300


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda s: s.reweight("glases", 3), "name is 'glases'.*Did you mean 'glasses'"),
        (lambda s: s.update("glasses", treshold=0.9), "Did you mean 'threshold'"),
        (lambda s: s.update("glasses", threshold=95), "share, not a percentage: 0.95 keeps"),
        (lambda s: s.render("exakt"), "mode is 'exakt'.*Did you mean 'exact'"),
        (lambda s: s.render(output_type="pill"), "Did you mean 'pil'"),
        (lambda s: s.update("glasses", scale=10**5000), "scale is a number too long to show"),
        (lambda s: s.add("x" * 10**6, scale=-1), "scale is -1"),
        (lambda s: s.add("hat", scale="x" * 10**6), r"scale is 'xxx.*\.\.\..*xxx'; allowed"),
    ],
)
def test_an_error_says_what_was_meant(session: EditSession, attempt: Any, message: str) -> None:
    before = session.state
    with pytest.raises(InvalidValueError, match=message) as caught:
        attempt(session)
    assert len(str(caught.value)) < 1000
    assert session.state == before


def test_a_branch_that_was_misspelt(session: EditSession) -> None:
    session.branch("cheerful")
    with pytest.raises(HistoryError, match="Did you mean 'cheerful'"):
        session.checkout("cheerfull")


def test_reweight_takes_the_scale_by_position(session: EditSession) -> None:
    session.reweight("glasses", 3)
    assert session["glasses"].scale == 3


@pytest.mark.parametrize(("steps", "warmup"), [(50, 10), (10, 2), (2, 0), (1, 0), (24, 5)])
def test_the_default_warmup_is_a_share_of_the_calls(steps: int, warmup: int) -> None:
    session = EditSession(FakeModel(), "a portrait", num_inference_steps=steps)
    session.add("glasses")
    assert session["glasses"].warmup == warmup
    session.add("hat", cooldown=1)
    assert session["hat"].warmup == 0
    with pytest.warns(NoEffectWarning, match="warmup and cooldown are both 0"):
        session.add("cap", cooldown=0)


def test_a_setting_without_effect_is_said_once(session: EditSession) -> None:
    with pytest.warns(NoEffectWarning, match="scale is 0"):
        session.reweight("glasses", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.update("glasses", threshold=0.5)
        session.add("hat")
        session.invert("glasses")
        session.undo()
        session.redo()
    with pytest.warns(NoEffectWarning, match="weight is 0"):
        session.update("glasses", scale=3, weight=0)
    session.reweight("glasses", weight=1)
    with pytest.warns(NoEffectWarning, match="warmup and cooldown are both 5"):
        session.update("glasses", warmup=5, cooldown=5)


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        ({"height": 48_000}, "height is 48000; allowed: an integer, at least 1, at most 16384"),
        ({"width": 10**299}, "width is .*; allowed: an integer, at least 1, at most 16384"),
        ({"num_inference_steps": 10**9}, "at most 10000"),
        ({"seeds": range(4000)}, "the number of seeds is 4000; allowed: at most 1024 of 512 x 512"),
    ],
)
def test_a_huge_scene_is_refused(scene: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        Scene(**{"prompt": "a portrait", "height": 512, "width": 512, **scene})
    fields = {"seed" if key == "seeds" else key: value for key, value in scene.items()}
    with pytest.raises(InvalidValueError):
        EditSession(FakeModel(), "a portrait", **{"height": 512, "width": 512, **fields})


def test_every_error_is_at_the_top() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert kinds <= set(dir(sega_session))
    assert {"History", "Measurement", "CacheInfo"} <= set(dir(sega_session))
    assert attrs.has(sega_session.Measurement)


def test_a_copy_is_independent_and_evaluates_nothing_again() -> None:
    model = FakeModel()
    noise = torch.randn(1, 4, 8, 8)
    session = EditSession(model, "a portrait", latents=noise, spill_bytes=2**20, cache_bytes=2**19)
    session.add("glasses")
    session.add(name="gaze", prompt_embeds=torch.randn(1, 1))
    before = session.render(output_type="latent")
    session.branch("here")
    copied, rows = session.copy(), model.rows
    assert (copied.scene, copied.history) == (session.scene, session.history)
    assert copied.cache.max_spilled_bytes == 2**20
    again = copied.render(output_type="latent")
    assert torch.equal(again.latents, before.latents)
    assert (again.evaluations, model.rows) == (0, rows)
    copied.remove("gaze")
    copied.reweight("glasses", 9)
    assert not copied.render("preview", output_type="latent").exact  # it starts from the original
    assert session["glasses"].scale == 5
    assert "gaze" in session
    copied.close()
    assert (copied.cache.bytes, session.cache.bytes > 0) == (0, True)
    assert session.render(output_type="latent").evaluations == 0


def test_a_session_closes_at_the_end_of_a_block(tmp_path: Path) -> None:
    path = tmp_path / "portrait.safetensors"
    model = FakeModel()
    with EditSession(model, "a portrait") as session:
        session.autosave(path)
        session.render(output_type="latent")
        session.add("glasses")
        assert session.cache.bytes > 0
    assert session.cache.bytes == 0
    assert "glasses" in EditSession.load(path, model)  # with nothing left to recover
    session.add("beard")
    assert session.render(output_type="latent").exact
    assert "beard" not in EditSession.load(path, model)


def test_a_session_closes_after_its_model_was_changed(tmp_path: Path) -> None:
    pipeline, path = tiny_stable_diffusion(), tmp_path / "portrait.safetensors"
    session = EditSession(pipeline, "a portrait")
    session.autosave(path)
    session.add("hat")
    pipeline.scheduler = SCHEDULERS["Euler"]()
    with pytest.warns(AutosaveWarning, match="the session's model has changed: scheduler"):
        session.close()
    recovered = EditSession.recover(path, tiny_stable_diffusion())
    assert "hat" in recovered


def test_renders_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    session = EditSession(FakeModel(), "a portrait", num_inference_steps=5)
    with caplog.at_level("INFO", logger="sega_session"):
        session.render(output_type="latent")
    assert caplog.messages[0].startswith("exact render: 10 evaluations, 0.0")


NO_PATH: Any = 3
NO_PATHS: list[Callable[[EditSession], object]] = [
    lambda session: EditSession.load(NO_PATH, FakeModel()),
    lambda session: EditSession.recover(NO_PATH, FakeModel()),
    lambda session: EditSession.from_image(NO_PATH, FakeModel()),
    lambda session: EditSession.run(NO_PATH, FakeModel()),
    lambda session: session.save(NO_PATH),
    lambda session: session.autosave(NO_PATH),
    lambda session: session.render().save(NO_PATH),
    lambda session: session.script().save(NO_PATH),
    lambda session: sega_session.load_pipeline(NO_PATH),
]


@pytest.mark.parametrize("attempt", NO_PATHS)
def test_what_is_no_path_is_refused(
    session: EditSession, attempt: Callable[[EditSession], object]
) -> None:
    with pytest.raises(InvalidValueError, match=r"is 3; allowed: a path, as text or pathlib\.Path"):
        attempt(session)


def test_what_is_no_scene_is_refused(session: EditSession) -> None:
    no_scene: Any = "a portrait"
    with pytest.raises(InvalidValueError, match=r"scene is 'a portrait'; allowed: a Scene\."):
        EditSession.from_scene(no_scene, FakeModel())
    with pytest.raises(InvalidValueError, match=r"scene is 'a portrait'; allowed: a Scene\."):
        session.another(no_scene)


def test_a_file_that_is_not_there_needs_no_folder() -> None:
    with pytest.raises(SessionFileError, match=r"No such file or directory\. Correct the path\.$"):
        EditSession.load("nowhere.safetensors", FakeModel())
