"""Compare the core maths with diffusers' SEGA pipeline and its schedulers."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sega_session import EditSession
from tests.support.pipelines import (
    SCHEDULERS,
    reference_pipeline,
    reference_steps,
    tiny_stable_diffusion,
)

MODELS = ("epsilon", "v_prediction")


@functools.cache
def model(prediction_type: str, scheduler: str) -> tuple[Any, Any]:
    """Build a pipeline and the reference on the same models."""
    pipeline = tiny_stable_diffusion(
        scheduler=SCHEDULERS[scheduler](), prediction_type=prediction_type
    )
    return pipeline, reference_pipeline(pipeline)


quarters = st.integers(1, 12).map(lambda n: n / 4)


@st.composite
def concepts(draw: st.DrawFn, steps: int) -> dict[str, Any]:
    warmup = draw(st.integers(0, steps + 1))
    return {
        "prompt": draw(st.sampled_from(["glasses", "smile", "a hat", "beard", "curly hair"])),
        "scale": draw(st.floats(0.5, 12)),
        "threshold": draw(st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.95, 0.99])),
        "warmup": warmup,
        "cooldown": draw(st.none() | st.integers(warmup, steps + 2)),
        "weight": draw(quarters),
        "inverted": draw(st.booleans()),
    }


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.integers(3, 7))
    return {
        "steps": steps,
        "prediction_type": draw(st.sampled_from(MODELS)),
        "scheduler": draw(st.sampled_from(sorted(SCHEDULERS))),
        "seeds": draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=3, unique=True)),
        "negative_prompt": draw(st.sampled_from(["", "blurry"])),
        "guidance_scale": draw(st.floats(1.5, 12)),
        "eta": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "momentum_scale": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])),
        "momentum_beta": draw(st.sampled_from([0.0, 0.4, 0.6, 0.9])),
        "concepts": draw(
            st.lists(concepts(steps), min_size=1, max_size=4, unique_by=lambda c: c["prompt"])
        ),
    }


def ours(pipeline: Any, case: dict[str, Any]) -> tuple[Tensor, int, int]:
    """Return the final latents, the evaluations, and those of every condition at every call."""
    session = EditSession(
        pipeline,
        "a portrait",
        negative_prompt=case["negative_prompt"],
        seed=case["seeds"],
        num_inference_steps=case["steps"],
        guidance_scale=case["guidance_scale"],
        eta=case["eta"],
    )
    session.momentum(scale=case["momentum_scale"], beta=case["momentum_beta"])
    for concept in case["concepts"]:
        session.add(**concept)
    render = session.render(output_type="latent")
    every = (2 + len(case["concepts"])) * session.num_calls * len(case["seeds"])
    return render.latents, render.evaluations, every


def theirs(pipeline: Any, reference: Any, case: dict[str, Any]) -> Tensor:
    parameters = inspect.signature(reference.scheduler.step).parameters
    chosen = case["concepts"]
    calls = 2 * case["steps"] + 2
    latents: Tensor = reference(
        "a portrait",
        negative_prompt=case["negative_prompt"],
        num_images_per_prompt=len(case["seeds"]),
        generator=[torch.Generator().manual_seed(seed) for seed in case["seeds"]],
        num_inference_steps=reference_steps(pipeline, case["steps"]),
        guidance_scale=case["guidance_scale"],
        eta=case["eta"] if "eta" in parameters else 0.0,
        editing_prompt=[c["prompt"] for c in chosen],
        reverse_editing_direction=[c["inverted"] for c in chosen],
        edit_guidance_scale=[c["scale"] for c in chosen],
        edit_warmup_steps=[c["warmup"] for c in chosen],
        # The reference accepts no None in a list of cool-downs: use a call that never comes.
        edit_cooldown_steps=[calls if c["cooldown"] is None else c["cooldown"] for c in chosen],
        edit_threshold=[c["threshold"] for c in chosen],
        edit_momentum_scale=case["momentum_scale"],
        edit_mom_beta=case["momentum_beta"],
        edit_weights=[c["weight"] for c in chosen],
        output_type="latent",
    ).images
    return latents


def check_case(case: dict[str, Any]) -> None:
    """Compare the final latents of a case with the reference's."""
    pipeline, reference = model(case["prediction_type"], case["scheduler"])
    latents, evaluations, every = ours(pipeline, case)
    expected = theirs(pipeline, reference, case)
    assert latents.isfinite().all()
    if expected.isnan().any():
        # All its warm concepts had cooled down while another warmed up: 0 / 0.
        event("the reference divides by zero")
    elif evaluations == every:
        event("same batch: equal bits")
        assert torch.equal(latents, expected)
    else:
        event("fewer evaluations: equal to 1e-5")
        assert (latents - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)


@pytest.mark.filterwarnings("ignore::sega_session.errors.NoEffectWarning")
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(case=cases())
def test_latents_equal_the_reference(case: dict[str, Any]) -> None:
    check_case(case)
