"""U-Nets that take the guidance scale as an input, as latent consistency models do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, LCMScheduler
from torch import Tensor

from sega_session import EditSession
from sega_session.errors import InvalidValueError, NoEffectWarning
from sega_session.models import as_model
from tests.support.distilled import distilled
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.stable_diffusion_xl import tiny_stable_diffusion_xl

SEEDS = (3, 8)
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}


def consistency(dtype: torch.dtype = torch.float32) -> LatentConsistencyModelPipeline:
    """Return the distilled Stable Diffusion as the pipeline that was made for it."""
    parts = distilled(tiny_stable_diffusion, dtype).components
    pipeline = LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


PIPELINES: dict[str, Callable[[torch.dtype], Any]] = {
    "StableDiffusionPipeline": lambda dtype: distilled(tiny_stable_diffusion, dtype),
    "StableDiffusionXLPipeline": lambda dtype: distilled(tiny_stable_diffusion_xl, dtype),
    "LatentConsistencyModelPipeline": consistency,
}


def session(pipeline: Any, **arguments: Any) -> EditSession:
    settings: dict[str, Any] = {"seed": SEEDS, "num_inference_steps": 4, **arguments}
    return EditSession(pipeline, "a cat", **settings)


def latents(made: EditSession) -> Tensor:
    return made.render(output_type="latent").latents


def theirs(pipeline: Any, *, output_type: str = "latent", **arguments: Any) -> Tensor:
    images: Tensor = pipeline(
        "a cat",
        num_images_per_prompt=len(SEEDS),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type=output_type,
        **{"num_inference_steps": 4, **arguments},
    ).images
    return images


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 8.5])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", PIPELINES)
def test_the_base_is_the_prompt_alone(
    name: str, steps: int, guidance_scale: float, dtype: torch.dtype
) -> None:
    pipeline = PIPELINES[name](dtype)
    settings: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": guidance_scale}
    ours = session(pipeline, **settings)
    render = ours.render(output_type="latent")
    expected = theirs(pipeline, **settings)
    assert (render.latents - expected).abs().max() <= TOLERANCES[dtype] * expected.abs().max()
    assert render.evaluations == steps * len(SEEDS)
    images = ours.render(output_type="pt").images
    pixels = theirs(pipeline, output_type="pt", **settings)
    assert (torch.as_tensor(images) - pixels).abs().max() <= TOLERANCES[dtype]
    other = theirs(pipeline, **{**settings, "guidance_scale": 4.0})
    assert not torch.allclose(other, expected, rtol=1e-3)


def test_the_pipelines_own_settings_are_the_defaults() -> None:
    pipeline = consistency()
    scene = EditSession(pipeline, "a cat").scene
    assert (scene.num_inference_steps, scene.guidance_scale) == (4, 8.5)
    assert (scene.height, scene.width) == (16, 16)
    spec = as_model(pipeline).spec
    assert spec.distilled
    assert not as_model(tiny_stable_diffusion()).spec.distilled


@torch.no_grad()
@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
def test_concepts_are_stated_with_the_prompt_and_measured_against_it(name: str) -> None:
    pipeline = PIPELINES[name](torch.float64)
    ours = session(pipeline, guidance_scale=6.0)
    ours.momentum(scale=0)
    ours.add("hat", scale=7, threshold=0.8, warmup=1)
    ours.add("old", opposite="young", scale=4, threshold=0.5, warmup=1)
    scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(4)
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    noise = [torch.randn(1, 4, 8, 8, generator=g, dtype=torch.float64) for g in generators]
    image = torch.cat(noise)
    model = as_model(pipeline)
    texts = ("a cat", "a cat, hat", "a cat, old", "a cat, young")
    encoded = {text: model.encode_prompt(text, "prompt", ours.scene).tensors for text in texts}
    for call, timestep in enumerate(scheduler.timesteps):
        predicted = []
        for tensors in encoded.values():
            rows = {k: v.expand(len(SEEDS), *v.shape[1:]) for k, v in tensors.items()}
            added = {k: rows.pop(k) for k in ("text_embeds", "time_ids") if k in rows}
            predicted.append(
                pipeline.unet(image, timestep, added_cond_kwargs=added or None, **rows).sample
            )
        text, hat, old, young = predicted
        guided = text
        if call >= 1:
            for direction, threshold in ((7 * (hat - text), 0.8), (4 * (old - young), 0.5)):
                least = direction.abs().flatten(2).float().quantile(threshold, dim=2)
                mask = direction.abs() >= least[:, :, None, None].double()
                guided = guided + direction * mask
        image = scheduler.step(guided, timestep, image, generator=generators).prev_sample
    assert (latents(ours) - image).abs().max() <= 1e-10 * image.abs().max()


@pytest.mark.parametrize("name", PIPELINES)
def test_what_needs_an_unconditional_prediction_is_refused(name: str) -> None:
    pipeline = PIPELINES[name](torch.float32)
    with pytest.raises(InvalidValueError, match="negative_prompt is 'dull'; allowed: ''"):
        session(pipeline, negative_prompt="dull")
    with pytest.warns(NoEffectWarning, match="guidance_rescale=0.5 has no effect"):
        session(pipeline, guidance_rescale=0.5)
