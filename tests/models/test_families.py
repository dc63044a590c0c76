"""Everything a session does, for every family."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sega_widgets import RenderWorker
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.errors import InvalidValueError, ModelChangedError
from sega_session.models import as_model
from tests.support.families import FAMILIES, STEPS, Family, own_latents, size_of

WORDS = ("hat", "cap", "bow")

pytestmark = pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


@pytest.fixture
def pipeline(family: Family) -> Any:
    return pipeline_of(family)


@cache
def pipeline_of(family: Family, dtype: torch.dtype = torch.float32) -> Any:
    return family.build(dtype=dtype)


def begin(pipeline: Any, seed: Any = 1, **arguments: Any) -> EditSession:
    height, width = size_of(pipeline) or (None, None)
    settings: dict[str, Any] = {"height": height, "width": width, **arguments}
    return EditSession(pipeline, "a cat", seed=seed, num_inference_steps=STEPS, **settings)


def latents(session: EditSession, mode: Any = "exact") -> Tensor:
    return session.render(mode, output_type="latent").latents


def edit(session: EditSession, dice: random.Random) -> None:
    """Make a random edit."""
    word = dice.choice(WORDS)
    kind = dice.choice(("change", "change", "remove", "undo", "momentum"))
    if word not in session:
        opposite = dice.choice((None, None, "a dog"))
        session.add(word, scale=dice.uniform(1, 6), warmup=dice.randrange(4), opposite=opposite)
    elif kind == "remove":
        session.remove(word)
    elif kind == "undo" and session.history.current:
        session.undo()
    elif kind == "momentum":
        session.momentum(scale=dice.choice((0.0, 0.2)))
    else:
        change = {"scale": dice.uniform(1, 6), "inverted": dice.random() < 0.4}
        session.update(word, **change, threshold=dice.choice((0.5, 0.9)))


@pytest.fixture
def rows(pipeline: Any) -> Iterator[list[int]]:
    """Return a list that grows by the rows of every call of the pipeline's denoiser."""
    found: list[int] = []

    def count(_: Any, args: Any, kwargs: Any) -> None:
        sample = args[0] if args else kwargs.get("hidden_states", kwargs.get("sample"))
        found.append(len(sample))

    handle = denoiser(pipeline).register_forward_pre_hook(count, with_kwargs=True)
    yield found
    handle.remove()


def denoiser(pipeline: Any) -> Any:
    return getattr(pipeline, "unet", None) or pipeline.transformer


# The base image, as the family's own pipeline renders it.


@pytest.mark.feature("a session", "base image as the pipeline's own, float32")
def test_the_base_is_the_pipelines(family: Family, pipeline: Any) -> None:
    session = begin(pipeline, seed=[3, 4])
    theirs = own_latents(family, pipeline, "a cat", (3, 4), session.size)
    assert_near(latents(session), theirs, 1e-5)


@pytest.mark.feature("a session", "base image as the pipeline's own, float64")
def test_the_base_is_the_pipelines_in_float64(family: Family) -> None:
    if not family.in_float64:
        pytest.skip("the pipeline does not run in float64")
    pipeline = pipeline_of(family, torch.float64)
    session = begin(pipeline)
    theirs = own_latents(family, pipeline, "a cat", (1,), session.size)
    assert_near(latents(session), theirs, 1e-10)


@pytest.mark.feature("a session", "other sizes")
def test_other_sizes(family: Family, pipeline: Any) -> None:
    height, width = begin(pipeline).size
    size = (height, 2 * width)
    session = begin(pipeline, height=size[0], width=size[1])
    assert_near(latents(session), own_latents(family, pipeline, "a cat", (1,), size), 1e-5)
    assert session.render().image.size == size[::-1]
    with pytest.raises(InvalidValueError, match="height is 17; allowed: a multiple of"):
        begin(pipeline, height=17)


@pytest.mark.feature("a session", "photographs (`from_photo`), reproduced to the bit")
def test_photographs(pipeline: Any) -> None:
    height, width = begin(pipeline).size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    tensor = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float() / 255
    model = as_model(pipeline)
    with torch.no_grad():
        encoded = model.encode_image(tensor)
        decoded = torch.as_tensor(model.decode(encoded, "pt").images)

    def photographed(**arguments: Any) -> EditSession:
        settings = {"height": height, "width": width, "num_inference_steps": STEPS, **arguments}
        return EditSession.from_photo(pixels, pipeline, batch_plan="canonical", **settings)

    session = photographed()
    assert session.plan() == 0
    render = session.render(output_type="pt")
    assert (render.evaluations, render.mode, render.exact) == (0, "exact", True)
    assert torch.equal(render.latents, encoded)
    assert torch.equal(torch.as_tensor(render.images), decoded)
    # An edit leads elsewhere, and its removal back.
    session.add("hat", scale=9, warmup=2)
    edited = latents(session)
    assert not torch.equal(edited, encoded)
    session.undo()
    assert torch.equal(latents(session), encoded)
    # A session that records nothing arrives at the same bits.
    forgetful = photographed(cache_bytes=0)
    assert forgetful.render().evaluations == 0
    forgetful.add("hat", scale=9, warmup=2)
    assert torch.equal(latents(forgetful), edited)


