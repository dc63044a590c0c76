"""Z-Image: latents and images equal the pipeline's own, and concepts the equations'."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.z_image.pipeline_z_image import calculate_shift
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.errors import (
    InvalidValueError,
    ModelChangedError,
    NoEffectWarning,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
)
from sega_session.models import as_model, component_digests
from tests.support.flow import Direction, check_close, denoise, generators, noise
from tests.support.flux import tiny_flux
from tests.support.z_image import SIZE, TOKENS, WIDTH, tiny_z_image

PROMPT, SEEDS, STEPS = "a cat", [3, 4], 4
SHAPE = (4, 16, 24)


def own(pipeline: Any, output_type: str = "latent", **arguments: Any) -> Any:
    """Return the latents or images of the pipeline's own call."""
    settings = {"num_inference_steps": STEPS, "num_images_per_prompt": len(SEEDS), **SIZE}
    return pipeline(
        PROMPT,
        generator=generators(SEEDS),
        output_type=output_type,
        **(settings | arguments),
    ).images


def make(pipeline: Any, **arguments: Any) -> EditSession:
    settings: dict[str, Any] = {"seed": SEEDS, "num_inference_steps": STEPS, **SIZE}
    return EditSession(pipeline, PROMPT, **(settings | arguments))


def base_latents(pipeline: Any, **arguments: Any) -> Tensor:
    return make(pipeline, **arguments).render(output_type="latent").latents


# Without concepts: the pipeline's own.


# With a float64 transformer the pipeline's latents are float32 too.
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("guidance_scale", [0.0, 0.5, 1.0, 5.0])
def test_latents_without_concepts_are_the_pipelines_own(
    dtype: torch.dtype, guidance_scale: float
) -> None:
    pipeline = tiny_z_image(dtype=dtype)
    expected = own(pipeline, guidance_scale=guidance_scale)
    assert expected.isfinite().all()
    found = base_latents(pipeline, guidance_scale=guidance_scale)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_the_guidance_is_the_text_predictions_and_more() -> None:
    pipeline = tiny_z_image()
    off, on = (base_latents(pipeline, guidance_scale=scale) for scale in (0.0, 0.5))
    assert (on - off).abs().max() > 1e-3


def test_the_negative_prompt_is_the_pipelines() -> None:
    pipeline = tiny_z_image()
    found = base_latents(pipeline, negative_prompt="blurry")
    check_close(found, own(pipeline, negative_prompt="blurry"))
    assert not torch.equal(found, base_latents(pipeline))


@pytest.mark.parametrize("size", [(16, 16), (48, 16), (20, 40)])
def test_any_size(size: tuple[int, int]) -> None:
    pipeline, (height, width) = tiny_z_image(), size
    found = base_latents(pipeline, height=height, width=width)
    assert found.shape == (2, 4, height // 2, width // 2)
    assert torch.equal(found, own(pipeline, height=height, width=width))


SCHEDULERS = {
    "base": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=6.0),
    "dynamic": lambda: diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, max_shift=3.0, base_image_seq_len=16
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 9])
def test_schedulers_for_flow_matching(name: str, steps: int) -> None:
    pipeline = tiny_z_image(scheduler=SCHEDULERS[name]())
    found = base_latents(pipeline, num_inference_steps=steps)
    assert torch.equal(found, own(pipeline, num_inference_steps=steps))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_are_the_pipelines_own(dtype: torch.dtype) -> None:
    pipeline = tiny_z_image(dtype=dtype)
    found = make(pipeline).render(output_type="np").images
    assert np.array_equal(np.asarray(found), own(pipeline, "np"))


def test_the_defaults_are_the_pipelines() -> None:
    spec = as_model(tiny_z_image()).spec
    assert (spec.default_steps, spec.default_guidance_scale) == (50, 5.0)
    assert spec.default_size == (1024, 1024)
    assert not spec.distilled


# With concepts: the equations.


def predictor(pipeline: Any) -> Any:
    """Return a function from latents, timestep and text to the velocity, as the pipeline calls."""
    dtype = pipeline.transformer.dtype

    def predict(latents: Tensor, timestep: Tensor, text: str) -> Tensor:
        embeds = pipeline.encode_prompt(text, do_classifier_free_guidance=False)[0]
        found = pipeline.transformer(
            [one[:, None] for one in latents.to(dtype)],
            (1000 - timestep.expand(len(latents))) / 1000,
            embeds * len(latents),
            return_dict=False,
        )[0]
        return -torch.stack([one.float() for one in found]).squeeze(2)

    return predict


