"""Compare `from_diffusers` with diffusers' pipeline for the same arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch

from sega_session import from_diffusers
from sega_session.errors import InvalidValueError
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
