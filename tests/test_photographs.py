"""Sessions that begin from photographs: to the bit, in every mode, family, sampler and file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor

from sega_session import PHOTO_PRESETS, EditSession, anchored
from sega_session.engine import Photograph
from sega_session.errors import (
    InvalidValueError,
    NoEffectWarning,
    ScriptError,
    SessionFormatError,
)
from sega_session.models import Request, SchedulerSampler, as_model
from sega_session.scripts import Limits, Script
from sega_session.sega import Trajectory
from sega_session.state import EditState
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

STEPS = 8
LEFT = (0.0, 0.0, 0.5, 1.0)
"""The left half of the image, as a box."""


def photo(height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return a photograph of noise, ``(height, width, 3)``."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def begin(source: Any, pipeline: Any, **arguments: Any) -> EditSession:
    settings = {"seed": 1, "num_inference_steps": STEPS, "batch_plan": "canonical", **arguments}
    return EditSession.from_photo(source, pipeline, **settings)


def latents(session: EditSession, mode: Any = "exact") -> Tensor:
    return session.render(mode, output_type="latent").latents


def encoded(pipeline: Any, pixels: np.ndarray[Any, Any]) -> Tensor:
    """Return the final latents that stand for one photograph."""
    tensor = torch.from_numpy(pixels.copy())[None].permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return as_model(pipeline).encode_image(tensor)


def drawn(session: EditSession) -> list[Tensor]:
    """Return the latents of a session's photograph, before each model call and at last."""
    inversion = session._renderer.inversion  # noqa: SLF001
    assert inversion is not None
    return list(inversion.latents)


# The way there and back.


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.filterwarnings("ignore:.*eta=.*:UserWarning")
def test_every_scheduler(name: str) -> None:
    pipeline = tiny_stable_diffusion(scheduler=SCHEDULERS[name]())
    pixels = photo()
    session = begin(pixels, pipeline, guidance_scale=3.0, prompt="a cat")
    assert torch.equal(latents(session), encoded(pipeline, pixels))
    session.add("hat", scale=9, warmup=2)
    edited = latents(session)
    assert edited.isfinite().all()
    forgetful = begin(pixels, pipeline, guidance_scale=3.0, prompt="a cat", cache_bytes=0)
    forgetful.add("hat", scale=9, warmup=2)
    assert torch.equal(latents(forgetful), edited)
    for mode in ("preview", anchored(every=2), "replay"):
        session.reweight("hat", scale=session["hat"].scale + 1)
        assert latents(session, mode).isfinite().all()


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_an_edit_is_the_sampler_with_its_residuals(guidance_scale: float) -> None:
    """The oracle is diffusers' DDIM scheduler, driven here by hand."""
    pipeline = tiny_stable_diffusion()
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pixels = photo()
    session = begin(pixels, pipeline, prompt="a cat", guidance_scale=guidance_scale, skip=0)
    session.momentum(scale=0)
    session.add("hat", scale=6, threshold=0.0, warmup=3)
    edited = latents(session)
    scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(STEPS)
    generator = torch.Generator().manual_seed(1)
    image = encoded(pipeline, pixels)
    noisy = []
    for timestep in scheduler.timesteps:
        noise = torch.randn(image.shape, generator=generator)
        noisy.append(scheduler.add_noise(image, noise, timestep[None]))
    noisy.append(image)

    @torch.no_grad()
    def predict(at: Tensor, timestep: Tensor, text: str) -> Tensor:
        embeds, _ = pipeline.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
        found: Tensor = pipeline.unet(at, timestep, encoder_hidden_states=embeds).sample
        return found

    def step(at: Tensor, call: int, *, edit: bool) -> Tensor:
        timestep = scheduler.timesteps[call]
        uncond, text, hat = (predict(at, timestep, one) for one in ("", "a cat", "hat"))
        guided = text if guidance_scale == 1 else uncond + guidance_scale * (text - uncond)
        if edit and call >= 3:
            guided = guided + 6 * (hat - uncond)
        after: Tensor = scheduler.step(guided, timestep, at).prev_sample
        return after

    at = noisy[0]
    for call in range(STEPS):
        residual = noisy[call + 1] - step(noisy[call], call, edit=False)
        at = step(at, call, edit=True) + residual
    torch.testing.assert_close(edited, at, rtol=1e-4, atol=1e-4)