@pytest.mark.feature("a session", "negative prompt")
def test_negative_prompts(family: Family, pipeline: Any) -> None:
    session = begin(pipeline)
    if session.render().measured_against == "prompt":
        with pytest.raises(InvalidValueError, match="negative_prompt is 'a dog'; allowed: ''"):
            begin(pipeline, negative_prompt="a dog")
        pytest.skip("guidance-distilled: refused, with the reason")
    session = begin(pipeline, negative_prompt="a dog")
    theirs = own_latents(family, pipeline, "a cat", (1,), session.size, negative_prompt="a dog")
    assert_near(latents(session), theirs, 1e-5)


@pytest.mark.feature("a session", "no guidance (`guidance_scale=1`)")
def test_without_guidance(family: Family, pipeline: Any) -> None:
    session = begin(pipeline, guidance_scale=1)
    theirs = own_latents(family, pipeline, "a cat", (1,), session.size, guidance_scale=1)
    assert_near(latents(session), theirs, 1e-5)
    session.add("hat", warmup=1)
    assert not torch.equal(latents(session), theirs)


@pytest.mark.feature("a session", "`guidance_rescale`")
def test_guidance_rescale(family: Family, pipeline: Any) -> None:
    if "guidance_rescale" not in inspect.signature(type(pipeline).__call__).parameters:
        pytest.skip("the pipeline has no such setting")
    session = begin(pipeline, guidance_rescale=0.7)
    theirs = own_latents(family, pipeline, "a cat", (1,), session.size, guidance_rescale=0.7)
    assert_near(latents(session), theirs, 1e-5)


@pytest.mark.feature("a session", "`clip_skip`")
def test_clip_skip(family: Family, pipeline: Any) -> None:
    layers = family.clip_layers
    with pytest.raises(InvalidValueError, match=f"clip_skip is {layers + 1}; allowed: None"):
        begin(pipeline, clip_skip=layers + 1)
    if not layers:
        pytest.skip("the pipeline has no such setting")
    assert not torch.equal(latents(begin(pipeline, clip_skip=1)), latents(begin(pipeline)))


# Edits.


@pytest.mark.feature("a session", "exact renders after edits equal cold ones, to the bit")
def test_exact_renders_after_edits_equal_cold_ones(pipeline: Any) -> None:
    dice = random.Random(15)
    session = begin(pipeline, batch_plan="canonical")
    for _ in range(5):
        edit(session, dice)
        cold = begin(pipeline, batch_plan="canonical")
        expected = cold.render(state=session.state, output_type="latent")
        found = session.render(output_type="latent")
        assert torch.equal(found.latents, expected.latents)
        assert found.evaluations <= expected.evaluations


@pytest.mark.feature("a session", "every mode, evaluations as planned")
def test_what_is_planned_is_evaluated(pipeline: Any, rows: list[int]) -> None:
    session = begin(pipeline, seed=[1, 2])
    session.add("hat", warmup=1)
    session.add("cap", warmup=2, opposite="bow")
    for mode in ("exact", "preview", "replay", anchored(every=2), anchored(tolerance=0.1)):
        session.reweight("hat", scale=session["hat"].scale + 0.5)
        planned = session.plan(mode)
        rows.clear()
        render = session.render(mode, output_type="latent")
        assert render.latents.isfinite().all()
        assert sum(rows) == render.evaluations
        if mode == anchored(tolerance=0.1):
            assert render.evaluations <= planned
        else:
            assert render.evaluations == planned


@pytest.mark.feature("a session", "several seeds")
def test_several_seeds(pipeline: Any) -> None:
    batch = begin(pipeline, seed=[1, 2])
    batch.add("hat", warmup=1)
    for row, seed in enumerate((1, 2)):
        alone = begin(pipeline, seed=seed)
        alone.add("hat", warmup=1)
        assert_near(latents(batch)[row : row + 1], latents(alone), 1e-5)


@pytest.mark.feature("a session", "undo, redo, remove: nothing is evaluated again")
def test_what_was_rendered_is_not_evaluated_again(pipeline: Any) -> None:
    session = begin(pipeline)
    base = latents(session)
    session.add("hat", warmup=1)
    edited = latents(session)
    assert not torch.equal(base, edited)
    for move, expected in (
        (session.undo, base),
        (session.redo, edited),
        (lambda: session.remove("hat"), base),
    ):
        move()
        render = session.render(output_type="latent")
        assert (render.evaluations, render.exact) == (0, True)
        assert torch.equal(render.latents, expected)


@pytest.mark.feature("a session", "inverted concepts and opposites")
def test_opposites(pipeline: Any) -> None:
    one, other = begin(pipeline), begin(pipeline)
    one.add("hat", warmup=1, opposite="cap", inverted=True)
    other.add("cap", warmup=1, opposite="hat")
    assert_near(latents(one), latents(other), 1e-5)
    inverted = begin(pipeline)
    inverted.add("hat", warmup=1, inverted=True)
    assert not torch.allclose(latents(inverted), latents(one))