def expected_latents(
    pipeline: Any,
    guidance_scale: float,
    directions: list[Direction],
    momentum: tuple[float, float],
    negative: str = "",
) -> Tensor:
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(
        sigmas=torch.linspace(1.0, 1 / STEPS, STEPS).tolist(),
        mu=calculate_shift(SHAPE[1] * SHAPE[2] // 4),
    )
    return denoise(
        scheduler,
        noise(SEEDS, SHAPE, torch.float32),
        predictor(pipeline),
        lambda found: found[PROMPT] + guidance_scale * (found[PROMPT] - found[negative]),
        [PROMPT, negative],
        directions,
        momentum,
    )


# Each text in a batch of its own: see tests/models/test_flux.py.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("guidance_scale", "negative"), [(0.0, ""), (0.5, ""), (5.0, ""), (5.0, "blurry")]
)
def test_concepts_are_measured_against_the_unconditional_prediction(
    dtype: torch.dtype, guidance_scale: float, negative: str
) -> None:
    pipeline = tiny_z_image(dtype=dtype)
    expected = expected_latents(
        pipeline,
        guidance_scale,
        [
            Direction("hat", negative, 6.0, 0.8, warmup=1, weight=0.7),
            Direction("a very long beard, grey and not combed", negative, -3.0, 0.5, 2, 1.5),
        ],
        (0.3, 0.6),
        negative,
    )
    session = make(
        pipeline,
        guidance_scale=guidance_scale,
        negative_prompt=negative,
        batch_plan="canonical",
    )
    session.momentum(scale=0.3, beta=0.6)
    session.add("hat", scale=6, threshold=0.8, warmup=1, weight=0.7)
    session.add(
        "a very long beard, grey and not combed",
        scale=3,
        threshold=0.5,
        warmup=2,
        weight=1.5,
        inverted=True,
    )
    found = session.render(output_type="latent").latents
    check_close(found, expected)
    base = base_latents(pipeline, guidance_scale=guidance_scale, negative_prompt=negative)
    assert (found - base).abs().max() > 1e-3


@pytest.mark.parametrize("guidance_scale", [0.0, 5.0])
def test_an_opposite_is_what_a_concept_is_measured_against(guidance_scale: float) -> None:
    pipeline = tiny_z_image()
    direction = Direction("old", "young", 4.0, 0.75)
    expected = expected_latents(pipeline, guidance_scale, [direction], (0.0, 0.0))
    session = make(pipeline, guidance_scale=guidance_scale, batch_plan="canonical")
    session.momentum(scale=0)
    session.add("old", opposite="young", scale=4, threshold=0.75, warmup=0)
    render = session.render(output_type="latent")
    check_close(render.latents, expected)
    conditions = 3 if guidance_scale == 0 else 4
    assert render.evaluations == conditions * STEPS * len(SEEDS)


def test_one_batch_of_texts_of_different_lengths_agrees_with_one_by_one() -> None:
    pipeline = tiny_z_image()
    found = []
    for batch_plan in ("together", "canonical"):
        session = make(pipeline, batch_plan=batch_plan)
        # Nothing is masked, so no entry can move over a quantile.
        session.add("a word " * 20, warmup=0, threshold=0)
        found.append(session.render(output_type="latent").latents)
    check_close(*found)


# What a session does with it.


@contextmanager
def counted_rows(pipeline: Any) -> Iterator[list[int]]:
    """Yield a list to which each call of the transformer adds its rows."""
    rows: list[int] = []
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda _, arguments: rows.append(len(arguments[0]))
    )
    try:
        yield rows
    finally:
        hook.remove()


@pytest.mark.parametrize("batch_plan", ["together", "canonical"])
@pytest.mark.parametrize("guidance_scale", [0.0, 0.5, 5.0])
@pytest.mark.parametrize(
    "mode", ["exact", "replay", "preview", anchored(every=2), anchored(tolerance=0.05)]
)
def test_modes_evaluate_what_was_planned(mode: Any, guidance_scale: float, batch_plan: Any) -> None:
    pipeline = tiny_z_image()
    session = make(
        pipeline, num_inference_steps=8, guidance_scale=guidance_scale, batch_plan=batch_plan
    )
    with counted_rows(pipeline) as rows:
        first = session.render(output_type="latent")
        assert first.evaluations == sum(rows) == 8 * 2 * (1 if guidance_scale == 0 else 2)
        session.add("hat", warmup=1)
        session.add("old", opposite="young", warmup=2)
        session.render(output_type="latent")
        session.reweight("hat", 7)
        planned, before = session.plan(mode), sum(rows)
        render = session.render(mode, output_type="latent")
    assert render.evaluations == sum(rows) - before
    if mode == anchored(tolerance=0.05):
        assert render.evaluations <= planned
    else:
        assert render.evaluations == planned
    assert render.latents.isfinite().all()


