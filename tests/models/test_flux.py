"""FLUX.1: latents and images equal the pipeline's own, and concepts the equations'."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import diffusers
import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
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
from tests.support.flux import (
    POOLED_WIDTH,
    SIZE,
    T5_TOKENS,
    T5_WIDTH,
    flow_scheduler,
    tiny_flux,
)
from tests.support.pipelines import TOKENS, letter_tokenizer

pack = FluxPipeline._pack_latents  # noqa: SLF001 - the oracle
unpack = FluxPipeline._unpack_latents  # noqa: SLF001
image_ids = FluxPipeline._prepare_latent_image_ids  # noqa: SLF001

PROMPT, SEEDS, STEPS = "a cat", [3, 4], 4
SHAPE = (4, 16, 24)

# The loop evaluates each text in a batch of its own. Another batch rounds differently, which in
# float32 can move an entry over a quantile.
CASES = ((torch.float32, "canonical"), (torch.float64, "canonical"), (torch.float64, "together"))


def own_latents(pipeline: Any, **arguments: Any) -> Tensor:
    """Return the latents of the pipeline's own call, not packed."""
    settings = {"num_inference_steps": STEPS, "num_images_per_prompt": len(SEEDS), **SIZE}
    settings |= arguments
    packed = pipeline(PROMPT, generator=generators(SEEDS), output_type="latent", **settings).images
    size = settings["height"], settings["width"]
    latents: Tensor = unpack(packed, *size, pipeline.vae_scale_factor)
    return latents


def make(pipeline: Any, **arguments: Any) -> EditSession:
    settings: dict[str, Any] = {"seed": SEEDS, "num_inference_steps": STEPS, **SIZE}
    return EditSession(pipeline, PROMPT, **(settings | arguments))


def base_latents(pipeline: Any, **arguments: Any) -> Tensor:
    return make(pipeline, **arguments).render(output_type="latent").latents


# Without concepts: the pipeline's own.


