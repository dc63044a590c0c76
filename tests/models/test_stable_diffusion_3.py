"""Stable Diffusion 3: against its pipeline in diffusers, and against SEGA's equations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from sega_session import EditSession
from sega_session.errors import (
    InvalidValueError,
    ModelChangedError,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
)
from sega_session.models import as_model, glance, identify
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.stable_diffusion_3 import WIDTH, tiny_stable_diffusion_3

PROMPT, STEPS = "a red cat", 6

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Relative differences that rounding explains."""


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion_3()


def begin(pipeline: Any, **settings: Any) -> EditSession:
    return EditSession(pipeline, PROMPT, **{"seed": 3, "num_inference_steps": STEPS, **settings})


def latents(session: EditSession) -> Tensor:
    return session.render(output_type="latent").latents


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= TOLERANCE[found.dtype] * expected.abs().max()


def embeddings(pipeline: Any, text: str) -> tuple[Tensor, Tensor]:
    """Return a text's embeddings and its pooled ones."""
    with torch.no_grad():
        found = pipeline.encode_prompt(text, None, None, do_classifier_free_guidance=False)
    return found[0], found[2]


# The image without edits.

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two seeds": {"seed": [3, 8]},
    "not square": {"height": 16, "width": 24},
    "the largest": {"height": 48, "width": 8},
    "negative prompt": {"negative_prompt": "blurry"},
    "no guidance": {"guidance_scale": 1},
    "clip skip": {"clip_skip": 2, "negative_prompt": "blurry"},
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("t5", [True, False], ids=["T5", "no T5"])
@pytest.mark.parametrize("name", SETTINGS)
def test_an_image_is_that_of_the_pipeline(name: str, t5: bool, dtype: torch.dtype) -> None:
    pipeline = tiny_stable_diffusion_3(dtype=dtype, t5=t5)
    settings = SETTINGS[name]
    render = begin(pipeline, **settings).render(output_type="pt")
    arguments = {key: value for key, value in settings.items() if key != "seed"}
    seeds = settings.get("seed", [3])

    def expected(output_type: str) -> Tensor:
        images: Tensor = pipeline(
            PROMPT,
            num_inference_steps=STEPS,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type=output_type,
            **arguments,
        ).images
        return images

    assert_close(render.latents, expected("latent"))
    assert_close(torch.as_tensor(render.images), expected("pt"))


def test_the_schedule_shifts_with_the_size() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_image_seq_len=4, max_image_seq_len=64, max_shift=3.0
    )
    pipeline = tiny_stable_diffusion_3(scheduler=scheduler)
    for height, width in ((16, 16), (8, 24), (48, 40)):
        found = latents(begin(pipeline, height=height, width=width))
        expected = pipeline(
            PROMPT,
            height=height,
            width=width,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(3),
            output_type="latent",
        ).images
        assert_close(found, expected)


def test_each_image_of_a_batch_has_noise_of_its_own() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True)
    pipeline = tiny_stable_diffusion_3(scheduler=scheduler)
    found = latents(begin(pipeline, seed=[3, 8]))
    for row, seed in zip(found, (3, 8), strict=True):
        torch.manual_seed(seed)
        expected = pipeline(PROMPT, num_inference_steps=STEPS, output_type="latent").images
        assert_close(row[None], expected)


def test_defaults_are_those_of_the_pipeline(pipeline: Any) -> None:
    scene = EditSession(pipeline, PROMPT).scene
    assert (scene.height, scene.width) == (16, 16)
    assert (scene.num_inference_steps, scene.guidance_scale) == (28, 7.0)


# Concepts.


