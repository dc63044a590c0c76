"""Stable Diffusion XL: equal to diffusers' pipeline without edits, and to SEGA's equations with."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate
import diffusers
import pytest
import torch
import transformers
from accelerate.hooks import CpuOffload, UserCpuOffloadHook, add_hook_to_module
from diffusers import AutoencoderTiny, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import Tensor

from sega_session import EditSession
from sega_session.errors import (
    InvalidValueError,
    ModelChangedError,
    NotFiniteError,
    PromptTruncatedWarning,
    UnsupportedPipelineError,
)
from sega_session.models import as_model, changes, glance, identify
from sega_session.models.stable_diffusion_xl import StableDiffusionXL
from sega_session.models.upcast import without_overflow
from tests.support.pipelines import BETAS, SCHEDULERS, TOKENS
from tests.support.stable_diffusion_xl import LAYERS, POOLED, WIDTHS, tiny_stable_diffusion_xl

STEPS = 5
SEEDS = (3, 8)

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}


def check_close(found: Tensor, expected: Tensor) -> None:
    """Check a relative tolerance that depends on the precision."""
    assert found.dtype == expected.dtype
    assert expected.isfinite().all()
    limit = TOLERANCES[found.dtype] * expected.abs().max()
    assert (found - expected).abs().max() <= limit


def session(pipeline: Any, prompt: str = "a cat", **arguments: Any) -> EditSession:
    settings: dict[str, Any] = {"seed": SEEDS, "num_inference_steps": STEPS, **arguments}
    return EditSession(pipeline, prompt, **settings)


def latents(made: EditSession) -> Tensor:
    return made.render(output_type="latent").latents


def as_tensor(made: EditSession) -> Tensor:
    images = made.render(output_type="pt").images
    assert isinstance(images, Tensor)
    return images


def theirs(
    pipeline: Any, prompt: str | None = "a cat", *, output_type: str = "latent", **arguments: Any
) -> Any:
    """Return what the pipeline itself renders, an image for each of the seeds."""
    settings: dict[str, Any] = {"num_inference_steps": STEPS, **arguments}
    return pipeline(
        prompt,
        num_images_per_prompt=len(SEEDS),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type=output_type,
        **settings,
    ).images


SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "negative prompt": {"negative_prompt": "dull"},
    "clip skip": {"clip_skip": 1, "negative_prompt": "dull"},
    "rescaled": {"guidance_rescale": 0.7, "guidance_scale": 9.0},
    "another size": {"height": 24, "width": 32},
    "no guidance": {"guidance_scale": 1.0},
    "eta": {"eta": 0.6},
}


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("zeros", [True, False], ids=["zeros", "encoded"])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_unedited_image_equals_the_pipelines(
    name: str, zeros: bool, dtype: torch.dtype
) -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=dtype)
    pipeline.register_to_config(force_zeros_for_empty_prompt=zeros)
    ours = session(pipeline, **SETTINGS[name])
    check_close(latents(ours), theirs(pipeline, **SETTINGS[name]))
    check_close(as_tensor(ours), theirs(pipeline, output_type="pt", **SETTINGS[name]))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_and_v_prediction(scheduler: str) -> None:
    pipeline = tiny_stable_diffusion_xl(
        scheduler=SCHEDULERS[scheduler](), prediction_type="v_prediction", dtype=torch.float64
    )
    check_close(latents(session(pipeline)), theirs(pipeline))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_turbo_settings(steps: int) -> None:
    scheduler = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    pipeline = tiny_stable_diffusion_xl(scheduler=scheduler)
    settings: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": 0.0}
    ours = session(pipeline, **settings)
    check_close(latents(ours), theirs(pipeline, **settings))
    assert ours.render(output_type="latent").evaluations == 0
    ours.add("hat", warmup=0)
    # The concept, and what it is measured against; the prompt is known at the first call only.
    assert ours.render(output_type="latent").evaluations == len(SEEDS) * (3 * steps - 1)


def test_only_an_absent_negative_prompt_becomes_zeros() -> None:
    pipeline = tiny_stable_diffusion_xl()
    model, scene = as_model(pipeline), session(pipeline).scene
    negative = model.encode_prompt("", "negative", scene).tensors
    assert not negative["encoder_hidden_states"].any()
    assert not negative["text_embeds"].any()
    for text, role in (("dull", "negative"), ("", "prompt"), ("hat", "concept")):
        tensors = model.encode_prompt(text, role, scene).tensors  # type: ignore[arg-type]
        assert tensors["encoder_hidden_states"].any()
        assert tensors["text_embeds"].any()
    check_close(latents(session(pipeline, "")), theirs(pipeline, ""))
    zeros = latents(session(pipeline))
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert not torch.allclose(latents(session(pipeline)), zeros, rtol=1e-3)


def test_defaults_are_the_pipelines() -> None:
    pipeline = tiny_stable_diffusion_xl()
    scene = EditSession(pipeline, "a cat").scene
    assert (scene.height, scene.width) == (16, 16)
    assert (scene.num_inference_steps, scene.guidance_scale) == (50, 5.0)
    pipeline.default_sample_size = None
    assert as_model(pipeline).spec.default_size is None


# Concepts, against SEGA's equations in a plain loop.


def encode(pipeline: Any, text: str) -> tuple[Tensor, Tensor]:
    embeds, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    return embeds, pooled


def sega(
    pipeline: Any,
    conditions: dict[str, tuple[Tensor, Tensor]],
    concepts: Sequence[dict[str, Any]],
    *,
    guidance_scale: float,
    momentum: tuple[float, float],
    size: tuple[int, int] = (16, 16),
) -> Tensor:
    """Return the final latents by SEGA's equations, with every condition evaluated at every call.

    Args:
        conditions: embeddings and pooled ones by name: "uncond", "text", and those of concepts.
        concepts: of each its "condition", what it is "against", and its settings.
    """
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(STEPS)
    dtype, (height, width) = pipeline.unet.dtype, size
    shape = (4, height // 2, width // 2)
    noise = [
        torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        for seed in SEEDS
    ]
    image: Tensor = torch.cat(noise) * scheduler.init_noise_sigma
    ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=dtype)
    velocity = torch.zeros_like(image)
    scale, beta = momentum
    for call, timestep in enumerate(scheduler.timesteps):
        model_input = scheduler.scale_model_input(image, timestep)
        predicted = {
            name: pipeline.unet(
                model_input,
                timestep,
                encoder_hidden_states=embeds.expand(len(SEEDS), -1, -1),
                added_cond_kwargs={
                    "text_embeds": pooled.expand(len(SEEDS), -1),
                    "time_ids": ids.expand(len(SEEDS), -1),
                },
            ).sample
            for name, (embeds, pooled) in conditions.items()
        }
        masked = []
        for concept in concepts:
            direction = predicted[concept["condition"]] - predicted[concept["against"]]
            direction = concept["scale"] * direction
            size_of = direction.abs()
            least = size_of.flatten(2).float().quantile(concept["threshold"], dim=2)
            masked.append(direction * (size_of >= least[:, :, None, None].to(dtype)))
        warm = [call >= concept["warmup"] for concept in concepts]
        everything = sum(
            one * concept["weight"] for one, concept in zip(masked, concepts, strict=True)
        )
        everything = everything + scale * velocity
        velocity = beta * velocity + (1 - beta) * everything
        if all(warm):
            guidance = everything
        else:
            of_warm = [c["weight"] for c, is_warm in zip(concepts, warm, strict=True) if is_warm]
            guidance = sum(
                (
                    one * concept["weight"] / sum(of_warm)
                    for one, concept, is_warm in zip(masked, concepts, warm, strict=True)
                    if is_warm
                ),
                torch.zeros_like(image),
            )
        base = predicted["uncond"] + guidance_scale * (predicted["text"] - predicted["uncond"])
        image = scheduler.step(base + guidance, timestep, image).prev_sample
    return image


@torch.no_grad()
@pytest.mark.parametrize("zeros", [True, False], ids=["zeros", "encoded"])
@pytest.mark.parametrize("scheduler", ["DDIM", "Euler", "DPM++ 2M"])
def test_concepts_and_opposites_follow_the_equations(scheduler: str, zeros: bool) -> None:
    pipeline = tiny_stable_diffusion_xl(scheduler=SCHEDULERS[scheduler](), dtype=torch.float64)
    pipeline.register_to_config(force_zeros_for_empty_prompt=zeros)
    ours = session(pipeline, guidance_scale=6.0, height=24, width=16)
    ours.momentum(scale=0.3, beta=0.6)
    ours.add("hat", scale=7, threshold=0.8, warmup=1)
    ours.add("old", opposite="young", scale=4, threshold=0.5, warmup=2, weight=0.5)
    ours.add("beard", inverted=True, scale=3, threshold=0.0, warmup=3)
    conditions = {
        text: encode(pipeline, text) for text in ("a cat", "hat", "old", "young", "beard")
    }
    conditions["text"] = conditions.pop("a cat")
    nothing = encode(pipeline, "")
    conditions["uncond"] = (
        (torch.zeros_like(nothing[0]), torch.zeros_like(nothing[1])) if zeros else nothing
    )
    expected = sega(
        pipeline,
        conditions,
        [
            {"condition": "hat", "against": "uncond", "scale": 7, "threshold": 0.8}
            | {"warmup": 1, "weight": 1},
            {"condition": "old", "against": "young", "scale": 4, "threshold": 0.5}
            | {"warmup": 2, "weight": 0.5},
            {"condition": "beard", "against": "uncond", "scale": -3, "threshold": 0.0}
            | {"warmup": 3, "weight": 1},
        ],
        guidance_scale=6.0,
        momentum=(0.3, 0.6),
        size=(24, 16),
    )
    check_close(latents(ours), expected)
    assert not torch.allclose(expected, theirs(pipeline, guidance_scale=6.0, height=24, width=16))


# Embeddings.


def pairs(pipeline: Any, *texts: str) -> dict[str, Any]:
    """Return embeddings as arguments, with one row for each text."""
    found = [encode(pipeline, text) for text in texts]
    return {
        "prompt_embeds": torch.cat([embeds for embeds, _ in found]),
        "pooled_prompt_embeds": torch.cat([pooled for _, pooled in found]),
    }


@torch.no_grad()
def test_embeddings_act_as_the_words() -> None:
    pipeline = tiny_stable_diffusion_xl()
    words = session(pipeline, negative_prompt="dull")
    words.add("hat", warmup=1)
    negative = {f"negative_{name}": found for name, found in pairs(pipeline, "dull").items()}
    embedded = session(pipeline, "label", **pairs(pipeline, "a cat"), **negative)
    embedded.add(name="hat", warmup=1, **pairs(pipeline, "hat"))
    assert torch.equal(latents(embedded), latents(words))
    # A row for each image.
    both = session(pipeline, "label", **pairs(pipeline, "a cat", "a dog"))
    given = pairs(pipeline, "a cat", "a dog")
    expected = pipeline(
        **given,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        num_inference_steps=STEPS,
        output_type="latent",
    ).images
    check_close(latents(both), expected)


@torch.no_grad()
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooled_prompt_embeds": None}, "shape of pooled_prompt_embeds is 'NoneType'; allowed: "),
        ({"pooled_prompt_embeds": torch.zeros(1, 3)}, r"pooled_prompt_embeds is \(1, 3\); allowed"),
        ({"pooled_prompt_embeds": torch.full((1, POOLED), torch.nan)}, "is 'not finite'"),
        ({"prompt_embeds": torch.zeros(1, TOKENS, 16)}, r"prompt_embeds is \(1, 16, 16\)"),
        ({"prompt_embeds": torch.zeros(1, 3, sum(WIDTHS))}, r"prompt_embeds is \(1, 3, 40\)"),
    ],
)
def test_embeddings_of_other_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    pipeline = tiny_stable_diffusion_xl()
    given = pairs(pipeline, "hat") | change
    with pytest.raises(InvalidValueError, match=message):
        session(pipeline).add(name="hat", **given)


@torch.no_grad()
@pytest.mark.parametrize("include", ["all", "state"])
def test_a_saved_session_continues_with_equal_bits(tmp_path: Path, include: Any) -> None:
    pipeline = tiny_stable_diffusion_xl()
    made = session(pipeline, "label", batch_plan="canonical", **pairs(pipeline, "a cat"))
    made.add(name="hat", warmup=1, **pairs(pipeline, "hat"))
    made.add("old", opposite="young", warmup=2)
    expected = latents(made)
    made.save(tmp_path / "made.safetensors", include=include)
    loaded = EditSession.load(tmp_path / "made.safetensors", tiny_stable_diffusion_xl())
    assert loaded.state == made.state
    render = loaded.render(output_type="latent")
    assert torch.equal(render.latents, expected)
    assert (render.evaluations == 0) == (include == "all")
    for name in ("prompt", "hat"):
        digest = loaded.scene.prompt_embedding if name == "prompt" else loaded["hat"].embedding
        kept = loaded._conditionings.embeddings(str(digest))  # noqa: SLF001 - no other way to see
        pooled = pairs(pipeline, "a cat" if name == "prompt" else "hat")["pooled_prompt_embeds"]
        assert torch.equal(torch.as_tensor(kept.pooled_prompt_embeds), pooled)


# Prompts.


class Lines(logging.Handler):
    """The lines that a library logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return a list that grows by the lines that diffusers and transformers log."""
    handler = Lines()
    libraries = (diffusers, transformers)
    before = [library.logging.get_verbosity() for library in libraries]
    for library in libraries:
        logging.getLogger(library.__name__).addHandler(handler)
        library.logging.set_verbosity_warning()
    yield handler.lines
    for library, verbosity in zip(libraries, before, strict=True):
        logging.getLogger(library.__name__).removeHandler(handler)
        library.logging.set_verbosity(verbosity)


@pytest.mark.parametrize("role", ["prompt", "negative", "concept"])
def test_a_cut_prompt_is_warned_of_once(role: Any, logged: list[str]) -> None:
    pipeline = tiny_stable_diffusion_xl()
    fits, long = "abc" * 4 + "de", "abc" * 4 + "defg"
    model, scene = as_model(pipeline), session(pipeline).scene
    verbosity = diffusers.logging.get_verbosity(), transformers.logging.get_verbosity()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.encode_prompt(fits, role, scene)
        assert not caught
        found = model.encode_prompt(long, role, scene).tensors
    assert [one.category for one in caught] == [PromptTruncatedWarning]
    assert f"reads {TOKENS} tokens; this end of the prompt has no effect: 'fg'" in str(
        caught[0].message
    )
    assert not logged
    assert verbosity == (
        diffusers.logging.get_verbosity(),
        transformers.logging.get_verbosity(),
    )
    with torch.no_grad():
        embeds, pooled = encode(pipeline, long)
    assert any("truncated" in line for line in logged)
    assert torch.equal(found["encoder_hidden_states"], embeds)
    assert torch.equal(found["text_embeds"], pooled)


def test_a_textual_inversion_is_read_by_both_encoders() -> None:
    pipeline = tiny_stable_diffusion_xl()
    generator = torch.Generator().manual_seed(0)
    for encoder, tokenizer, width in (
        (pipeline.text_encoder, pipeline.tokenizer, WIDTHS[0]),
        (pipeline.text_encoder_2, pipeline.tokenizer_2, WIDTHS[1]),
    ):
        vectors = {"<mine>": torch.randn(3, width, generator=generator)}
        pipeline.load_textual_inversion(
            vectors, token="<mine>", text_encoder=encoder, tokenizer=tokenizer
        )
    prompt = "a <mine> cat"
    check_close(latents(session(pipeline, prompt)), theirs(pipeline, prompt))
    # The three vectors count: 2 + 3 + 9 tokens fit, and the marks at both ends.
    session(pipeline, "ab <mine> abcabcabc")
    with pytest.warns(PromptTruncatedWarning, match="no effect: 'd'"):
        session(pipeline, "ab <mine> abcabcabcd")


def test_clip_skip_has_a_limit() -> None:
    pipeline = tiny_stable_diffusion_xl()
    session(pipeline, clip_skip=LAYERS - 1)
    with pytest.raises(InvalidValueError, match=r"clip_skip is 2; allowed: None, or 1 to 1\."):
        session(pipeline, clip_skip=LAYERS)


def test_sizes_are_multiples_of_the_vaes_factor() -> None:
    with pytest.raises(InvalidValueError, match="height is 17; allowed: a multiple of 2"):
        session(tiny_stable_diffusion_xl(), height=17, width=16)


# Decoding.


def half_images() -> Any:
    """Return the images of the pipeline itself in float16, which casts its VAE back and forth."""
    with warnings.catch_warnings():
        # diffusers has deprecated the method that it calls itself.
        warnings.simplefilter("ignore", FutureWarning)
        pipeline = tiny_stable_diffusion_xl(dtype=torch.float16)
        return theirs(pipeline, output_type="pt")


def test_a_half_precision_vae_decodes_in_float32_and_stays_as_it_was(
    logged: list[str],
) -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=torch.float16)
    model = as_model(pipeline)
    before, attributes = glance(model), dict(vars(pipeline.vae))
    ours = session(pipeline)
    logged.clear()
    images = as_tensor(ours)
    assert not logged
    assert images.dtype == torch.float32
    assert torch.equal(images, half_images())
    assert pipeline.vae.dtype == torch.float16
    assert changes(before, glance(model)) == ()
    assert vars(pipeline.vae) == attributes
    # One copy serves every decode and every model over this VAE.
    copied = without_overflow(pipeline.vae)
    assert copied.dtype == torch.float32
    as_model(pipeline).decode(latents(ours), "pt")
    assert without_overflow(pipeline.vae) is copied
    # A VAE that needs no float32 decodes itself.
    pipeline.vae.register_to_config(force_upcast=False)
    assert without_overflow(pipeline.vae) is pipeline.vae


def test_the_float32_copy_follows_weights_slicing_and_tiling() -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=torch.float16)
    first = without_overflow(pipeline.vae)
    pipeline.vae.enable_slicing()
    pipeline.vae.enable_tiling()
    pipeline.vae.tile_latent_min_size = 4
    again = without_overflow(pipeline.vae)
    assert again is first
    assert (again.use_slicing, again.use_tiling, again.tile_latent_min_size) == (True, True, 4)
    pipeline.vae.disable_tiling()
    assert not without_overflow(pipeline.vae).use_tiling
    with torch.no_grad():
        pipeline.vae.decoder.conv_out.weight.mul_(2)
    changed = without_overflow(pipeline.vae)
    assert torch.equal(
        changed.decoder.conv_out.weight, pipeline.vae.decoder.conv_out.weight.float()
    )


def test_a_compiled_decode_is_not_copied() -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=torch.float16)
    pipeline.vae.decode = lambda *_, **__: pytest.fail("the original decodes")
    assert torch.equal(as_tensor(session(pipeline)), half_images())


def in_sequence(pipeline: Any) -> None:
    accelerate.cpu_offload(pipeline.vae, torch.device("cpu"))


def model_by_model(pipeline: Any) -> None:
    cpu = torch.device("cpu")
    before = UserCpuOffloadHook(pipeline.unet, CpuOffload(cpu))
    add_hook_to_module(pipeline.vae, CpuOffload(cpu, before))


def in_groups(pipeline: Any) -> None:
    cpu = torch.device("cpu")
    pipeline.vae.enable_group_offload(cpu, cpu, offload_type="leaf_level")


@pytest.mark.parametrize("offload", [in_sequence, model_by_model, in_groups])
def test_the_float32_copy_of_an_offloaded_vae_has_weights_and_no_hooks(
    offload: Callable[[Any], None],
) -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=torch.float16)
    offload(pipeline)
    hooks = [vars(one).keys() for one in pipeline.vae.modules()]
    # Networks that the hooks lead to are not copied.
    pipeline.unet.__deepcopy__ = lambda _: pytest.fail("the U-Net is copied")
    assert torch.equal(as_tensor(session(pipeline)), half_images())
    assert [vars(one).keys() for one in pipeline.vae.modules()] == hooks
    copied = without_overflow(pipeline.vae)
    assert copied is not pipeline.vae
    for module in copied.modules():
        assert {"_hf_hook", "_diffusers_hook", "forward"}.isdisjoint(vars(module))


def test_means_and_deviations_of_latents_are_used() -> None:
    pipeline = tiny_stable_diffusion_xl(dtype=torch.float64)
    plain = as_tensor(session(pipeline))
    pipeline.vae.register_to_config(
        latents_mean=[0.5, -1.0, 2.0, 0.1], latents_std=[2.0, 0.5, 1.5, 3.0]
    )
    found = as_tensor(session(pipeline))
    check_close(found, theirs(pipeline, output_type="pt"))
    assert not torch.allclose(found, plain)


def test_a_tiny_autoencoder_decodes() -> None:
    pipeline = tiny_stable_diffusion_xl()
    pipeline.vae = AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    check_close(as_tensor(session(pipeline)), theirs(pipeline, output_type="pt"))
    identify(as_model(pipeline))


def test_the_pipelines_watermark_is_applied() -> None:
    pipeline = tiny_stable_diffusion_xl()
    plain = as_tensor(session(pipeline))
    pipeline.watermark = SimpleNamespace(apply_watermark=lambda images: images / 2)
    found = as_tensor(session(pipeline))
    check_close(found, theirs(pipeline, output_type="pt"))
    assert not torch.allclose(found, plain)


def test_an_overflow_is_found() -> None:
    pipeline = tiny_stable_diffusion_xl()
    made = session(pipeline)
    with pytest.raises(NotFiniteError, match="decoded images overflowed"):
        as_model(pipeline).decode(latents(made) * torch.inf, "pt")


# The parts of the pipeline.


def test_what_changes_images_is_noticed() -> None:
    pipeline = tiny_stable_diffusion_xl()
    model = as_model(pipeline)
    assert isinstance(model, StableDiffusionXL)
    assert set(model.components()) == {
        "unet",
        "vae",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "scheduler",
        "empty_prompt",
    }
    before, digest = glance(model), identify(model).digest
    made = session(pipeline)
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert changes(before, glance(model)) == (
        "empty_prompt: force_zeros_for_empty_prompt true -> false",
    )
    assert identify(model).digest != digest
    with pytest.raises(ModelChangedError, match="force_zeros_for_empty_prompt"):
        made.render()
    pipeline.register_to_config(force_zeros_for_empty_prompt=True)
    with torch.no_grad():
        pipeline.text_encoder_2.text_projection.weight.mul_(2)
    assert changes(before, glance(model)) == ("text_encoder_2: weights changed in place",)


def unet(pipeline: Any, **settings: Any) -> Any:
    config = {k: v for k, v in pipeline.unet.config.items() if not k.startswith("_")}
    return UNet2DConditionModel(**{**config, **settings})


def set_parts(**parts: Any) -> Callable[[Any], None]:
    return lambda pipeline: pipeline.register_modules(**parts)


def meta(pipeline: Any) -> None:
    pipeline.text_encoder_2.to("meta")


def settings_of_unet(**settings: Any) -> Callable[[Any], None]:
    return lambda pipeline: pipeline.register_modules(unet=unet(pipeline, **settings))


def ip_adapter(pipeline: Any) -> None:
    pipeline.unet.register_to_config(encoder_hid_dim_type="ip_image_proj")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            set_parts(text_encoder=None, tokenizer=None),
            r"one text encoder, as refiners have; allowed: a base model .*Load one",
        ),
        (set_parts(text_encoder_2=None), "text_encoder_2 is None.*Load the whole checkpoint"),
        (set_parts(tokenizer_2=None), "tokenizer_2 is None"),
        (settings_of_unet(in_channels=9), r"takes 9 channels .*no inpainting"),
        (ip_adapter, "encoder_hid_dim_type is 'ip_image_proj'.*without adapters for images"),
        (
            settings_of_unet(projection_class_embeddings_input_dim=POOLED + 40),
            r"is 52; allowed: 60, .*no refiners",
        ),
        (
            settings_of_unet(addition_embed_type=None),
            "addition_embed_type is None; allowed: 'text_time'",
        ),
        (
            set_parts(scheduler=diffusers.FlowMatchEulerDiscreteScheduler()),
            "is for flow matching; allowed: .*pipeline.scheduler = DDIM",
        ),
        (meta, "text_encoder_2 is on the meta device"),
    ],
)
def test_other_pipelines_are_refused(change: Callable[[Any], None], message: str) -> None:
    pipeline = tiny_stable_diffusion_xl()
    change(pipeline)
    with pytest.raises(UnsupportedPipelineError, match=message):
        as_model(pipeline)