@pytest.mark.parametrize("guidance_scale", [0.0, 5.0])
def test_an_edit_evaluated_exactly_is_the_cold_render_to_the_bit(guidance_scale: float) -> None:
    pipeline = tiny_z_image(dtype=torch.bfloat16)
    session = make(pipeline, guidance_scale=guidance_scale, batch_plan="canonical")
    session.render(output_type="latent")
    session.add("hat", warmup=1)
    session.render(output_type="latent")
    session.add("old", opposite="young", warmup=2)
    session.render("replay", output_type="latent")
    session.reweight("hat", 9)
    warm = session.render("exact", output_type="latent")
    cold = make(pipeline, guidance_scale=guidance_scale, batch_plan="canonical")
    cold.add("hat", warmup=1, scale=9)
    cold.add("old", opposite="young", warmup=2)
    rendered = cold.render(output_type="latent")
    assert torch.equal(warm.latents, rendered.latents)
    assert warm.evaluations < rendered.evaluations


def embeddings(pipeline: Any, text: str) -> Any:
    with torch.no_grad():
        (embeds,), _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    return embeds


def test_embeddings_take_the_place_of_words() -> None:
    pipeline = tiny_z_image(dtype=torch.bfloat16)
    by_words = make(pipeline, negative_prompt="blurry")
    by_words.add("hat", warmup=1)
    session = make(
        pipeline,
        prompt_embeds=embeddings(pipeline, PROMPT),
        negative_prompt_embeds=embeddings(pipeline, "blurry")[None],
    )
    session.add(name="hat", warmup=1, prompt_embeds=embeddings(pipeline, "hat"))
    expected = by_words.render(output_type="latent").latents
    assert torch.equal(session.render(output_type="latent").latents, expected)


def test_each_seed_can_have_embeddings_of_its_own() -> None:
    pipeline = tiny_z_image()
    words = [embeddings(pipeline, text) for text in ("hat", "cap")]
    session = make(pipeline)
    session.add(name="its own", warmup=0, threshold=0, prompt_embeds=torch.stack(words))
    found = session.render(output_type="latent").latents
    for index, text in enumerate(("hat", "cap")):
        alone = make(pipeline, seed=SEEDS[index])
        alone.add(text, warmup=0, threshold=0)
        check_close(found[index : index + 1], alone.render(output_type="latent").latents)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt_embeds": torch.zeros(3)}, r"is \(3,\); allowed: \(1, 32\) or \(1, 1, 32\)"),
        ({"prompt_embeds": torch.zeros(9, WIDTH + 1)}, r"\(9, 33\); allowed: \(9, 32\)"),
        ({"prompt_embeds": torch.zeros(3, 9, WIDTH)}, r"\(3, 9, 32\); allowed: \(9, 32\)"),
        ({"prompt_embeds": torch.zeros(TOKENS + 1, WIDTH)}, r"\(513, 32\); allowed: \(512, 32\)"),
        ({"prompt_embeds": torch.zeros(0, WIDTH)}, r"\(0, 32\); allowed: \(1, 32\)"),
        (
            {"prompt_embeds": torch.zeros(9, WIDTH), "pooled_prompt_embeds": torch.zeros(1, 8)},
            "pooled_prompt_embeds is 'a tensor'; allowed: None with this model",
        ),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make(tiny_z_image(), **given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_session_continues_with_the_same_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    pipeline = tiny_z_image(dtype=dtype)
    given = embeddings(pipeline, PROMPT)
    session = make(pipeline, batch_plan="canonical", prompt_embeds=given)
    session.add(name="hat", warmup=1, prompt_embeds=embeddings(pipeline, "a big hat"))
    session.add("old", opposite="young", warmup=1)
    render = session.render(output_type="latent")
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", tiny_z_image(dtype=dtype))
    again = loaded.render(output_type="latent")
    assert again.evaluations == 0
    assert torch.equal(again.latents, render.latents)
    for one in (session, loaded):
        one.reweight("hat", 2)
    edited = loaded.render(output_type="latent").latents
    assert torch.equal(edited, session.render(output_type="latent").latents)
    loaded.refresh_model()  # encodes and evaluates everything again
    assert torch.equal(loaded.render(output_type="latent").latents, edited)


# What it refuses, and what it says.


def test_sizes_are_multiples_of_the_patches() -> None:
    with pytest.raises(InvalidValueError, match="width is 18; allowed: a multiple of 4 pixels"):
        make(tiny_z_image(), width=18)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"clip_skip": 1}, "clip_skip is 1; allowed: None with this model"),
        ({"guidance_rescale": 0.7}, r"guidance_rescale is 0\.7; allowed: 0 with this model"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"prompt_embeds": torch.zeros(9, WIDTH)}])
