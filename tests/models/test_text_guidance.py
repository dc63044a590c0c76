"""Guidance by the prompt, on tensors small enough to check by eye."""

from __future__ import annotations

import torch
from torch import Tensor

from sega_session.models import classifier_free_guidance


def full(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value)


def test_classifier_free_guidance_starts_from_the_unconditional_prediction() -> None:
    found = classifier_free_guidance(full(1.0), full(3.0), 2.5, [full(0.25), full(0.5)])
    assert torch.equal(found, full(1 + 2.5 * 2 + 0.75))


def test_up_to_a_scale_of_one_the_base_is_the_text_prediction() -> None:
    for uncond in (full(1.0), None):
        assert torch.equal(classifier_free_guidance(uncond, full(3.0), 1, [full(0.25)]), full(3.25))