def expected_edit(pipeline: Any, guidance_scale: float) -> Tensor:
    """Return the latents that SEGA's equations give for the concepts of the test below.

    Everything is evaluated anew, one condition at a time, with velocities for ε.
    """
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(STEPS)
    texts = ("", PROMPT, "hat", "old", "young")
    encoded = {text: embeddings(pipeline, text) for text in texts}
    dtype = pipeline.transformer.dtype
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3), dtype=dtype)
    momentum = torch.zeros_like(x)
    for call, timestep in enumerate(scheduler.timesteps):
        v = {
            text: pipeline.transformer(
                x, encoder_hidden_states=e, pooled_projections=p, timestep=timestep[None]
            ).sample
            for text, (e, p) in encoded.items()
        }
        hat = masked((v["hat"] - v[""]) * 6, 0.8)
        age = masked((v["old"] - v["young"]) * -4, 0.5)
        # Both feed the momentum from the start; "hat" is warm from call 1, "old" from call 3.
        both = 1.0 * hat + 0.5 * age + 0.3 * momentum
        momentum = 0.6 * momentum + (1 - 0.6) * both
        gamma = (torch.zeros_like(x), hat, hat, both, both, both)[call]
        prompt = v[""] + guidance_scale * (v[PROMPT] - v[""]) if guidance_scale > 1 else v[PROMPT]
        x = scheduler.step(prompt + gamma, timestep, x).prev_sample
    return x


def masked(direction: Tensor, threshold: float) -> Tensor:
    """Return a direction where its magnitude reaches its channel's quantile, elsewhere 0."""
    size = direction.abs()
    quantile = size.flatten(2).float().quantile(threshold, dim=2).to(size.dtype)
    return direction * (size >= quantile[:, :, None, None])


@torch.no_grad()
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_concepts_follow_the_equations(guidance_scale: float, dtype: torch.dtype) -> None:
    pipeline = tiny_stable_diffusion_3(dtype=dtype)
    session = begin(pipeline, guidance_scale=guidance_scale)
    session.momentum(scale=0.3, beta=0.6)
    session.add("hat", scale=6, threshold=0.8, warmup=1)
    before = latents(session)
    session.add(
        "old", opposite="young", scale=4, threshold=0.5, warmup=3, weight=0.5, inverted=True
    )
    found = latents(session)
    assert_close(found, expected_edit(pipeline, guidance_scale))
    assert not torch.allclose(found, before, rtol=1e-3)


