"""Compare `from_diffusers` with diffusers' pipeline for the same arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, SemanticStableDiffusionPipeline, StableDiffusionPipeline

from sega_session import as_model, from_diffusers
from sega_session.errors import InvalidValueError, UnsupportedPipelineError
from tests.support.pipelines import reference_pipeline, tiny_stable_diffusion

EDITS: dict[str, Any] = {
    "num_inference_steps": 8,
    "guidance_scale": 7,
    "editing_prompt": ["smiling, smile", "glasses", "glasses"],
    "reverse_editing_direction": [False, True, False],
    "edit_warmup_steps": [2, 3, 2],
    "edit_cooldown_steps": None,
    "edit_guidance_scale": [4, 5, -5.4],
    "edit_threshold": [0.99, 0.975, 0.925],
    "edit_momentum_scale": 0.3,
    "edit_mom_beta": 0.6,
    "edit_weights": [1, 1, 1, 1, 1],
}

Noise = Callable[[], dict[str, Any]]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def used_generator() -> torch.Generator:
    used = generator(3)
    torch.randn(5, generator=used)
    return used


@pytest.mark.parametrize(
    ("noise", "as_seeds"),
    [
        (lambda: {"generator": generator(21)}, (21,)),
        (lambda: {"generator": [generator(21)]}, (21,)),
        (
            lambda: {"generator": [generator(4), generator(2)], "num_images_per_prompt": 2},
            (4, 2),
        ),
        (lambda: {"generator": generator(21), "num_images_per_prompt": 2}, None),
        (lambda: {"generator": used_generator()}, None),
        (lambda: {"latents": torch.randn(1, 4, 8, 8, generator=generator(1))}, None),
        (dict, None),
    ],
)
def test_the_same_arguments_render_the_same_latents(
    noise: Noise, as_seeds: tuple[int, ...] | None
) -> None:
    pipeline = tiny_stable_diffusion()
    torch.manual_seed(0)
    session = from_diffusers(pipeline, "a cat", **noise(), **EDITS)
    torch.manual_seed(0)
    expected = reference_pipeline(pipeline)(
        "a cat", **noise(), **EDITS, output_type="latent"
    ).images
    found = session.render(output_type="latent").latents
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    if as_seeds is not None:
        assert session.scene.seeds == as_seeds
    assert [concept.name for concept in session.concepts] == [
        "smiling, smile",
        "glasses",
        "glasses 2",
    ]


def test_recorded_guidance_is_replayed() -> None:
    pipeline = tiny_stable_diffusion()
    reference = reference_pipeline(pipeline)
    reference("a cat", generator=generator(1), **EDITS)
    recorded = list(reference.sem_guidance)
    arguments: dict[str, Any] = {"num_inference_steps": 8, "sem_guidance": recorded}
    expected = reference("a dog", generator=generator(2), **arguments, output_type="latent").images
    session = from_diffusers(pipeline, "a dog", generator=generator(2), **arguments)
    assert torch.equal(session.render(output_type="latent").latents, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ["a", "b"]}, r"prompt is \['a', 'b'\]; allowed: one text"),
        ({"negative_prompt": ["a", "b"]}, "negative_prompt is"),
        ({"edit_threshold": [0.9]}, r"edit_threshold is \[0\.9\]; allowed: one value, or one for"),
        ({"prompt": None}, "prompt is None; allowed: text"),
        ({"edit_guidance_scale": "5"}, "scale is '5'; allowed: a finite number"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt is 0; allowed: an integer, at le"),
        ({"generator": 5}, "generator is 5; allowed: a torch.Generator, a list of them, or None"),
        ({"height": "16", "num_images_per_prompt": 2}, "height is '16'; allowed: an integer"),
        ({"generator": [generator(1)] * 2}, "generator is 'a list of 2'; allowed: one, or a list"),
        ({"editing_prompt_embeddings": torch.zeros(4, 16, 16)}, "editing_prompt is"),
        (
            {"output_type": "np"},
            r"output_type is 'np'; allowed: .pil.. Pass it to render\(output_t",
        ),
        ({"return_dict": False}, r"return_dict is False; allowed: True. render\(\) returns a Rend"),
        ({"callback": print}, r"callback is .*; allowed: None. Pass render\(callback_on_step_end="),
        ({"edit_warmup_steps": float("nan")}, r"warmup is nan; allowed"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        from_diffusers(tiny_stable_diffusion(), **{"prompt": "a cat", **EDITS, **arguments})


def test_names_are_free_and_arrays_are_lists() -> None:
    session = from_diffusers(
        tiny_stable_diffusion(),
        "a cat",
        editing_prompt=["hat", "hat", "hat 2"],
        edit_weights=cast(Any, np.array([1, 2, 3])),
    )
    assert [c.name for c in session.concepts] == ["hat", "hat 2", "hat 2 2"]
    assert [c.weight for c in session.concepts] == [1, 2, 3]


@pytest.mark.parametrize(
    "arguments",
    [
        {"edit_warmup_steps": 2.5, "edit_cooldown_steps": [6.0, 5.5, None]},
        {"edit_warmup_steps": [2.0, 0.5, 3.9]},
        {"editing_prompt": ""},
        {"editing_prompt": []},
        {"edit_weights": []},
        {"output_type": "pil", "return_dict": True, "callback": None, "callback_steps": 3},
    ],
)
def test_what_diffusers_documents_is_taken(arguments: dict[str, Any]) -> None:
    pipeline = tiny_stable_diffusion()
    given = {**EDITS, **arguments}
    session = from_diffusers(pipeline, "a cat", generator=generator(2), **given)
    if None in (given["edit_cooldown_steps"] or []):
        # There a list holds no None.
        given["edit_cooldown_steps"] = [6.0, 5.5, 99]
    given["output_type"] = "latent"
    expected = reference_pipeline(pipeline)("a cat", generator=generator(2), **given).images
    found = session.render(output_type="latent").latents
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_arguments_have_the_order_of_diffusers() -> None:
    theirs = inspect.signature(SemanticStableDiffusionPipeline.__call__).parameters
    ours = inspect.signature(from_diffusers).parameters
    assert list(ours)[1:] == list(theirs)[1:]
    for name in list(theirs)[1:]:
        assert ours[name].default == theirs[name].default


OUTDATED = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 0,
    "clip_sample": True,
}
"""Settings that the constructor of StableDiffusionPipeline corrects in the user's scheduler."""