@pytest.mark.parametrize("guidance_embeds", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_latents_without_concepts_are_the_pipelines_own(
    dtype: torch.dtype, guidance_embeds: bool
) -> None:
    pipeline = tiny_flux(dtype=dtype, guidance_embeds=guidance_embeds)
    expected = own_latents(pipeline)
    assert expected.isfinite().all()
    assert torch.equal(base_latents(pipeline), expected)


def test_timesteps_are_rounded_as_the_pipeline_rounds_them() -> None:
    pipeline = tiny_flux(dtype=torch.bfloat16)
    found = base_latents(pipeline, num_inference_steps=28)
    assert torch.equal(found, own_latents(pipeline, num_inference_steps=28))


def test_the_batch_of_one_image_per_seed_is_the_pipelines_too() -> None:
    pipeline = tiny_flux()
    together = base_latents(pipeline)
    for index, seed in enumerate(SEEDS):
        alone = base_latents(pipeline, seed=seed)
        check_close(alone, together[index : index + 1])


@pytest.mark.parametrize("size", [(16, 16), (48, 16), (20, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    pipeline, (height, width) = tiny_flux(), size
    found = base_latents(pipeline, height=height, width=width)
    assert found.shape == (2, 4, height // 2, width // 2)
    assert torch.equal(found, own_latents(pipeline, height=height, width=width))


@pytest.mark.parametrize("scale", [1.0, 3.5, 8.0])
def test_the_guidance_scale_is_an_input(scale: float) -> None:
    pipeline = tiny_flux()
    found = base_latents(pipeline, guidance_scale=scale)
    assert torch.equal(found, own_latents(pipeline, guidance_scale=scale))
    assert not torch.equal(found, base_latents(pipeline, guidance_scale=scale + 1))


SCHEDULERS = {
    "dynamic": lambda: flow_scheduler(dynamic=True),
    "static": lambda: flow_scheduler(dynamic=False),
    "other shifts": lambda: diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.1, max_shift=3.0, base_image_seq_len=16
    ),
    "karras": lambda: diffusers.FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
    "DPM++": lambda: diffusers.DPMSolverMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        use_dynamic_shifting=True,
        time_shift_type="exponential",
    ),
    "UniPC": lambda: diffusers.UniPCMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 7])
def test_schedulers_for_flow_matching(name: str, steps: int) -> None:
    pipeline = tiny_flux(scheduler=SCHEDULERS[name]())
    found = base_latents(pipeline, num_inference_steps=steps)
    assert torch.equal(found, own_latents(pipeline, num_inference_steps=steps))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_are_the_pipelines_own(dtype: torch.dtype) -> None:
    pipeline = tiny_flux(dtype=dtype)
    render = make(pipeline).render(output_type="np")
    expected = pipeline(
        PROMPT,
        num_inference_steps=STEPS,
        num_images_per_prompt=2,
        generator=generators(SEEDS),
        output_type="np",
        **SIZE,
    ).images
    assert np.array_equal(np.asarray(render.images), np.asarray(expected))
    assert render.nsfw_content_detected is None


def test_the_defaults_are_the_pipelines() -> None:
    spec = as_model(tiny_flux()).spec
    assert (spec.default_steps, spec.default_guidance_scale) == (28, 3.5)
    assert spec.default_size == (32, 32)
    assert spec.distilled


# With concepts: the equations.


def predictor(pipeline: Any, guidance_scale: float | None) -> Any:
    """Return a function from latents, timestep and text to the velocity, as the pipeline calls."""

    def predict(latents: Tensor, timestep: Tensor, text: str) -> Tensor:
        images, channels, height, width = latents.shape
        with torch.no_grad():
            embeds, pooled, text_ids = pipeline.encode_prompt(text)
            packed = pipeline.transformer(
                hidden_states=pack(latents, images, channels, height, width),
                timestep=timestep.expand(images).to(latents.dtype) / 1000,
                guidance=None if guidance_scale is None else torch.full([images], guidance_scale),
                pooled_projections=pooled.expand(images, -1),
                encoder_hidden_states=embeds.expand(images, -1, -1),
                txt_ids=text_ids,
                img_ids=image_ids(images, height // 2, width // 2, latents.device, latents.dtype),
            ).sample
        velocity: Tensor = unpack(packed, height * 2, width * 2, pipeline.vae_scale_factor)
        return velocity

    return predict


def expected_latents(
    pipeline: Any,
    directions: list[Direction],
    momentum: tuple[float, float],
    guidance_scale: float | None = 3.5,
) -> Tensor:
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(
        sigmas=np.linspace(1.0, 1 / STEPS, STEPS), mu=calculate_shift(SHAPE[1] * SHAPE[2] // 4)
    )
    return denoise(
        scheduler,
        noise(SEEDS, SHAPE, pipeline.transformer.dtype),
        predictor(pipeline, guidance_scale),
        lambda found: found[PROMPT],
        [PROMPT],
        directions,
        momentum,
    )


@pytest.mark.parametrize(("dtype", "batch_plan"), CASES)
@pytest.mark.parametrize("guidance_embeds", [True, False])
def test_concepts_are_stated_in_context_and_measured_against_the_prompt(
    dtype: torch.dtype, batch_plan: Any, guidance_embeds: bool
) -> None:
    pipeline = tiny_flux(dtype=dtype, guidance_embeds=guidance_embeds)
    scale = 3.5 if guidance_embeds else None
    expected = expected_latents(
        pipeline,
        [
            Direction("a cat, hat", PROMPT, 6.0, 0.8, warmup=1, weight=0.7),
            Direction("a cat, beard", PROMPT, -3.0, 0.5, warmup=2, weight=1.5),
        ],
        momentum=(0.3, 0.6),
        guidance_scale=scale,
    )
    session = make(pipeline, batch_plan=batch_plan)
    session.momentum(scale=0.3, beta=0.6)
    session.add("hat", scale=6, threshold=0.8, warmup=1, weight=0.7)
    session.add("beard", scale=3, threshold=0.5, warmup=2, weight=1.5, inverted=True)
    found = session.render(output_type="latent").latents
    check_close(found, expected)
    assert (found - base_latents(pipeline)).abs().max() > 0.01


@pytest.mark.parametrize(("dtype", "batch_plan"), CASES)
def test_an_opposite_is_stated_in_context_too(dtype: torch.dtype, batch_plan: Any) -> None:
    pipeline = tiny_flux(dtype=dtype)
    direction = Direction("a cat, old", "a cat, young", 4.0, 0.75)
    expected = expected_latents(pipeline, [direction], momentum=(0.0, 0.0))
    session = make(pipeline, batch_plan=batch_plan)
    session.momentum(scale=0)
    session.add("old", opposite="young", scale=4, threshold=0.75, warmup=0)
    render = session.render(output_type="latent")
    check_close(render.latents, expected)
    assert render.evaluations == 3 * STEPS * len(SEEDS)


def test_the_threshold_is_taken_on_pixels_of_the_latents() -> None:
    session = make(tiny_flux(), num_inference_steps=1)
    session.momentum(scale=0)
    base = session.render(output_type="latent").latents
    session.add("hat", scale=5, threshold=0.75, warmup=0)
    changed = session.render(output_type="latent").latents != base
    share = changed.float().flatten(2).mean(dim=2)
    assert torch.equal(share, torch.full((2, 4), 0.25))


# What a session does with it.


@contextmanager
def counted_rows(pipeline: Any) -> Iterator[list[int]]:
    """Yield a list to which each call of the transformer adds its rows."""
    rows: list[int] = []

    def count(_: Any, arguments: Any, keywords: dict[str, Any]) -> None:
        rows.append(len(keywords["hidden_states"]))

    hook = pipeline.transformer.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()


@pytest.mark.parametrize("batch_plan", ["together", "canonical"])
@pytest.mark.parametrize(
    "mode", ["exact", "replay", "preview", anchored(every=2), anchored(tolerance=0.05)]
)
def test_modes_evaluate_what_was_planned(mode: Any, batch_plan: Any) -> None:
    pipeline = tiny_flux()
    session = make(pipeline, num_inference_steps=8, batch_plan=batch_plan)
    with counted_rows(pipeline) as rows:
        first = session.render(output_type="latent")
        assert first.evaluations == sum(rows) == 8 * 2  # the prompt alone
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


def test_an_edit_evaluated_exactly_is_the_cold_render_to_the_bit() -> None:
    pipeline = tiny_flux()
    session = make(pipeline, batch_plan="canonical")
    session.render(output_type="latent")
    session.add("hat", warmup=1)
    session.render(output_type="latent")
    session.add("old", opposite="young", warmup=2)
    session.render("replay", output_type="latent")
    session.reweight("hat", 9)
    warm = session.render("exact", output_type="latent")
    cold = make(pipeline, batch_plan="canonical")
    cold.add("hat", warmup=1, scale=9)
    cold.add("old", opposite="young", warmup=2)
    rendered = cold.render(output_type="latent")
    assert torch.equal(warm.latents, rendered.latents)
    assert warm.evaluations < rendered.evaluations


def embeddings(pipeline: Any, text: str) -> dict[str, Any]:
    with torch.no_grad():
        embeds, pooled, _ = pipeline.encode_prompt(text)
    return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}


def test_embeddings_take_the_place_of_words() -> None:
    pipeline = tiny_flux()
    by_words = make(pipeline)
    by_words.add("hat", warmup=1)
    session = make(pipeline, **embeddings(pipeline, PROMPT))
    session.add(name="hat", warmup=1, **embeddings(pipeline, "a cat, hat"))
    expected = by_words.render(output_type="latent").latents
    assert torch.equal(session.render(output_type="latent").latents, expected)


def test_each_seed_can_have_embeddings_of_its_own() -> None:
    pipeline = tiny_flux()
    words = [embeddings(pipeline, f"a cat, {text}") for text in ("hat", "beard")]
    session = make(pipeline)
    given: dict[str, Any] = {name: torch.cat([one[name] for one in words]) for name in words[0]}
    session.add(name="its own", warmup=0, **given)
    found = session.render(output_type="latent").latents
    for index, text in enumerate(("hat", "beard")):
        alone = make(pipeline, seed=SEEDS[index])
        alone.add(text, warmup=0)
        check_close(found[index : index + 1], alone.render(output_type="latent").latents)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt_embeds": (1, 77, T5_WIDTH)}, r"\(1, 77, 32\); allowed: \(512, 32\) or"),
        ({"prompt_embeds": (3, T5_TOKENS, T5_WIDTH)}, "shape of prompt_embeds"),
        ({"pooled_prompt_embeds": (1, 1 + POOLED_WIDTH)}, "shape of pooled_prompt_embeds"),
        ({"pooled_prompt_embeds": None}, "shape of pooled_prompt_embeds is 'NoneType'"),
    ],
)
def test_embeddings_of_another_shape_are_refused(given: dict[str, Any], message: str) -> None:
    shapes = {"prompt_embeds": (1, T5_TOKENS, T5_WIDTH), "pooled_prompt_embeds": (1, POOLED_WIDTH)}
    tensors = {
        name: None if shape is None else torch.zeros(shape)
        for name, shape in (shapes | given).items()
    }
    with pytest.raises(InvalidValueError, match=message):
        make(tiny_flux(), **tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_session_continues_with_the_same_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    pipeline = tiny_flux(dtype=dtype)
    session = make(pipeline, batch_plan="canonical", **embeddings(pipeline, PROMPT))
    session.add(name="hat", warmup=1, **embeddings(pipeline, "a cat, hat"))
    session.add("old", opposite="young", warmup=1)
    render = session.render(output_type="latent")
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", tiny_flux(dtype=dtype))
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
    with pytest.raises(InvalidValueError, match="height is 18; allowed: a multiple of 4 pixels"):
        make(tiny_flux(), height=18)


def test_a_negative_prompt_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"negative_prompt is 'blurry'.*distilled"):
        make(tiny_flux(), negative_prompt="blurry")


def test_clip_skip_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="clip_skip is 1; allowed: None with this model"):
        make(tiny_flux(), clip_skip=1)