# Texts.


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What transformers and diffusers log."""
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    for logger in loggers:
        logger.addHandler(caplog.handler)
    yield caplog
    for logger in loggers:
        logger.removeHandler(caplog.handler)


def test_a_text_that_t5_reads_is_not_cut(logged: pytest.LogCaptureFixture) -> None:
    pipeline = tiny_stable_diffusion_3()
    # CLIP reads 16 tokens here, T5 256. Warnings are errors in tests.
    EditSession(pipeline, "a" * 255, negative_prompt="b" * 20).add("c" * 30)
    assert not logged.records
    with pytest.warns(PromptTruncatedWarning, match=r"reads 256 tokens; .*: 'yz'\."):
        EditSession(pipeline, "a" * 255 + "yz")
    assert not logged.records
    # The command line's tests may have turned them off for this process.
    diffusers.logging.set_verbosity_warning()
    pipeline.encode_prompt("a" * 20, None, None)
    assert "truncated because CLIP" in logged.text


def test_without_t5_the_limit_is_that_of_clip(logged: pytest.LogCaptureFixture) -> None:
    pipeline = tiny_stable_diffusion_3(t5=False)
    EditSession(pipeline, "a" * 14)
    with pytest.warns(PromptTruncatedWarning, match=r"reads 16 tokens; .*: 'yz'\."):
        EditSession(pipeline, "a" * 14 + "yz")
    assert not logged.records


@pytest.mark.parametrize("clip_skip", [3, 12])
def test_layers_that_clip_does_not_have_are_refused(pipeline: Any, clip_skip: int) -> None:
    with pytest.raises(InvalidValueError, match=f"clip_skip is {clip_skip}; .* 1 to 2"):
        begin(pipeline, clip_skip=clip_skip)


def test_embeddings_do_what_their_texts_do(pipeline: Any, tmp_path: Path) -> None:
    (prompt, pooled), (negative, pooled_negative), (hat, pooled_hat) = (
        embeddings(pipeline, text) for text in (PROMPT, "blurry", "hat")
    )
    session = begin(
        pipeline,
        prompt_embeds=prompt,
        pooled_prompt_embeds=pooled,
        negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=pooled_negative,
        batch_plan="canonical",
    )
    session.add(name="hat", prompt_embeds=hat[0], pooled_prompt_embeds=pooled_hat)
    words = begin(pipeline, negative_prompt="blurry", batch_plan="canonical")
    words.add("hat")
    assert torch.equal(latents(session), latents(words))
    path = tmp_path / "pooled.safetensors"
    for include in ("all", "state"):
        session.save(path, include=include)
        loaded = EditSession.load(path, pipeline)
        render = loaded.render(output_type="latent")
        assert (render.evaluations == 0) == (include == "all")
        assert torch.equal(render.latents, latents(words))


def test_embeddings_of_another_shape_are_refused(pipeline: Any) -> None:
    prompt, pooled = embeddings(pipeline, PROMPT)
    shape = f"(272, {WIDTH})"
    with pytest.raises(InvalidValueError, match="shape of prompt_embeds is") as caught:
        begin(pipeline, prompt_embeds=prompt[:, :-1], pooled_prompt_embeds=pooled)
    assert shape in str(caught.value)
    with pytest.raises(InvalidValueError, match="shape of pooled_prompt_embeds is 'NoneType'"):
        begin(pipeline, prompt_embeds=prompt)
    with pytest.raises(InvalidValueError, match=r"shape of pooled_prompt_embeds is \(1, 15\)"):
        begin(pipeline, prompt_embeds=prompt, pooled_prompt_embeds=pooled[:, :-1])


# The pipeline.


@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        ((18, 16), "height is 18; allowed: a multiple of 4 pixels"),
        ((16, 2), "width is 2; .*The smallest is 4"),
        ((16, 52), "width is 52; allowed: at most 48 pixels"),
    ],
)
def test_sizes_that_the_transformer_cannot_render_are_refused(
    pipeline: Any, size: tuple[int, int], allowed: str
) -> None:
    with pytest.raises(InvalidValueError, match=allowed):
        begin(pipeline, height=size[0], width=size[1])


@pytest.mark.parametrize("t5", [True, False])
def test_a_session_leaves_the_pipeline_as_it_was(t5: bool) -> None:
    pipeline = tiny_stable_diffusion_3(t5=t5)
    model = as_model(pipeline)
    before, identity, parts = glance(model), identify(model), pipeline.components
    session = begin(pipeline, clip_skip=1)
    session.add("hat")
    session.render()
    assert glance(model) == before
    assert identify(model) == identity
    assert pipeline.components == parts
    assert ("text_encoder_3" in identity.components) == t5


def test_a_changed_part_changes_the_identity() -> None:
    pipeline = tiny_stable_diffusion_3()
    known = identify(as_model(pipeline)).components
    assert identify(as_model(tiny_stable_diffusion_3())).components == known
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"):
        with torch.no_grad():
            next(getattr(pipeline, name).parameters()).add_(1)
        now = identify(as_model(pipeline)).components
        assert {part for part in known if now[part] != known[part]} == {name}
        known = now
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        getattr(pipeline, name).add_tokens(["hat"])
        now = identify(as_model(pipeline)).components
        assert {part for part in known if now[part] != known[part]} == {name}
        known = now


def test_t5_that_is_taken_away_is_noticed() -> None:
    pipeline = tiny_stable_diffusion_3()
    session = begin(pipeline)
    pipeline.text_encoder_3 = None
    with pytest.raises(ModelChangedError, match="text_encoder_3: removed"):
        session.render()
    session.refresh_model()
    assert torch.equal(latents(session), latents(begin(tiny_stable_diffusion_3(t5=False))))


def test_pipelines_that_are_not_supported() -> None:
    pipeline = tiny_stable_diffusion_3()
    pipeline.tokenizer_3 = None
    with pytest.raises(UnsupportedPipelineError, match="tokenizer_3 is None"):
        as_model(pipeline)
    pipeline = tiny_stable_diffusion_3()
    pipeline.text_encoder = None
    with pytest.raises(UnsupportedPipelineError, match="text_encoder is None"):
        as_model(pipeline)
    pipeline = tiny_stable_diffusion_3()
    pipeline.vae = tiny_stable_diffusion().vae
    with pytest.raises(UnsupportedPipelineError, match=r"takes 16 channels .* the VAE has 4"):
        as_model(pipeline)
    pipeline = tiny_stable_diffusion_3()
    pipeline.transformer.image_proj = torch.nn.Linear(1, 1)
    with pytest.raises(UnsupportedPipelineError, match="has an IP adapter"):
        as_model(pipeline)
    # As unload_ip_adapter leaves it.
    pipeline.transformer.image_proj = None
    as_model(pipeline)