def test_an_inversion_is_a_few_batches() -> None:
    model = FakeModel()
    session = EditSession.from_photo(photo(), model, "a cat", num_inference_steps=50)
    assert (model.rows, model.calls) == (50, 2)
    session.add("hat")
    session.momentum(scale=0)
    planned = session.plan()
    # From the warm-up on, the concept and the unconditional prediction it is measured against.
    first = round(0.15 * 50)
    warmup = first + round((50 - first) / 5)
    assert session["hat"].warmup == warmup
    assert session.render().evaluations == planned == 3 * (50 - warmup) - 1


def test_without_a_prompt_one_prediction_serves_as_both() -> None:
    session = begin(photo(), tiny_stable_diffusion())
    session.momentum(scale=0)
    session.add("hat", warmup=2)
    assert session.render().evaluations == 1 + 2 * (STEPS - 3)
    guided = begin(photo(), tiny_stable_diffusion(), guidance_scale=7.5)
    assert torch.equal(latents(guided), encoded(tiny_stable_diffusion(), photo()))


def test_several_photographs_are_one_batch() -> None:
    pipeline = tiny_stable_diffusion()
    both = np.stack([photo(seed=1), photo(seed=2)])
    session = begin(both, pipeline, seed=(3, 4))
    alone = [begin(both[row], pipeline, seed=3 + row) for row in range(2)]
    for one in (session, *alone):
        one.add("hat", scale=9, warmup=2)
    expected = torch.cat([latents(one) for one in alone])
    torch.testing.assert_close(latents(session), expected, rtol=1e-4, atol=1e-5)
    assert begin(list(both), pipeline).seeds == (1, 1)
    assert [np.asarray(one).shape for one in session.photographs] == [(16, 16, 3)] * 2
    assert np.array_equal(np.stack([np.asarray(one) for one in session.photographs]), both)
    with pytest.raises(InvalidValueError, match=r"seed is \(1, 2, 3\); allowed: one for all photo"):
        begin(both, pipeline, seed=(1, 2, 3))


def test_half_precision() -> None:
    pipeline = tiny_stable_diffusion(dtype=torch.bfloat16)
    session = begin(photo(), pipeline)
    assert torch.equal(latents(session), encoded(pipeline, photo()))
    session.add("hat", scale=9, warmup=2)
    assert latents(session).dtype == torch.bfloat16


def test_a_session_that_ends_where_it_began_has_the_same_bits() -> None:
    pipeline = tiny_stable_diffusion()
    session = begin(photo(), pipeline)
    first = session.render(output_type="pt")
    for number in range(5):
        session.add("hat", scale=5 + number, warmup=2)
        session.add("beard", scale=3, warmup=3)
        session.render("preview")
        session.reweight("hat", scale=9)
        session.render()
        session.remove("beard")
        session.remove("hat")
    assert len(session.history) > 20
    last = session.render(output_type="pt")
    assert torch.equal(last.latents, first.latents)
    assert torch.equal(torch.as_tensor(last.images), torch.as_tensor(first.images))


# What is skipped.


def test_edits_leave_the_skipped_calls_alone() -> None:
    session = begin(photo(), tiny_stable_diffusion(), skip=0.5)
    after: list[Tensor] = []

    def watch(_session: Any, _call: int, _timestep: Tensor, given: dict[str, Tensor]) -> None:
        after.append(given["latents"])

    session.add("hat", scale=9, warmup=0)
    session.render(callback_on_step_end=watch)
    before = drawn(session)[1:]
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [True] * 4 + [False] * 4
    everything = begin(photo(), tiny_stable_diffusion(), skip=0)
    everything.add("hat", scale=9, warmup=0)
    assert not torch.equal(latents(everything), latents(session))


def test_a_recipe_begins_after_what_is_skipped() -> None:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=4)
    session.add("hat", warmup=0)
    session.add("beard", warmup=1)
    whole = Trajectory.of(session.state, 4).recipe.steps
    late = Trajectory.of(session.state, 4, 2).recipe.steps
    assert late[2:] == whole[2:]
    assert [(one.applied, one.feeding, one.momentum_applied) for one in late[:2]] == [
        ((), (), False)
    ] * 2
    assert Trajectory.of(session.state, 4, 2).names[:3] == Trajectory.of(EditState(), 4).names[:3]


def test_a_concept_that_ends_among_the_skipped_calls_has_no_effect() -> None:
    session = begin(photo(), FakeModel(), skip=0.5)
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: cooldown is 3, and wi"):
        session.add("hat", warmup=0, cooldown=3)
    assert torch.equal(latents(session), encoded(FakeModel(), photo()))


