"""The schedulers of each family, at their usual settings: images equal to those of diffusers.

`test_samplers` tests more settings of each, edits and files.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from diffusers.schedulers import scheduling_flow_match_lcm
from torch import Tensor

from sega_session import EditSession
from sega_session.errors import SegaSessionError, UnsupportedPipelineError
from sega_session.models import as_model
from tests.support.families import FAMILIES, STEPS, Family, own_latents, size_of, unpacked

from .test_samplers import COMPATIBLE, FLOW, Case, noise_case

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

NOISE = [*map(noise_case, COMPATIBLE), noise_case("LCMScheduler"), noise_case("TCDScheduler")]

SHIFTED = {**FLOW, "use_dynamic_shifting": True}

VELOCITY = [
    Case("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
    Case("FlowMatchHeunDiscreteScheduler"),
    Case("FlowMatchLCMScheduler", {"use_dynamic_shifting": True}),
    Case("DEISMultistepScheduler", SHIFTED),
    Case("DPMSolverMultistepScheduler", SHIFTED),
    Case("DPMSolverSinglestepScheduler", SHIFTED),
    Case("UniPCMultistepScheduler", SHIFTED),
]

CASES = [
    pytest.param(family, case.scheduler.removesuffix("Scheduler"), case, id=f"{family}-{case}")
    for family in FAMILIES
    for case in (NOISE if family.predicts == "noise" else VELOCITY)
]


@cache
def pipeline_of(family: Family) -> Any:
    return family.build()


def packed_noise(shape: tuple[int, ...], **_: Any) -> Tensor:
    """Return noise for packed latents: the numbers that a session draws, for spatial ones."""
    images, tokens, numbers = shape
    side = math.isqrt(tokens) * 2
    noise = torch.randn(images, numbers // 4, side, side)
    packed: Tensor = FluxPipeline._pack_latents(noise, *noise.shape)  # noqa: SLF001
    return packed


@pytest.mark.feature("a scheduler", by="sampler")
@pytest.mark.parametrize(("family", "sampler", "case"), CASES)
def test_images_are_those_of_the_pipeline(
    family: Family, sampler: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(family)
    monkeypatch.setattr(pipeline, "scheduler", case.make(monkeypatch))
    height, width = size_of(pipeline) or (None, None)

    def begin() -> EditSession:
        return EditSession(
            pipeline, "a cat", seed=3, num_inference_steps=STEPS, height=height, width=width
        )

    size = size_of(pipeline) or as_model(pipeline).spec.default_size
    assert size is not None
    # All noise comes from this seed then: some pipelines pass their schedulers no generator.
    torch.manual_seed(3)
    try:
        with monkeypatch.context() as patch:
            if family.spatial is unpacked:
                patch.setattr(scheduling_flow_match_lcm, "randn_tensor", packed_noise)
            expected = own_latents(family, pipeline, "a cat", (3,), size, generator=None)
    except (TypeError, ValueError):
        with pytest.raises(SegaSessionError):
            begin()
        pytest.skip("the pipeline itself cannot run this scheduler: refused with the reason")
    found = begin().render(output_type="latent").latents
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.feature("a scheduler, from a photograph", by="sampler")
@pytest.mark.parametrize(("family", "sampler", "case"), CASES)
def test_photographs_are_reproduced_to_the_bit(
    family: Family, sampler: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(family)
    monkeypatch.setattr(pipeline, "scheduler", case.make(monkeypatch))
    size = size_of(pipeline) or as_model(pipeline).spec.default_size
    assert size is not None
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)

    def begin(**arguments: Any) -> EditSession:
        session = EditSession.from_photo(
            pixels,
            pipeline,
            num_inference_steps=STEPS,
            height=size[0],
            width=size[1],
            batch_plan="canonical",
            **arguments,
        )
        session.add("hat", scale=9, warmup=2)
        return session

    try:
        session = begin()
    except UnsupportedPipelineError as error:
        pytest.skip(f"refused by name: {str(error).partition(';')[0]}")
    except SegaSessionError:
        pytest.skip("the pipeline itself cannot run this scheduler: refused with the reason")
    edited = session.render(output_type="latent").latents
    assert edited.isfinite().all()
    session.undo()
    render = session.render(output_type="latent")
    with torch.no_grad():
        tensor = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float() / 255
        assert torch.equal(render.latents, as_model(pipeline).encode_image(tensor))
    assert not torch.equal(render.latents, edited)
    # The sampler arrives at the same bits where nothing is recorded.
    assert torch.equal(begin(cache_bytes=0).render(output_type="latent").latents, edited)