def semantic(pipeline: Any, scheduler: Any) -> Any:
    parts = {key: one for key, one in pipeline.components.items() if key != "image_encoder"}
    made = SemanticStableDiffusionPipeline(
        **{**parts, "scheduler": scheduler}, requires_safety_checker=False
    )
    made.set_progress_bar_config(disable=True)
    return made


def test_a_semantic_pipeline_is_taken_as_it_is() -> None:
    theirs = semantic(tiny_stable_diffusion(), DDIMScheduler(**OUTDATED))
    config = dict(theirs.scheduler.config)
    session = from_diffusers(theirs, "a cat", generator=generator(2), **EDITS)
    found = session.render(output_type="latent").latents
    assert dict(theirs.scheduler.config) == config
    expected = theirs("a cat", generator=generator(2), **EDITS, output_type="latent").images
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_advice_for_other_pipelines_keeps_the_users_image() -> None:
    class Other:
        components: ClassVar[dict[str, Any]] = {}

    with pytest.raises(UnsupportedPipelineError) as caught:
        as_model(Other())
    text = str(caught.value)
    constructor = "StableDiffusionPipeline(**{**it.components, 'scheduler': None})"
    assert constructor in text
    assert "sd.scheduler = it.scheduler" in text
    it = semantic(tiny_stable_diffusion(), DDIMScheduler(**OUTDATED))
    sd = StableDiffusionPipeline(
        **{**it.components, "scheduler": None}, requires_safety_checker=False
    )
    sd.scheduler = it.scheduler
    session = from_diffusers(sd, "a cat", generator=generator(2), **EDITS)
    expected = it("a cat", generator=generator(2), **EDITS, output_type="latent").images
    found = session.render(output_type="latent").latents
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
