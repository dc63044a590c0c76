"""Guidance by the prompt, on tensors small enough to check by eye."""

from __future__ import annotations

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from torch import Tensor

from sega_session.models import classifier_free_guidance
from sega_session.state import Scene


def full(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value)


def scene(guidance_scale: float, guidance_rescale: float = 0.0) -> Scene:
    return Scene(
        prompt="a cat",
        guidance_scale=guidance_scale,
        guidance_rescale=guidance_rescale,
        height=16,
        width=16,
    )


def test_classifier_free_guidance_starts_from_the_unconditional_prediction() -> None:
    found = classifier_free_guidance(full(1.0), full(3.0), scene(2.5), [full(0.25), full(0.5)])
    assert torch.equal(found, full(1 + 2.5 * 2 + 0.75))


def test_up_to_a_scale_of_one_the_base_is_the_text_prediction() -> None:
    for uncond in (full(1.0), None):
        found = classifier_free_guidance(uncond, full(3.0), scene(1), [full(0.25)])
        assert torch.equal(found, full(3.25))


def test_guidance_is_rescaled_as_diffusers_does() -> None:
    generator = torch.Generator().manual_seed(0)
    uncond, text, concept = torch.randn(3, 2, 4, 8, 8, generator=generator)
    plain = classifier_free_guidance(uncond, text, scene(5), [concept])
    for share in (0.3, 0.7, 1.0):
        found = classifier_free_guidance(uncond, text, scene(5, share), [concept])
        torch.testing.assert_close(found, rescale_noise_cfg(plain, text, share))
