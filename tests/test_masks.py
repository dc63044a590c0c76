"""Concepts that are confined to a region: masks from what people draw, in every mode and file."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.errors import (
    InvalidValueError,
    NoEffectWarning,
    ScriptError,
    SessionFormatError,
)
from sega_session.models import Origin
from sega_session.sega.equations import concept_guidance
from sega_session.state import Mask, read_mask
from sega_session.testing import FakeModel
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

STEPS = 8
LEFT = (0.0, 0.0, 0.5, 1.0)
"""The left half of the image, as a box."""


def begin(pipeline: Any, **arguments: Any) -> EditSession:
    settings = {"seed": 1, "num_inference_steps": STEPS, "batch_plan": "canonical", **arguments}
    return EditSession(pipeline, "a cat", **settings)


def latents(session: EditSession, mode: Any = "exact") -> Tensor:
    return session.render(mode, output_type="latent").latents


def left(side: int = 16) -> np.ndarray[Any, Any]:
    found = np.zeros((side, side), np.uint8)
    found[:, : side // 2] = 255
    return found


# The method.


def test_the_quantile_is_that_of_the_region() -> None:
    generator = torch.Generator().manual_seed(0)
    origin, concept = torch.randn(2, 2, 4, 8, 8, generator=generator)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    found = concept_guidance(origin, concept, 3.0, 0.75, mask)
    expected = concept_guidance(origin[..., :4], concept[..., :4], 3.0, 0.75)
    assert torch.equal(found[..., :4], expected)
    assert not found[..., 4:].any()
    soft = concept_guidance(origin, concept, 3.0, 0.75, mask / 2)
    torch.testing.assert_close(soft, found / 2)
    everywhere = concept_guidance(origin, concept, 3.0, 0.75, torch.ones(1, 1, 8, 8))
    assert torch.equal(everywhere, concept_guidance(origin, concept, 3.0, 0.75))
    assert not concept_guidance(origin, concept, 3.0, 0.75, torch.zeros(1, 1, 8, 8)).any()


def test_each_image_has_its_own_region() -> None:
    generator = torch.Generator().manual_seed(0)
    origin, concept = torch.randn(2, 2, 4, 8, 8, generator=generator)
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, :4], masks[1, :, 4:] = 1, 1
    both = concept_guidance(origin, concept, 3.0, 0.5, masks)
    for row in range(2):
        one = slice(row, row + 1)
        alone = concept_guidance(origin[one], concept[one], 3.0, 0.5, masks[one])
        assert torch.equal(both[one], alone)


def test_outside_a_mask_the_first_step_is_that_of_the_base() -> None:
    # The networks of one call see the whole image, so only the first step stays outside.
    pipeline = tiny_stable_diffusion()
    steps: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def note(_: object, call: int, __: object, tensors: dict[str, Tensor]) -> None:
            if call == 0:
                steps[name] = tensors["latents"]

        return note

    session = begin(pipeline)
    session.render(output_type="latent", callback_on_step_end=watch("base"))
    session.add("hat", warmup=0, mask=LEFT)
    session.render(output_type="latent", callback_on_step_end=watch("edit"))
    changed = (steps["base"] != steps["edit"]).any(dim=1)
    assert changed[..., :4].any()
    assert not changed[..., 4:].any()


def test_a_mask_of_everything_is_none() -> None:
    pipeline = tiny_stable_diffusion()
    plain, masked = begin(pipeline), begin(pipeline)
    plain.add("hat", warmup=1)
    masked.add("hat", warmup=1, mask=np.ones((4, 4)))
    assert torch.equal(latents(plain), latents(masked))
    masked.update("hat", mask=LEFT)
    assert not torch.allclose(latents(plain), latents(masked), atol=1e-2)
    masked.update("hat", mask=None)
    assert masked.render(output_type="latent").exact
    assert torch.equal(latents(plain), latents(masked))


# Sessions.


def test_every_mode_and_undo() -> None:
    model = FakeModel()
    session = begin(model)
    session.add("hat", warmup=1)
    whole = latents(session)
    for mode in ("preview", "replay", anchored(every=2), "exact"):
        session.update("hat", mask=LEFT)
        planned, before = session.plan(mode), model.rows
        render = session.render(mode, output_type="latent")
        assert render.evaluations == planned == model.rows - before
        assert not torch.equal(render.latents, whole)
        session.undo()
    cold = begin(FakeModel())
    cold.add("hat", warmup=1, mask=LEFT)
    session.redo()
    assert torch.equal(latents(session), latents(cold))
    session.undo()
    assert session.render(output_type="latent").evaluations == 0


def test_equal_pixels_are_one_mask() -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1, mask=LEFT)
    for same in (left(), left(64), Image.fromarray(left()), left() > 0, left() / 255.0):
        session.update("hat", mask=same)
    assert len(session.history) == 2
    assert session["hat"].mask is not None
    assert session["hat"].mask.share == 0.5


def test_labels_say_what_changed() -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1)
    session.update("hat", mask=LEFT)
    session.update("hat", mask=(0, 0, 1, 0.25))
    session.update("hat", mask=None)
    assert [entry.label for entry in session.history][2:] == [
        "hat: mask added, 50% of the image",
        "hat: mask changed, 25% of the image",
        "hat: mask removed",
    ]


def test_an_empty_mask_has_no_effect() -> None:
    session = begin(FakeModel())
    base = latents(session)
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: its mask is empty"):
        session.add("hat", warmup=1, mask=np.zeros((8, 8)))
    assert session.plan() == 0
    assert torch.equal(latents(session), base)


def test_a_state_with_the_mask_of_another_session_is_refused() -> None:
    session, other = begin(FakeModel()), begin(FakeModel())
    other.add("hat", warmup=1, mask=LEFT)
    with pytest.raises(InvalidValueError, match="allowed: masks that were added to this session"):
        session.render(state=other.state)
    with pytest.raises(InvalidValueError, match="mask is 5; allowed: a picture, an array, a path"):
        session.add("cap", mask=5)
    assert session.concepts == ()


def test_a_region_can_be_where_another_concept_acts() -> None:
    session = begin(FakeModel(), seed=[1, 2])
    session.add("hat", warmup=1)
    render = session.render(output_type="latent")
    sizes = [int(session.heat_mask(render, "hat", one).sum()) for one in (0, 0.3, 0.9, 1)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 2 * 8 * 8
    session.add("cap", warmup=1, mask=session.heat_mask(render, "hat", 0.3))
    assert 0 < session["cap"].mask.share < 1  # type: ignore[union-attr]
    with pytest.raises(InvalidValueError, match="threshold is 2; allowed: "):
        session.heat_mask(render, "hat", 2)


# Protecting what is outside.


@pytest.mark.parametrize("scheduler", ["DDIM", "PNDM", "Heun", "DPM++ 2M", "Euler ancestral"])
def test_outside_the_region_the_latents_are_those_of_the_base(scheduler: str) -> None:
    pipeline = tiny_stable_diffusion(scheduler=SCHEDULERS[scheduler]())
    base = latents(begin(pipeline))
    session = begin(pipeline)
    session.add("hat", warmup=2, scale=7)
    free = latents(session)
    session.protect(LEFT)
    found = session.render(output_type="latent")
    assert found.exact
    assert torch.equal(found.latents[..., 4:], base[..., 4:])
    assert not torch.allclose(found.latents[..., :4], base[..., :4], atol=1e-2)
    assert not torch.equal(found.latents, free)
    for mode in ("preview", "replay", anchored(every=2)):
        session.reweight("hat", scale=session["hat"].scale + 1)
        assert torch.equal(latents(session, mode)[..., 4:], base[..., 4:])
    session.protect(None)
    session.reweight("hat", scale=7)
    assert torch.equal(latents(session), free)


def test_protecting_by_hand() -> None:
    model = FakeModel()
    session = begin(model, guidance_scale=3.0)
    session.momentum(scale=0)
    session.protect(np.tile(np.linspace(0, 1, 16), (16, 1)))
    session.add("hat", warmup=3, threshold=0.5)
    renderer = session._renderer  # noqa: SLF001
    region = renderer.masks[session.state.region.digest]  # type: ignore[union-attr]
    runs = [renderer.sampler.start(Origin(renderer.initial_noise(), [])) for _ in range(2)]

    def predict(run: Any, prompt: str) -> Tensor:
        role: Any = "prompt" if prompt else "negative"
        factor = model.encode_prompt(prompt, role, session.scene).tensors["factor"]
        found: Tensor = run.latents * float(factor) + run.timestep / 1000
        return found

    for call in range(STEPS):
        for run in runs:
            uncond, text = predict(run, ""), predict(run, "a cat")
            guided = uncond + 3.0 * (text - uncond)
            if call >= 3 and run is runs[1]:
                guided = guided + concept_guidance(uncond, predict(run, "hat"), 5.0, 0.5)
            run.step(guided)
        if call >= 3:
            base, edited = (run.latents for run in runs)
            runs[1].latents = region * edited + (1 - region) * base
    torch.testing.assert_close(latents(session), runs[1].latents)


def test_the_base_is_evaluated_once() -> None:
    model = FakeModel()
    session = begin(model)
    session.add("hat", warmup=3)
    session.protect(LEFT)
    planned = session.plan()
    assert planned == session.render(output_type="latent").evaluations == model.rows
    assert session.render(state=session.history[0].state, output_type="latent").evaluations == 0
    other = begin(FakeModel())
    other.render(output_type="latent")
    other.add("hat", warmup=3)
    plain = other.plan()
    other.protect(LEFT)
    # Recorded already, so that protecting evaluates nothing more.
    assert other.plan() == plain
    assert torch.equal(latents(other), latents(session))


def test_protecting_is_an_edit(tmp_path: Path) -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1)
    session.protect(LEFT)
    session.protect(None)
    labels = [entry.label for entry in session.history][2:]
    assert labels == ["edits confined to 50% of the image", "edits confined to all of the image"]
    session.undo()
    expected = latents(session)
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", FakeModel())
    assert loaded.render(output_type="latent").evaluations == 0
    assert torch.equal(latents(loaded), expected)
    again = EditSession.run(session.script(), FakeModel(), tmp_path, batch_plan="canonical")
    assert again.history == session.history
    assert torch.equal(latents(again), expected)
    [path] = session.render().save(tmp_path / "a.png")
    with pytest.raises(SessionFormatError, match="does not carry: the region of its edits"):
        EditSession.from_image(path, FakeModel())
    with pytest.warns(NoEffectWarning, match="no edit has an effect: the region is empty"):
        session.protect(np.zeros((8, 8)))
    assert torch.equal(latents(session), latents(begin(FakeModel())))


# Files.


def test_masks_are_saved_loaded_and_recovered(tmp_path: Path) -> None:
    session = begin(FakeModel(), seed=[1, 2])
    session.add("hat", warmup=1, mask=np.stack([left(), left()[:, ::-1]]))
    session.add("cap", warmup=2, mask=LEFT)
    expected = latents(session)
    path = tmp_path / "a.safetensors"
    session.save(path)
    loaded = EditSession.load(path, FakeModel())
    assert loaded.render(output_type="latent").evaluations == 0
    assert torch.equal(latents(loaded), expected)
    for one in (session, loaded):
        one.reweight("hat", scale=3)
    assert torch.equal(latents(loaded), latents(session))
    session.autosave(path)
    session.update("cap", mask=(0.1, 0.1, 0.9, 0.9))
    session.reweight("cap", scale=2)
    recovered = EditSession.recover(path, FakeModel())
    assert recovered.history == session.history
    assert torch.equal(latents(recovered), latents(session))
    assert torch.equal(latents(session.copy()), latents(session))
    expected = latents(session)
    session.refresh_model()
    assert torch.equal(latents(session), expected)


def test_damaged_masks_are_refused(tmp_path: Path) -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1, mask=LEFT)
    path = tmp_path / "a.safetensors"
    session.save(path)
    raw = path.read_bytes()
    at = raw.index(b"\x78\x9c", raw.index(b"mask."))
    path.write_bytes(raw[: at + 3] + bytes([raw[at + 3] ^ 1]) + raw[at + 4 :])
    with pytest.raises(SessionFormatError):
        EditSession.load(path, FakeModel())


def test_images_say_that_they_hold_no_masks(tmp_path: Path) -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1, mask=LEFT)
    [path] = session.render().save(tmp_path / "a.png")
    with pytest.raises(SessionFormatError, match="does not carry: the mask of hat"):
        EditSession.from_image(path, FakeModel())


def test_scripts_hold_masks(tmp_path: Path) -> None:
    session = begin(FakeModel())
    session.add("hat", warmup=1, mask=LEFT)
    session.update("hat", mask=[(0, 0), (1, 0), (0.5, 1)])
    script = session.script()
    assert script.dump().count("data:image/png;base64,") == 2
    again = EditSession.run(script, FakeModel(), tmp_path, batch_plan="canonical")
    assert again.history == session.history
    assert torch.equal(latents(again), latents(session))
    batch = begin(FakeModel(), seed=[1, 2])
    batch.add("hat", warmup=1, mask=np.stack([left(), left()]))
    with pytest.raises(ScriptError, match="the mask of 'hat' has a picture for each image"):
        batch.script()


def test_scripts_read_masks_in_their_own_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(left()).save(folder / "left.png")
    Image.fromarray(left()).save(tmp_path / "out.png")
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    scene = '{"prompt": "a cat", "num_inference_steps": 8}'

    def run(mask: str) -> EditSession:
        operation = f'{{"op": "add", "prompt": "hat", "mask": "{mask}"}}'
        path = folder / "script.json"
        path.write_text(f'{{"format_version": 3, "scene": {scene}, "operations": [{operation}]}}')
        return EditSession.run(path, FakeModel(), tmp_path)

    assert run("left.png")["hat"].mask == Mask(run("left.png")["hat"].mask.digest, 0.5)  # type: ignore[union-attr]
    for wrong, message in (
        ("../out.png", "mask is '../out.png'; allowed: a relative path"),
        ("link.png", "leads out of"),
        ("none.png", "allowed: an image file"),
        ("data:text/html,hi", "allowed: a relative path"),
    ):
        with pytest.raises(ScriptError, match=message):
            run(wrong)


# What people draw with.


def test_a_mask_is_read_from_anything_that_shows_one(tmp_path: Path) -> None:
    half = left()
    Image.fromarray(half).save(tmp_path / "a.png")
    Image.fromarray(half).convert("RGB").save(tmp_path / "a.jpg", quality=100)
    text = io.BytesIO()
    Image.fromarray(half).save(text, "PNG")
    sources = (
        LEFT,
        [*LEFT],
        [(0, 0), (0.5, 0), (0.5, 1), (0, 1)],
        half,
        half > 0,
        half / 255,
        torch.from_numpy(half),
        torch.from_numpy(half / 255).half(),
        half[None],
        Image.fromarray(half),
        Image.fromarray(half).convert("RGB"),
        Image.fromarray(half).convert("1"),
        Image.fromarray(half.astype(np.uint16) * 257),
        [Image.fromarray(half)],
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        "data:image/png;base64," + base64.b64encode(text.getvalue()).decode(),
    )
    for source in sources:
        found = read_mask(source, 16, 16, 1)
        assert found.shape == (1, 16, 16)
        assert np.array_equal(found[0], half), source
    assert np.abs(read_mask(tmp_path / "a.jpg", 16, 16, 1)[0].astype(int) - half).max() < 9


def test_sizes_are_averaged_and_soft_values_stay() -> None:
    fine = np.zeros((64, 32))
    fine[:, :10] = 0.5
    found = read_mask(fine, 16, 16, 1)[0]
    assert found[:, :5].tolist() == [[128] * 5] * 16
    assert not found[:, 5:].any()
    coarse = read_mask(np.array([[0.0, 1.0]]), 16, 16, 1)[0]
    assert (np.diff(coarse[0].astype(int)) >= 0).all()
    triangle = read_mask([(0, 0), (1, 0), (0, 1)], 64, 64, 1)[0]
    assert 0.49 < triangle.mean() / 255 < 0.52
    assert len(np.unique(triangle)) > 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.full((4, 4), np.nan), "mask is 'nan to nan'; allowed: numbers from 0 to 1"),
        (np.full((4, 4), 7.0), "mask is '7 to 7'; .* Divide 8-bit values by 255"),
        (np.zeros((4, 4), np.int64), "type of the mask is"),
        (np.zeros(4), r"shape of the mask is \(4,\); allowed: \(height, width\)"),
        (np.zeros((2, 2, 2, 2)), "shape of the mask is"),
        (np.zeros((3, 4, 4)), "the number of masks is 3; allowed: 1, or one for each of the 2"),
        (Image.new("RGBA", (4, 4)), r"mode of the mask is 'RGBA'; .*image.getchannel"),
        (Image.new("CMYK", (4, 4)), "mode of the mask is 'CMYK'"),
        ((0, 0, 2, 1), "allowed: fractions of the image, 0 to 1. Divide pixels by"),
        ([(0, 0), (1, 1), (0.5, float("nan"))], "allowed: fractions of the image"),
        ([(0, 0), (1, 1)], "allowed: a picture, an array, a path, a box or a polygon"),
        ([], "allowed: a picture"),
        (object(), "allowed: a picture"),
        ("none.png", "allowed: an image file"),
        ("data:image/png;base64,!!", "allowed: a PNG file in base64"),
        ("data:image/png;base64,aGk=", "allowed: a PNG file in base64"),
    ],
)
def test_what_is_no_mask_is_refused(source: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        read_mask(source, 16, 16, 2)


def test_large_pictures_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (20_000, 1)).save(path)
    with pytest.raises(InvalidValueError, match=r"size of the mask is \(20000, 1\); allowed: 1 to"):
        read_mask(path, 16, 16, 1)