@pytest.mark.feature("a session", "concepts and prompts as embeddings")
def test_embeddings(family: Family, pipeline: Any) -> None:
    arguments = embeddings_of(family, pipeline, "a cat")
    session = begin(pipeline, **arguments)
    assert_near(latents(session), latents(begin(pipeline)), 1e-5)
    add_embeddings(session, "itself", arguments)
    assert session.render(output_type="latent").latents.isfinite().all()
    wrong = {name: one[..., :-1] for name, one in arguments.items()}
    with pytest.raises(InvalidValueError, match=r"shape of (pooled_)?prompt_embeds is"):
        begin(pipeline, **wrong)


def add_embeddings(session: EditSession, name: str, embeddings: dict[str, Any]) -> None:
    session.add(name=name, warmup=2, opposite=session.prompt, **embeddings)


def embeddings_of(family: Family, pipeline: Any, prompt: str) -> dict[str, Tensor]:
    """Return what the pipeline's own ``encode_prompt`` returns, as a session's arguments."""
    offered: dict[str, Any] = {
        "prompt_2": None,
        "prompt_3": None,
        "device": "cpu",
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": False,
    }
    names = inspect.signature(pipeline.encode_prompt).parameters
    with torch.no_grad():
        embeds, *others = pipeline.encode_prompt(
            prompt, **{name: value for name, value in offered.items() if name in names}
        )
    # Z-Image returns a list, with the embeddings of each text.
    arguments: dict[str, Tensor] = {"prompt_embeds": embeds[0] if type(embeds) is list else embeds}
    if family.pooled:
        # The pooled ones come before or after the negative ones, which are None.
        arguments["pooled_prompt_embeds"] = next(one for one in others if one is not None)
    return arguments


# Files, scripts, the panel.


@pytest.mark.feature("a session", "save, load, autosave, recover")
def test_files(family: Family, pipeline: Any, tmp_path: Path) -> None:
    session = begin(pipeline, batch_plan="canonical")
    session.add("hat", warmup=1, opposite="cap")
    add_embeddings(session, "given", embeddings_of(family, pipeline, "bow"))
    expected = latents(session)
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", pipeline)
    render = loaded.render(output_type="latent")
    assert (render.evaluations, loaded.history) == (0, session.history)
    assert torch.equal(render.latents, expected)
    session.autosave(tmp_path / "b.safetensors")
    for one in (session, loaded):
        one.update("hat", scale=3, inverted=True)
    recovered = EditSession.recover(tmp_path / "b.safetensors", pipeline)
    assert torch.equal(latents(recovered), latents(session))
    assert torch.equal(latents(loaded), latents(session))


@pytest.mark.feature("a session", "scripts")
def test_scripts(pipeline: Any, tmp_path: Path) -> None:
    session = begin(pipeline, batch_plan="canonical")
    session.add("hat", warmup=1, opposite="cap")
    session.invert("hat")
    again = EditSession.run(session.script(), pipeline, tmp_path, batch_plan="canonical")
    assert again.history == session.history
    assert torch.equal(latents(again), latents(session))


@pytest.mark.feature("a session", "images that hold their scene")
def test_images(pipeline: Any, tmp_path: Path) -> None:
    session = begin(pipeline, batch_plan="canonical")
    session.add("hat", warmup=1, opposite="cap")
    [path] = session.render().save(tmp_path / "a.png")
    again = EditSession.from_image(path, pipeline, batch_plan="canonical")
    assert again.state == session.state
    assert torch.equal(latents(again), latents(session))


@pytest.mark.feature("a session", "the panel's worker")
def test_the_worker(pipeline: Any) -> None:
    session = begin(pipeline)
    session.render()
    session.add("hat", warmup=1)
    shown: list[Any] = []
    failed: list[object] = []
    with RenderWorker(
        session, show=shown.append, progress=lambda _: None, fail=failed.append
    ) as worker:
        worker.post()
        assert worker.wait(60)
    assert failed == []
    assert [render.mode for render in shown][-1] == "exact"
    assert torch.equal(shown[-1].latents, latents(session))


@pytest.mark.feature("a session", "a changed model is noticed")
def test_a_changed_model_is_noticed(family: Family) -> None:
    pipeline = family.build()
    session = begin(pipeline)
    session.add("hat", warmup=1)
    latents(session)
    with torch.no_grad():
        next(denoiser(pipeline).parameters()).mul_(1.5)
    with pytest.raises(ModelChangedError, match="changed in place"):
        session.render()
    session.refresh_model()
    fresh = begin(pipeline)
    fresh.add("hat", warmup=1)
    assert torch.equal(latents(session), latents(fresh))


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """Check that latents differ by less than a share of the largest."""
    assert found.shape == expected.shape
    off = float((found - expected).abs().max() / expected.abs().max())
    assert off < share, f"off by {off:.2g} of the largest latent"
