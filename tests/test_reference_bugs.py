"""Pin the behaviour of the reference where it is broken, and the defined behaviour here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sega_session import EditSession, from_diffusers
from sega_session.errors import InvalidValueError
from tests.support.pipelines import SCHEDULERS, reference_pipeline, tiny_stable_diffusion

STEPS = 6


def session(pipeline: Any, **arguments: Any) -> EditSession:
    made = EditSession(pipeline, "a cat", seed=1, num_inference_steps=STEPS, **arguments)
    made.momentum(scale=0)
    return made


def reference(pipeline: Any, **arguments: Any) -> Any:
    return reference_pipeline(pipeline)(
        "a cat",
        generator=torch.Generator().manual_seed(1),
        num_inference_steps=STEPS,
        edit_momentum_scale=0,
        output_type="latent",
        **arguments,
    ).images


def latents(made: EditSession) -> torch.Tensor:
    return made.render(output_type="latent").latents


def test_all_warm_concepts_cooled_while_another_warms_up() -> None:
    pipeline = tiny_stable_diffusion()
    theirs = reference(
        pipeline,
        editing_prompt=["hat", "beard"],
        edit_warmup_steps=[0, 4],
        edit_cooldown_steps=[2, 9],
    )
    assert theirs.isnan().any()
    ours = session(pipeline)
    ours.add("hat", warmup=0, cooldown=2)
    ours.add("beard", warmup=4)
    assert latents(ours).isfinite().all()


def test_negative_weights() -> None:
    pipeline = tiny_stable_diffusion()
    muted = reference(
        pipeline, editing_prompt=["hat", "beard"], edit_warmup_steps=1, edit_weights=[1, -1]
    )
    alone = reference(pipeline, editing_prompt=["hat"], edit_warmup_steps=1)
    assert (muted - alone).abs().max() < 1e-3
    with pytest.raises(InvalidValueError, match=r"weight is -1\.0; .* use inverted=True or invert"):
        from_diffusers(pipeline, "a cat", editing_prompt=["hat", "beard"], edit_weights=[1, -1])


def test_guidance_scale_up_to_one_keeps_the_edits() -> None:
    pipeline = tiny_stable_diffusion()
    theirs = reference(pipeline, guidance_scale=1.0, editing_prompt=["hat"], edit_warmup_steps=2)
    base = session(pipeline, guidance_scale=1.0)
    assert torch.equal(theirs, latents(base))
    base.add("hat", warmup=2)
    edited = latents(base)
    assert not torch.allclose(edited, theirs, atol=1e-2)
    # Just above 1 the reference applies the edits; its result is the limit.
    limit = reference(
        pipeline, guidance_scale=1 + 1e-6, editing_prompt=["hat"], edit_warmup_steps=2
    )
    torch.testing.assert_close(edited, limit, rtol=1e-3, atol=1e-2)


def test_replayed_guidance_keeps_half_precision() -> None:
    pipeline = tiny_stable_diffusion(dtype=torch.float16)
    recorded = torch.randn(STEPS + 1, 1, 4, 8, 8)
    with pytest.raises(RuntimeError, match=r"dtype|expected"):
        reference(pipeline, sem_guidance=list(recorded))
    assert latents(session(pipeline, sem_guidance=recorded)).dtype == torch.float16


def test_heuns_calls_fit() -> None:
    pipeline = tiny_stable_diffusion(scheduler=SCHEDULERS["Heun"]())
    plain = type(reference_pipeline(pipeline))(
        **{k: v for k, v in pipeline.components.items() if k != "image_encoder"},
        requires_safety_checker=False,
    )
    with pytest.raises(IndexError):
        plain("a cat", num_inference_steps=STEPS, editing_prompt=["hat"])
    ours = session(pipeline)
    ours.add("hat", warmup=8)
    assert ours.num_calls == 2 * STEPS - 1
    assert ours.render(output_type="latent").evaluations == 2 * 11 + 3


def test_embeddings_of_several_concepts_in_a_batch() -> None:
    pipeline = tiny_stable_diffusion()
    words = ("hat", "beard")
    embeds = torch.cat(
        [
            pipeline.encode_prompt(word, "cpu", 1, do_classifier_free_guidance=False)[0]
            for word in words
        ]
    )
    arguments: dict[str, Any] = {
        "num_inference_steps": STEPS,
        "num_images_per_prompt": 2,
        "edit_warmup_steps": 1,
    }
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    by_prompt = from_diffusers(
        pipeline, "a cat", generator=generators, editing_prompt=words, **arguments
    )
    by_embeds = from_diffusers(
        pipeline, "a cat", generator=generators, editing_prompt_embeddings=embeds, **arguments
    )
    assert torch.equal(latents(by_prompt), latents(by_embeds))