def test_settings_without_a_counterpart_are_refused(
    setting: dict[str, Any], message: str, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        make(tiny_z_image(), **setting, **given)


def test_the_end_of_a_prompt_that_is_cut_is_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = tiny_z_image()
    for library in ("diffusers", "transformers"):
        monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    # The template begins with 6 tokens and ends with 12.
    fits, longer = "a" * (TOKENS - 18), "a" * (TOKENS - 6)
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in ("", fits, longer):
            EditSession(pipeline, text, **SIZE)
        with pytest.warns(PromptTruncatedWarning, match="reads 512 tokens;.* no effect: 'the end'"):
            EditSession(pipeline, f"{longer} the end", **SIZE)
    assert not caplog.records


def test_a_template_that_strips_the_prompt() -> None:
    pipeline = tiny_z_image()
    template = pipeline.tokenizer.chat_template
    pipeline.tokenizer.chat_template = template.replace("content }}", "content | trim }}")
    with pytest.warns(PromptTruncatedWarning, match="no effect: 'the end'"):
        EditSession(pipeline, f"  {'a' * (TOKENS - 6)} the end  ", **SIZE)


def broken(**changes: Any) -> Any:
    pipeline = tiny_z_image()
    for name, value in changes.items():
        setattr(pipeline, name, value)
    return pipeline


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "another VAE": (
        lambda: broken(vae=tiny_flux(vae_channels=8).vae),
        "takes 4 channels and gives 4; allowed: 8 and 8",
    ),
    "Omni": (lambda: tiny_z_image(siglip_feat_dim=8), "takes features of images"),
    "no text encoder": (lambda: broken(text_encoder=None), "text_encoder is None"),
    "noise": (lambda: broken(scheduler=diffusers.DDIMScheduler()), "is not for flow matching"),
    "meta": (lambda: broken(transformer=tiny_z_image().transformer.to("meta")), "meta device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pipeline_is_refused_with_the_reason(name: str) -> None:
    make_pipeline, message = REFUSED[name]
    with pytest.raises(UnsupportedPipelineError, match=message):
        as_model(make_pipeline())


def test_every_component_is_part_of_the_model() -> None:
    digests = component_digests(as_model(tiny_z_image()).components())
    other = component_digests(as_model(tiny_z_image(seed=1)).components())
    networks = {"transformer", "vae", "text_encoder"}
    assert set(digests) == networks | {"tokenizer", "scheduler"}
    assert {name for name in digests if digests[name] != other[name]} == networks


def test_another_chat_template_is_another_model() -> None:
    pipeline = tiny_z_image()
    before = component_digests(as_model(pipeline).components())
    session = make(pipeline)
    pipeline.tokenizer.chat_template = pipeline.tokenizer.chat_template.replace("user", "author")
    pipeline.tokenizer.chat_template += " "
    with pytest.raises(ModelChangedError, match="tokenizer: chat_template changed"):
        session.add("hat")
    after = component_digests(as_model(pipeline).components())
    assert {name for name in before if before[name] != after[name]} == {"tokenizer"}


def test_eta_has_no_effect() -> None:
    with pytest.warns(NoEffectWarning, match="eta=0.5 has no effect"):
        make(tiny_z_image(), eta=0.5)


WITHOUT = """
import diffusers

library = type(diffusers)
found = library.__getattr__


def without(self, name):
    if name == "ZImagePipeline":
        raise AttributeError(name)
    return found(self, name)


library.__getattr__ = without
from sega_session.models import as_model

print([one.__name__ for one in as_model.registry])
"""


def test_the_other_families_do_not_need_it() -> None:
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "'FluxPipeline'" in done.stdout
    assert "ZImagePipeline" not in done.stdout


def test_a_render_says_that_concepts_are_measured_against_the_unconditional() -> None:
    assert make(tiny_z_image()).render().measured_against == "unconditional"