@pytest.mark.parametrize("skip", [-0.1, 1, 1.5, "a", None])
def test_bad_shares(skip: Any) -> None:
    with pytest.raises(InvalidValueError, match="skip is"):
        begin(photo(), FakeModel(), skip=skip)
    with pytest.raises(InvalidValueError, match=r"skip is 0\.1; allowed: 0 where the images are"):
        EditSession(FakeModel(), "a cat", skip=0.1)


# In every mode, and around a session.


def test_estimates_start_from_the_photograph() -> None:
    session = begin(photo(), tiny_stable_diffusion(), num_inference_steps=20)
    session.add("hat", scale=9)
    preview = session.render("preview")
    assert not preview.exact
    stages = [render.mode for render in session.stream()]
    assert stages == ["preview", "anchored(tolerance=0.1)", "exact"]
    measured = session.measure(preview)
    assert measured.missed[0] < 1
    assert session.heat_map(session.render(), "hat").shape == (1, *session.latents_shape[2:])
    assert len(session.sem_guidance()) == session.num_calls


def test_protected_regions_stay_the_photograph() -> None:
    session = begin(photo(), tiny_stable_diffusion())
    session.add("hat", scale=9, warmup=2)
    session.protect(LEFT)
    found, own = latents(session), encoded(tiny_stable_diffusion(), photo())
    half = found.shape[-1] // 2
    assert torch.equal(found[..., half:], own[..., half:])
    assert not torch.equal(found[..., :half], own[..., :half])
    forgetful = begin(photo(), tiny_stable_diffusion(), cache_bytes=0)
    forgetful.add("hat", scale=9, warmup=2)
    forgetful.protect(LEFT)
    planned = forgetful.plan()
    render = forgetful.render(output_type="latent")
    assert torch.equal(render.latents, found)
    assert render.evaluations == planned


def test_copies_and_closed_sessions() -> None:
    model = FakeModel()
    session = begin(photo(), model)
    session.add("hat", scale=9)
    edited = latents(session)
    rows = model.rows
    copied = session.copy()
    assert torch.equal(latents(copied), edited)
    copied.undo()
    assert torch.equal(latents(copied), encoded(model, photo()))
    assert model.rows == rows
    session.close()
    assert torch.equal(latents(session), edited)
    assert model.rows > rows


def test_another_session_of_the_photograph() -> None:
    session = begin(photo(), FakeModel())
    other = session.another(attrs.evolve(session.scene, seeds=(5,), skip=0.5))
    assert other.seeds == (5,)
    assert torch.equal(latents(other), encoded(FakeModel(), photo()))
    with pytest.raises(InvalidValueError, match=r"height and width is \(32, 32\); allowed: those"):
        session.another(attrs.evolve(session.scene, height=32, width=32))
    with pytest.raises(InvalidValueError, match="allowed: one without a photograph, or with"):
        EditSession.from_scene(session.scene, FakeModel())
    noise = session.another(attrs.evolve(session.scene, photograph=None, skip=0))
    assert noise.photographs == []


def test_a_changed_model_inverts_again() -> None:
    pipeline = tiny_stable_diffusion()
    session = begin(photo(), pipeline)
    session.add("hat", scale=9, warmup=2)
    edited = latents(session)
    with torch.no_grad():
        for weight in pipeline.unet.conv_in.parameters():
            weight.mul_(1.5)
    session.refresh_model()
    again = latents(session)
    assert not torch.equal(again, edited)
    session.undo()
    assert torch.equal(latents(session), encoded(pipeline, photo()))
    fresh = begin(photo(), pipeline)
    fresh.add("hat", scale=9, warmup=2)
    assert torch.equal(latents(fresh), again)


class StoppedError(Exception):
    pass


def test_an_inversion_can_be_cancelled() -> None:
    seen: list[int] = []

    def stop(_session: Any, call: int, *_: Any) -> None:
        seen.append(call)
        if call == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        begin(photo(), FakeModel(), callback_on_step_end=stop)
    assert seen == [0, 1, 2, 3]


def test_a_full_memory_halves_the_batches() -> None:
    def only(rows: int, requests: Sequence[Request]) -> None:
        if len(requests) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model = FakeModel(on_evaluate=partial(only, 5))
    session = begin(photo(), model, batch_plan="together")
    assert torch.equal(latents(session), encoded(FakeModel(), photo()))
    assert model.rows == STEPS


def test_where_a_concept_would_act() -> None:
    pipeline = tiny_stable_diffusion()
    session = begin(photo(), pipeline, num_inference_steps=20)
    before = session.history
    expected = session.expected_heat_map("hat")
    assert session.history == before
    assert expected.shape == (1, *session.latents_shape[2:])
    assert float(expected.max()) == 1
    session.momentum(scale=0)
    session.add("hat", scale=1e-6, threshold=0.9)
    found = session.heat_map(session.render(), "hat")
    together = torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1]
    assert together > 0.8
    session.add("beard", mask=(expected >= 0.5)[0])
    with pytest.raises(InvalidValueError, match="threshold is 2"):
        session.expected_heat_map("hat", threshold=2)


