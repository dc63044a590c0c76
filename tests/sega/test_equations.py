"""The equations on tensors small enough to check by eye."""

from __future__ import annotations

import pytest
import torch

from sega_session.sega.equations import (
    concept_guidance,
    update_momentum,
    upper_quantile,
    weighted_sum,
    with_momentum,
)


def test_the_threshold_is_per_image_and_per_channel() -> None:
    concept = torch.tensor([[[[1.0, -2.0], [3.0, 4.0]], [[10.0, 20.0], [-40.0, 30.0]]]])
    concept = torch.cat([concept, -100 * concept])
    kept = concept_guidance(torch.zeros_like(concept), concept, scale=2, threshold=0.5)
    first = torch.tensor([[[0.0, 0.0], [6.0, 8.0]], [[0.0, 0.0], [-80.0, 60.0]]])
    assert torch.equal(kept, torch.stack([first, -100 * first]))


def test_an_entry_at_the_quantile_is_kept() -> None:
    # Of five magnitudes the quantile 0.75 is the fourth itself, with nothing to interpolate.
    concept = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]).view(1, 1, 1, 5)
    kept = concept_guidance(torch.zeros_like(concept), concept, scale=1, threshold=0.75)
    assert kept.flatten().tolist() == [0, 0, 0, 4, 5]


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1024])
@pytest.mark.parametrize("level", [0.0, 0.25, 1 / 3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.9999])
def test_the_quantile_is_that_of_torch_in_every_bit(size: int, level: float) -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 4, size).abs()
    # Ties; a channel of one value; one with what is not a number; one with infinities.
    values[0, 1] = values[0, 1].half().float().round(decimals=1)
    values[0, 2] = 0
    values[1, 0, size // 2] = torch.nan
    values[1, 1, : size // 2] = torch.inf
    torch.testing.assert_close(
        upper_quantile(values, level),
        torch.quantile(values, level, dim=2),
        rtol=0,
        atol=0,
        equal_nan=True,
    )


def test_a_negative_scale_turns_the_direction_and_keeps_the_mask() -> None:
    torch.manual_seed(0)
    uncond, concept = torch.randn(2, 2, 4, 8, 8)
    toward = concept_guidance(uncond, concept, scale=3, threshold=0.9)
    away = concept_guidance(uncond, concept, scale=-3, threshold=0.9)
    assert torch.equal(away, -toward)
    assert (toward != 0).float().mean().item() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    uncond, concept, momentum = torch.randn(3, 1, 4, 8, 8).to(dtype)
    kept = concept_guidance(uncond, concept, scale=5, threshold=0.9)
    total = weighted_sum([kept, kept], [0.25, 0.75])
    moved = update_momentum(momentum, with_momentum(total, momentum, 0.3), 0.6)
    assert {kept.dtype, total.dtype, moved.dtype} == {dtype}
    # The quantile is taken in float32, so the same entries are kept as there, but for ties.
    exact = concept_guidance(uncond.float(), concept.float(), scale=5, threshold=0.9)
    assert ((kept != 0) != (exact != 0)).float().mean().item() <= 0.02


def test_weighted_sum() -> None:
    ones = torch.ones(1, 1, 2, 2)
    assert torch.equal(weighted_sum([ones, 10 * ones], [0.5, 2.0]), 20.5 * ones)


def test_momentum_decays_as_the_paper_says() -> None:
    # Without guidance, momentum shrinks by β + (1 - β) · s_m a call (Eqs. 7 and 8).
    momentum = torch.ones(1, 1, 1, 1)
    guidance = with_momentum(torch.zeros_like(momentum), momentum, 0.5)
    assert update_momentum(momentum, guidance, 0.4).item() == pytest.approx(0.4 + 0.6 * 0.5)