def test_a_guidance_scale_that_the_model_does_not_take_has_no_effect() -> None:
    pipeline = tiny_flux(guidance_embeds=False)
    default = make(pipeline)
    assert default.scene.guidance_scale == 0
    make(pipeline, guidance_scale=0)
    with pytest.warns(NoEffectWarning, match="guidance_scale=3.5 has no effect"):
        session = make(pipeline, guidance_scale=3.5)
    expected = default.render(output_type="latent").latents
    assert torch.equal(session.render(output_type="latent").latents, expected)


def test_guidance_rescale_has_no_effect() -> None:
    with pytest.warns(NoEffectWarning, match="guidance_rescale=0.7 .* guidance-distilled"):
        make(tiny_flux(), guidance_rescale=0.7)


def test_only_text_that_t5_does_not_read_is_cut(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = tiny_flux()
    letters = "ab " * 400  # a letter is a token, and so is each space
    read, cut = letters[: T5_TOKENS - 2].strip(), "z z"
    longer_than_clip = "a " * TOKENS
    for library in ("diffusers", "transformers"):
        monkeypatch.setattr(logging.getLogger(library), "propagate", True)
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        EditSession(pipeline, longer_than_clip, **SIZE)
        with pytest.warns(PromptTruncatedWarning, match=rf"reads 512 tokens;.*{cut}'"):
            EditSession(pipeline, f"{read} {cut}", **SIZE)
    assert not caplog.records


def test_the_context_counts_when_a_concept_is_cut() -> None:
    session = EditSession(tiny_flux(), "a" * (T5_TOKENS - 6), **SIZE)
    with pytest.warns(PromptTruncatedWarning, match="of the prompt has no effect: 't'"):
        session.add("hat")


def broken(**changes: Any) -> FluxPipeline:
    pipeline = tiny_flux()
    for name, value in changes.items():
        setattr(pipeline, name, value)
    return pipeline


def with_ip_adapter() -> FluxPipeline:
    pipeline = tiny_flux()
    pipeline.transformer.encoder_hid_proj = torch.nn.Identity()
    return pipeline


def with_cache() -> FluxPipeline:
    pipeline = tiny_flux()
    pipeline.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.1))
    return pipeline


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "Fill": (lambda: tiny_flux(in_channels=96), "takes 96 channels and gives 16.*no Fill"),
    "Control": (lambda: tiny_flux(in_channels=32), "takes 32 channels and gives 16"),
    "IP-adapter": (with_ip_adapter, "has an IP-adapter.*unload_ip_adapter"),
    "cache": (with_cache, "reuses what it computed.*disable_cache"),
    "no T5": (lambda: broken(text_encoder_2=None), "text_encoder_2 is None"),
    "noise": (lambda: broken(scheduler=diffusers.DDIMScheduler()), "is not for flow matching"),
    "meta": (lambda: broken(transformer=tiny_flux().transformer.to("meta")), "meta device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pipeline_is_refused_with_the_reason(name: str) -> None:
    make_pipeline, message = REFUSED[name]
    with pytest.raises(UnsupportedPipelineError, match=message):
        as_model(make_pipeline())


def test_every_component_is_part_of_the_model() -> None:
    digests = component_digests(as_model(tiny_flux()).components())
    other = component_digests(as_model(tiny_flux(seed=1)).components())
    networks = {"transformer", "vae", "text_encoder", "text_encoder_2"}
    assert set(digests) == networks | {"tokenizer", "tokenizer_2", "scheduler"}
    assert {name for name in digests if digests[name] != other[name]} == networks


def test_a_change_of_the_second_tokenizer_is_noticed() -> None:
    pipeline = tiny_flux()
    session = make(pipeline)
    pipeline.tokenizer_2 = letter_tokenizer()
    with pytest.raises(ModelChangedError, match="tokenizer_2"):
        session.add("hat")


def test_the_users_pipeline_is_never_changed() -> None:
    pipeline = tiny_flux()
    before = dict(pipeline.scheduler.config), pipeline.scheduler.timesteps.clone()
    session = make(pipeline)
    session.add("hat", warmup=1)
    session.render()
    assert dict(pipeline.scheduler.config) == before[0]
    assert torch.equal(pipeline.scheduler.timesteps, before[1])


def test_another_prompt_is_another_context() -> None:
    session = make(tiny_flux())
    session.add("hat", warmup=0)
    other = session.another(attrs.evolve(session.scene, prompt="a dog"))
    session_latents = session.render(output_type="latent").latents
    assert not torch.equal(other.render(output_type="latent").latents, session_latents)


def test_a_render_says_that_concepts_are_measured_against_the_prompt() -> None:
    assert make(tiny_flux()).render().measured_against == "prompt"