def test_where_a_concept_would_act_costs_one_batch() -> None:
    model = FakeModel()
    session = EditSession(model, "a cat", num_inference_steps=50)
    session.render()
    rows, calls = model.rows, model.calls
    session.expected_heat_map("hat")
    assert (model.rows - rows, model.calls - calls) == (8, 1)
    session.expected_heat_map("hat")
    assert model.rows - rows == 8
    session.expected_heat_map("hat", opposite="no hat")
    assert model.rows - rows == 16


# The photograph's own pixels.


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
@pytest.mark.parametrize("protect", [False, True])
def test_the_pixels_outside_are_the_photographs_own(output_type: Any, protect: bool) -> None:
    pixels = np.stack([photo(seed=1), photo(seed=2)])
    session = begin(pixels, FakeModel())
    session.add("hat", scale=9, warmup=2, mask=None if protect else LEFT)
    if protect:
        session.protect(LEFT)
    plain = as_array(session.render(output_type=output_type).images)
    for mode in ("exact", "preview"):
        kept = as_array(session.render(mode, output_type=output_type, keep_outside=True).images)
        assert np.array_equal(np.rint(kept[:, :, 8:] * 255), pixels[:, :, 8:])
    assert not np.array_equal(np.rint(plain[:, :, 8:] * 255), pixels[:, :, 8:])
    assert not np.array_equal(np.rint(kept[:, :, :8] * 255), pixels[:, :, :8])
    # The state without edits is the photograph itself.
    session.checkout(0)
    kept = as_array(session.render(output_type=output_type, keep_outside=True).images)
    assert np.array_equal(np.rint(kept * 255), pixels)


def as_array(images: Any) -> np.ndarray[Any, Any]:
    """Return images of any output type as ``(images, height, width, 3)`` in [0, 1]."""
    if isinstance(images, torch.Tensor):
        return images.permute(0, 2, 3, 1).numpy()
    if isinstance(images, list):
        return np.stack([np.asarray(one) for one in images]) / 255
    return np.asarray(images)


def test_pixels_that_cannot_be_kept() -> None:
    session = begin(photo(), FakeModel())
    session.add("hat", scale=9)
    with pytest.warns(NoEffectWarning, match="keep_outside has no effect: the edits may change"):
        session.render(keep_outside=True)
    with pytest.raises(InvalidValueError, match="keep_outside is True; allowed: False for latents"):
        session.render(keep_outside=True, output_type="latent")
    plain = EditSession(FakeModel(), "a cat")
    with pytest.raises(InvalidValueError, match="keep_outside is True; allowed: False for latents"):
        plain.render(keep_outside=True)


# Files.


@pytest.mark.parametrize("include", ["all", "base", "state"])
def test_session_files_hold_the_photograph(include: Any, tmp_path: Path) -> None:
    pixels = np.stack([photo(seed=1), photo(seed=2)])
    session = begin(pixels, FakeModel(), skip=0.25)
    session.add("hat", scale=9)
    edited = latents(session)
    path = tmp_path / "a.safetensors"
    session.save(path, include=include)
    model = FakeModel()
    loaded = EditSession.load(path, model)
    assert loaded.scene == session.scene
    assert np.array_equal(np.stack([np.asarray(one) for one in loaded.photographs]), pixels)
    assert torch.equal(latents(loaded), edited)
    loaded.undo()
    assert torch.equal(latents(loaded), encoded_batch(model, pixels))
    assert (model.rows == 0) == (include != "state")
    loaded.add("beard", scale=4)
    session.undo()
    session.add("beard", scale=4)
    assert torch.equal(latents(loaded), latents(session))


def encoded_batch(pipeline: Any, pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.cat([encoded(pipeline, one) for one in pixels])


def test_another_model_inverts_the_photograph_of_a_file(tmp_path: Path) -> None:
    session = begin(photo(), tiny_stable_diffusion())
    session.save(tmp_path / "a.safetensors")
    other = tiny_stable_diffusion(seed=1)
    loaded = EditSession.load(tmp_path / "a.safetensors", other, allow_model_mismatch=True)
    assert torch.equal(latents(loaded), encoded(other, photo()))


def test_damaged_pixels_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = begin(photo(), FakeModel())
    monkeypatch.setattr("sega_session.saving.snapshot.deflate_pixels", lambda _: b"damaged")
    session.save(tmp_path / "a.safetensors")
    with pytest.raises(SessionFormatError, match="the photograph is damaged"):
        EditSession.load(tmp_path / "a.safetensors", FakeModel())


def test_autosaved_sessions_are_recovered(tmp_path: Path) -> None:
    session = begin(photo(), FakeModel())
    session.autosave(tmp_path / "a.safetensors")
    session.add("hat", scale=9)
    edited = latents(session)
    session.add("beard")
    recovered = EditSession.recover(tmp_path / "a.safetensors", FakeModel())
    assert recovered.history == session.history
    recovered.undo()
    assert torch.equal(latents(recovered), edited)


def test_images_do_not_carry_the_photograph(tmp_path: Path) -> None:
    session = begin(photo(), FakeModel())
    session.add("hat")
    session.render().save(tmp_path / "a.png")
    with pytest.raises(SessionFormatError, match="that it does not carry: the photograph"):
        EditSession.from_image(tmp_path / "a.png", FakeModel())


def test_scripts_name_the_photograph(tmp_path: Path) -> None:
    pixels = np.stack([photo(seed=1), photo(seed=2)])
    session = begin(pixels, FakeModel(), skip=0.25)
    session.add("hat", scale=9, mask=LEFT)
    session.script().save(tmp_path / "edit.json")
    for number, one in enumerate(session.photographs):
        one.save(tmp_path / f"photograph-{number}.png")
    again = EditSession.run(
        tmp_path / "edit.json", FakeModel(), tmp_path / "out", batch_plan="canonical"
    )
    assert again.history == session.history
    assert again.scene == session.scene
    assert torch.equal(latents(again), latents(session))
    Image.fromarray(photo(seed=3)).save(tmp_path / "photograph-1.png")
    with pytest.raises(ScriptError, match=r"photograph-1\.png has pixels with the digest"):
        EditSession.run(tmp_path / "edit.json", FakeModel())


def test_scripts_written_by_hand(tmp_path: Path) -> None:
    Image.fromarray(photo(20, 40)).save(tmp_path / "me.jpg")
    text = """{
      "format_version": 3,
      "scene": {"prompt": "", "photograph": {"files": ["me.jpg"], "fit": "pad"}},
      "operations": [
        {"op": "add", "prompt": "hat", "scale": 3},
        {"op": "render", "output": "a.png", "keep_outside": true}
      ]
    }"""
    script = Script.parse(text.replace(', "keep_outside": true', ""))
    session = EditSession.from_script(script, FakeModel(), tmp_path)
    assert (session.scene.skip, session.seeds) == (0.15, (0,))
    with pytest.raises(ScriptError, match="asks for 256 pixels; allowed: 10"):
        EditSession.from_script(script, FakeModel(), tmp_path, Limits(pixels=10))
    for files in ('["../me.jpg"]', '["/me.jpg"]', "[]", '[""]', '"me.jpg"'):
        with pytest.raises(ScriptError, match=r"scene\.photograph.*files"):
            Script.parse(text.replace('["me.jpg"]', files))
    missing = Script.parse(text.replace("me.jpg", "you.jpg"))
    with pytest.raises(InvalidValueError, match=r"you\.jpg"):
        EditSession.from_script(missing, FakeModel(), tmp_path)


# Settings.


def test_presets_are_settings_of_concepts() -> None:
    session = begin(photo(), FakeModel(), num_inference_steps=50)
    for kind, preset in PHOTO_PRESETS.items():
        session.add(kind, **preset.arguments(session.num_calls))
    assert [one.warmup for one in session] == [9, 12, 9]


def test_noise_cannot_be_given_with_a_photograph() -> None:
    with pytest.raises(InvalidValueError, match="latents is 'a tensor'; allowed: None with a"):
        EditSession(
            FakeModel(), "", photograph=Photograph(photo()[None]), latents=torch.zeros(1, 4, 8, 8)
        )


def test_models_that_cannot() -> None:
    class Blind(FakeModel):
        def encode_image(self, pixels: Tensor) -> Tensor:
            return super(FakeModel, self).encode_image(pixels)

    with pytest.raises(Exception, match="does not encode images"):
        begin(photo(), Blind())


def test_first_noise_is_that_of_the_seed() -> None:
    sampler = SchedulerSampler(FakeModel().components()["scheduler"], STEPS)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = sampler.add_noise(encoded(FakeModel(), photo()), noise, 0)
    assert torch.equal(drawn(begin(photo(), FakeModel()))[0], expected)
