"""Test `EditSession`: evaluation counts, batches, inputs, outputs, errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sega_session import EditSession
from sega_session.errors import (
    InvalidValueError,
    ModelChangedError,
    NoEffectWarning,
    NotFiniteError,
    PromptTruncatedWarning,
    SegaSessionError,
    UnknownConceptError,
    UnsupportedPipelineError,
    redirect_warnings,
)
from tests.support.pipelines import SCHEDULERS, TOKENS, tiny_stable_diffusion


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def make(pipeline: Any, prompt: str = "a portrait", **arguments: Any) -> EditSession:
    """Return a session of 10 model calls without momentum."""
    session = EditSession(pipeline, prompt, **{"num_inference_steps": 10, **arguments})
    session.momentum(scale=0)
    return session


# Evaluation counts: T = 10 calls, warm-up 4, one image; by hand.


def test_only_conditions_that_matter_are_evaluated(pipeline: Any) -> None:
    def count(*edits: Callable[[EditSession], object]) -> int:
        session = make(pipeline, cache_bytes=0)
        for edit in edits:
            edit(session)
        return session.render(output_type="latent").evaluations

    assert count() == 2 * 10
    assert count(lambda s: s.add("hat", warmup=4)) == 2 * 10 + 6
    assert count(lambda s: s.add("hat", warmup=4, cooldown=7)) == 2 * 10 + 3
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: scale is 0. Raise scale"):
        assert count(lambda s: s.add("hat", warmup=4, scale=0)) == 2 * 10
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: weight is 0. Raise weight"):
        assert count(lambda s: s.add("hat", warmup=4, weight=0)) == 2 * 10
    assert count(lambda s: s.add("hat", warmup=4), lambda s: s.disable("hat")) == 2 * 10
    assert count(lambda s: s.add("hat", warmup=4), lambda s: s.momentum(scale=0.5)) == 3 * 10
    assert (
        count(lambda s: s.add("hat", warmup=4), lambda s: s.add("hat", "cap", warmup=4))
        == 2 * 10 + 6
    )
    # With classifier-free guidance off only the prompt is evaluated, until a concept applies.
    assert make(pipeline, guidance_scale=1).render(output_type="latent").evaluations == 10
    off = make(pipeline, guidance_scale=1)
    off.add("hat", warmup=4)
    assert off.render(output_type="latent").evaluations == 10 + 2 * 6


def test_no_prediction_is_evaluated_twice(pipeline: Any) -> None:
    session = make(pipeline)

    def count() -> int:
        return session.render(output_type="latent").evaluations

    assert count() == 2 * 10
    assert count() == 0
    session.add("hat", warmup=4)
    # Latents first differ after call 4, so from call 5 on all three branches are new.
    assert count() == 1 + 3 * 5
    session.disable("hat")
    assert count() == 0
    session.enable("hat")
    assert count() == 0
    session.reweight("hat", scale=7)
    assert count() == 3 * 5
    session.invert("hat")
    assert count() == 3 * 5
    session.invert("hat")
    session.reweight("hat", scale=5.0)
    assert count() == 0
    session.update("hat", threshold=0.5)
    assert count() == 3 * 5
    session.update("hat", name="cap", cooldown=10)
    assert count() == 0
    session.add("beard", warmup=4)
    assert count() == 1 + 4 * 5
    # A partial warm-up moves the first call that changes: beard alone is applied from call 2.
    session.update("beard", warmup=2)
    assert count() == 1 + 3 * 1 + 4 * 6
    session.remove("cap")
    session.remove("beard")
    assert count() == 0


def test_evaluations_count_every_image(pipeline: Any) -> None:
    assert make(pipeline, seed=[1, 2, 3]).render(output_type="latent").evaluations == 3 * 2 * 10


an_edit = st.one_of(
    st.tuples(
        st.just("update"),
        st.sampled_from(["hat", "beard"]),
        st.sampled_from(
            [
                {"scale": 0},
                {"scale": 6},
                {"warmup": 0},
                {"warmup": 3},
                {"cooldown": None},
                {"cooldown": 5},
                {"threshold": 0.5},
                {"weight": 0.5},
                {"inverted": True},
                {"enabled": False},
                {"enabled": True},
                {"prompt": "smile"},
            ]
        ),
    ),
    st.tuples(
        st.just("momentum"),
        st.none(),
        st.fixed_dictionaries(
            {"scale": st.sampled_from([0, 0.5]), "beta": st.sampled_from([0, 0.5])}
        ),
    ),
)


walks = st.lists(an_edit, min_size=1, max_size=6)


def check_cache(pipeline: Any, walk: list[Any]) -> None:
    """Compare renders along a walk, from the cache and from scratch.

    A row's last bits depend on its batch, and rarely they decide whether an entry reaches a
    concept's threshold. In float64 that does not happen here, so the bound can be tight.
    """
    sessions = kept, cold, canonical, canonical_cold = [
        make(pipeline, num_inference_steps=6, cache_bytes=cache_bytes, batch_plan=batch_plan)
        for batch_plan in ("together", "canonical")
        for cache_bytes in (2**30, 0)
    ]
    for session in sessions:
        session.add("hat", warmup=2)
        session.add("beard", warmup=2)
    for kind, name, fields in walk:
        for session in sessions:
            if kind == "momentum":
                session.momentum(**fields)
            else:
                session.update(name, **fields)
        planned = kept.plan()
        found = kept.render(output_type="latent")
        assert found.evaluations == planned
        expected = cold.render(output_type="latent").latents
        assert (found.latents - expected).abs().max() <= 1e-10 * expected.abs().max()
        assert torch.equal(
            canonical.render(output_type="latent").latents,
            canonical_cold.render(output_type="latent").latents,
        )


@pytest.mark.filterwarnings("ignore::sega_session.NoEffectWarning")
@settings(max_examples=5, deadline=None, derandomize=True, database=None)
@given(walk=walks)
def test_a_render_from_the_cache_equals_one_from_scratch(walk: list[Any]) -> None:
    check_cache(tiny_stable_diffusion(dtype=torch.float64), walk)


def test_the_cache_keeps_to_its_budget(pipeline: Any) -> None:
    one = 4 * 8 * 8 * 4  # bytes of one prediction: channels, height, width, float32
    session = make(pipeline, cache_bytes=30 * one)
    first = session.render(output_type="latent")
    # 10 calls of latents, uncond and text, and the final latents, less the one that does not fit.
    assert session.cache.bytes == 30 * one
    session.add("hat", warmup=0)
    session.render(output_type="latent")
    assert session.cache.bytes == 30 * one
    # An unedited render that fits is kept.
    session = make(pipeline, cache_bytes=31 * one)
    session.render()
    session.add("hat", warmup=0)
    session.render(output_type="latent")
    assert session.cache.bytes == 31 * one
    session.remove("hat")
    again = session.render(output_type="latent")
    assert again.evaluations == 0
    torch.testing.assert_close(again.latents, first.latents, rtol=1e-5, atol=1e-4)


# Batches, embeddings, latents.


def test_each_seed_of_a_batch_is_its_own_image(pipeline: Any) -> None:
    batch = make(pipeline, seed=[3, 8], eta=1.0)
    batch.add("hat", warmup=2)
    for row, seed in enumerate([3, 8]):
        alone = make(pipeline, seed=seed, eta=1.0)
        alone.add("hat", warmup=2)
        torch.testing.assert_close(
            batch.render(output_type="latent").latents[row],
            alone.render(output_type="latent").latents[0],
            rtol=1e-5,
            atol=1e-4,
        )


def test_embeddings_do_what_their_prompt_does(pipeline: Any) -> None:
    embeds = pipeline.encode_prompt("hat", "cpu", 1, do_classifier_free_guidance=False)[0]
    by_prompt, by_embeds = make(pipeline), make(pipeline)
    by_prompt.add("hat", warmup=2)
    by_embeds.add(name="h", prompt_embeds=embeds, warmup=2)
    expected = by_prompt.render(output_type="latent").latents
    assert torch.equal(by_embeds.render(output_type="latent").latents, expected)
    with pytest.raises(InvalidValueError, match="none, since 'h' is defined by embeddings"):
        by_embeds.update("h", prompt="cap")


def test_given_embeddings_are_copied(pipeline: Any) -> None:
    embeds = torch.randn(1, TOKENS, 16)
    session = make(pipeline, cache_bytes=0)
    session.add(name="x", prompt_embeds=embeds, warmup=2)
    expected = session.render(output_type="latent").latents
    embeds.zero_()
    assert torch.equal(session.render(output_type="latent").latents, expected)


def test_embeddings_for_a_batch_keep_their_order(pipeline: Any) -> None:
    words = [
        pipeline.encode_prompt(w, "cpu", 1, do_classifier_free_guidance=False)[0]
        for w in ("hat", "beard")
    ]
    session = make(pipeline, seed=[1, 2])
    session.add(name="each its own", prompt_embeds=torch.cat(words), warmup=2)
    latents = session.render(output_type="latent").latents
    for row, word in enumerate(("hat", "beard")):
        other = make(pipeline, seed=[1, 2])
        other.add(word, warmup=2)
        assert torch.equal(latents[row], other.render(output_type="latent").latents[row])


def test_given_latents_are_used_and_copied(pipeline: Any) -> None:
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    session = make(pipeline, latents=noise)
    expected = make(pipeline, seed=5).render(output_type="latent").latents
    noise.zero_()
    assert torch.equal(session.render(output_type="latent").latents, expected)


def test_fp16_stays_fp16() -> None:
    pipeline = tiny_stable_diffusion(dtype=torch.float16)
    session = make(pipeline, sem_guidance=torch.randn(11, 1, 4, 8, 8))
    session.add("hat", warmup=2)
    session.momentum(scale=0.5)
    render = session.render(output_type="np")
    assert render.latents.dtype == torch.float16
    assert render.latents.isfinite().all()


# Outputs, the progress bar, the callback.


def test_output_types(pipeline: Any) -> None:
    session = make(pipeline, seed=[1, 2])
    pil = session.render()
    assert [image.size for image in pil.images] == [(16, 16)] * 2
    assert isinstance(pil.image, PIL.Image.Image)
    assert pil.nsfw_content_detected is None
    array = session.render(output_type="np").images
    assert isinstance(array, np.ndarray)
    assert array.shape == (2, 16, 16, 3)
    assert 0 <= array.min() <= array.max() <= 1
    tensor = session.render(output_type="pt").images
    assert isinstance(tensor, torch.Tensor)
    assert tensor.shape == (2, 3, 16, 16)
    latent = session.render(output_type="latent")
    assert isinstance(latent.images, torch.Tensor)
    assert torch.equal(latent.images, latent.latents)
    with pytest.raises(InvalidValueError, match="output_type is 'jpeg'; allowed: one of 'pil'"):
        session.render(output_type="jpeg")  # type: ignore[arg-type]


def test_the_base_image_is_that_of_stable_diffusion(pipeline: Any) -> None:
    for guidance_scale in (7.5, 1.0, 0.5):
        session = make(pipeline, seed=4, guidance_scale=guidance_scale, negative_prompt="fog")
        expected = pipeline(
            "a portrait",
            negative_prompt="fog",
            num_inference_steps=10,
            guidance_scale=guidance_scale,
            generator=torch.Generator().manual_seed(4),
            output_type="np",
        ).images
        found = session.render(output_type="np").images
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found, expected)


def test_settings_that_a_pipeline_corrects_stay_corrected() -> None:
    # StableDiffusionPipeline sets DDIM's clip_sample and PNDM's steps_offset where they were left
    # at their defaults.
    for scheduler in (diffusers.DDIMScheduler(), diffusers.PNDMScheduler(skip_prk_steps=True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            pipeline = tiny_stable_diffusion(scheduler=scheduler)
        expected = pipeline(
            "a portrait",
            num_inference_steps=10,
            generator=torch.Generator().manual_seed(4),
            output_type="latent",
        ).images
        found = make(pipeline, seed=4).render(output_type="latent").latents
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "name",
    [
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "KDPM2DiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "DPMSolverSinglestepScheduler",
        "EDMEulerScheduler",
        "SASolverScheduler",
        "LCMScheduler",
        "TCDScheduler",
    ],
)
def test_other_schedulers_render_the_same_again(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = tiny_stable_diffusion(scheduler=getattr(diffusers, name)())
        session, cold = (
            make(pipeline, num_inference_steps=6, batch_plan="canonical", cache_bytes=cache_bytes)
            for cache_bytes in (2**30, 0)
        )
        session.render(output_type="latent")
        for one in (session, cold):
            one.add("hat", warmup=2)
        found = session.render(output_type="latent")
        assert torch.equal(found.latents, cold.render(output_type="latent").latents)
        assert found.evaluations < 2 * session.num_calls + session.num_calls


def test_the_callback_sees_every_call(pipeline: Any) -> None:
    session = make(tiny_stable_diffusion(scheduler=SCHEDULERS["PNDM"]()))
    seen: list[Any] = []

    def callback(owner: EditSession, call: int, timestep: Any, given: Any) -> Any:
        seen.append((owner, call, given["latents"]))
        return given

    render = session.render(output_type="latent", callback_on_step_end=callback)
    assert [(owner, call) for owner, call, _ in seen] == [(session, i) for i in range(11)]
    assert torch.equal(seen[-1][2], render.latents)


def test_a_callback_can_cancel_and_nothing_is_lost(pipeline: Any) -> None:
    class CancelError(Exception):
        pass

    def cancel(owner: EditSession, call: int, timestep: Any, given: Any) -> None:
        if call == 5:
            raise CancelError

    session = make(pipeline)
    session.add("hat", warmup=2)
    before = session.state
    with pytest.raises(CancelError):
        session.render(callback_on_step_end=cancel)
    assert session.state is before
    # Calls 0 to 5 were evaluated and are kept: what is left is calls 6 to 9.
    assert session.render(output_type="latent").evaluations == 3 * 4


def test_a_callback_cannot_change_the_image(pipeline: Any) -> None:
    expected = make(pipeline).render(output_type="latent").latents
    session = make(pipeline)
    for wrong in ({"latents": expected}, True, "stop"):
        with pytest.raises(InvalidValueError, match="callback_on_step_end's result is"):
            session.render(callback_on_step_end=lambda *_, wrong=wrong: wrong)
    with pytest.raises(InvalidValueError, match="callback_on_step_end is 'x'; allowed: a function"):
        session.render(callback_on_step_end="x")  # type: ignore[arg-type]

    def scribble(owner: EditSession, call: int, timestep: Any, given: Any) -> None:
        given["latents"].zero_()

    found = session.render(output_type="latent", callback_on_step_end=scribble).latents
    assert torch.equal(found, expected)


def test_the_progress_bar_is_the_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    session.render()
    assert capsys.readouterr().err == ""
    pipeline.set_progress_bar_config(desc="Drawing")
    session.add("hat", warmup=2)
    session.render()
    assert "Drawing: 100%" in capsys.readouterr().err


def fingerprint(pipeline: Any) -> Any:
    """Everything on a pipeline that a library could patch: attributes, methods, hooks, weights."""
    parts = {name: part for name, part in pipeline.components.items() if part is not None}
    modules = {
        f"{name}.{path}": (
            sorted(vars(module)),
            len(vars(module)["_forward_hooks"]) + len(vars(module)["_forward_pre_hooks"]),
            id(vars(module).get("forward")),
            id(vars(module).get("processor")),
        )
        for name, part in parts.items()
        if isinstance(part, torch.nn.Module)
        for path, module in part.named_modules()
    }
    configs = {name: repr(getattr(part, "config", part)) for name, part in parts.items()}
    scheduler = {key: repr(value) for key, value in vars(pipeline.scheduler).items()}
    weights = {
        f"{name}.{key}": value.sum().item()
        for name, part in parts.items()
        if isinstance(part, torch.nn.Module)
        for key, value in part.state_dict().items()
    }
    identities = {name: id(part) for name, part in parts.items()}
    return modules, configs, scheduler, weights, identities


def test_the_pipeline_is_never_changed() -> None:
    pipeline = tiny_stable_diffusion(scheduler=SCHEDULERS["DPM++ 2M"]())
    before = fingerprint(pipeline)
    session = make(pipeline)
    session.add("hat", warmup=2)
    session.render()
    assert fingerprint(pipeline) == before
    pipeline.unet.mid_block.forward = pipeline.unet.mid_block.forward
    assert fingerprint(pipeline) != before


def test_what_a_user_does_to_a_result_stays_with_the_user(pipeline: Any) -> None:
    session = make(pipeline)
    first = session.render(output_type="latent").latents
    expected = first.clone()
    first.zero_()
    session.render(output_type="latent").latents.zero_()
    assert torch.equal(session.render(output_type="latent").latents, expected)


# Refusals: one typed error with the remedy, and the session as it was.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 17}, "height is 17; allowed: a multiple of 2 pixels, the model's factor. The"),
        ({"width": 1}, "width is 1; allowed: a multiple of 2 pixels, the model's factor. The s"),
        ({"num_inference_steps": 1001}, "num_inference_steps is 1001; allowed: an integer, at l"),
        ({"num_inference_steps": 1000}, "num_inference_steps is 1000; allowed: an integer, at l"),
        ({"prompt": "\ud800"}, "prompt is '\\ud800'; allowed: text. Half a character is not text"),
        ({"latents": torch.zeros(1, 4, 8, 9)}, "shape of latents is (1, 4, 8, 9); allowed: a t"),
        ({"latents": "noise"}, "shape of latents is 'str'; allowed: a tensor (1, 4, 8, 8): seed"),
        ({"latents": torch.full((1, 4, 8, 8), torch.nan)}, "latents is 'not finite'; allowed: f"),
        ({"latents": torch.zeros(1, 4, 8, 8).long()}, "latents is torch.int64; allowed: floatin"),
        ({"sem_guidance": [torch.zeros(1, 4, 8, 8)] * 9}, "sem_guidance is '9 x Tensor (1, 4, "),
        ({"sem_guidance": [None] * 10}, "sem_guidance is '10 x NoneType ()'"),
        ({"sem_guidance": 5}, "sem_guidance is '1 x int'; allowed: a tensor (1, 4, 8, 8) for each"),
        ({"seed": 1.5}, "seed is 1.5; allowed: an integer"),
        ({"batch_plan": "big"}, "batch_plan is 'big'; allowed: one of 'together', 'canonical'."),
        ({"cache_bytes": True}, "cache_bytes is True; allowed: an integer, at least 0."),
        ({"cache_bytes": -1}, "cache_bytes is -1; allowed: an integer, at least 0."),
    ],
)
def test_a_session_refuses(pipeline: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make(pipeline, **arguments)
    assert str(caught.value).startswith(message)


REFUSED_EDITS: list[Callable[[EditSession], object]] = [
    lambda s: s.add("hat"),
    lambda s: s.add("beard", scale=float("nan")),
    lambda s: s.add("beard", threshold=1.0),
    lambda s: s.add("beard", threshold=-0.1),
    lambda s: s.add("beard", warmup=10, cooldown=5),
    lambda s: s.add(""),
    lambda s: s.update("hat", prompt=" "),
    lambda s: s.add(prompt_embeds=torch.zeros(1, TOKENS, 16)),
    lambda s: s.add(name="beard", prompt_embeds=torch.full((1, TOKENS, 16), torch.inf)),
    lambda s: s.add(name="beard", prompt_embeds=torch.zeros(3, 3)),
    lambda s: s.add(name="beard", prompt_embeds="beard"),  # type: ignore[arg-type]
    lambda s: s.add(7),  # type: ignore[arg-type]
    lambda s: s.remove("beard"),
    lambda s: s.invert("beard"),
    lambda s: s.enable("beard"),
    lambda s: s.reweight("hat", weight=-1),
    lambda s: s.update("hat", colour="red"),
    lambda s: s.momentum(beta=1.0),
]


@pytest.mark.parametrize("edit", REFUSED_EDITS)
def test_a_refused_edit_changes_nothing(
    pipeline: Any, edit: Callable[[EditSession], object]
) -> None:
    session = make(pipeline)
    session.add("hat", warmup=2)
    before, image = session.state, session.render(output_type="latent").latents
    with pytest.raises(SegaSessionError):
        edit(session)
    assert session.state is before
    assert torch.equal(session.render(output_type="latent").latents, image)


def test_an_unknown_concept_is_named(pipeline: Any) -> None:
    session = make(pipeline)
    session.add("hat", warmup=2)
    with pytest.raises(UnknownConceptError, match="name is 'cap'; allowed: one of 'hat'"):
        session.reweight("cap", scale=3)


def test_embeddings_of_another_shape_are_refused(pipeline: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make(pipeline).add(name="x", prompt_embeds=torch.zeros(2, TOKENS, 16))
    assert str(caught.value) == (
        "shape of prompt_embeds is (2, 16, 16); allowed: (16, 16) or (1, 16, 16). "
        "Take them from the pipeline's own encode_prompt()."
    )


def test_other_objects_than_pipelines_are_refused() -> None:
    with pytest.raises(UnsupportedPipelineError, match=r"a str; .*load_pipeline\(name_or_path\)"):
        EditSession("stable-diffusion", "a cat")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_class_embeds": 8}, "the U-Net's num_class_embeds is 8; allowed: None"),
        ({"encoder_hid_dim_type": "ip_image_proj"}, "allowed: None, .* without adapters"),
        ({"in_channels": 9}, "takes 9 channels and gives 4, the VAE has 4; allowed: equal"),
    ],
)
def test_other_unets_are_refused(config: dict[str, Any], message: str) -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.unet.register_to_config(**config)
    with pytest.raises(UnsupportedPipelineError, match=message):
        EditSession(pipeline, "a cat")


def test_incomplete_pipelines_are_refused() -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.vae = None
    with pytest.raises(UnsupportedPipelineError, match="the pipeline's vae is None"):
        EditSession(pipeline, "a cat")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (diffusers.FlowMatchEulerDiscreteScheduler(), "is for flow matching; allowed: a sched"),
        (diffusers.DDPMScheduler(variance_type="learned_range"), "expects a learned variance"),
        (diffusers.RePaintScheduler(), "needs mask, original_image at every step"),
    ],
)
def test_other_schedulers_are_refused(scheduler: Any, message: str) -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.scheduler = scheduler
    with pytest.raises(UnsupportedPipelineError, match=message):
        EditSession(pipeline, "a cat")


def test_a_scheduler_says_how_many_steps_it_takes() -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.scheduler = diffusers.LCMScheduler()
    with pytest.raises(InvalidValueError, match=r"num_inference_steps is 60; .*LCMScheduler says:"):
        EditSession(pipeline, "a cat", num_inference_steps=60)


def test_a_pipeline_that_was_cast_is_refused() -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    session.render()
    pipeline.to(dtype=torch.float16)
    for call in (session.render, lambda: session.add("hat", warmup=2)):
        with pytest.raises(UnsupportedPipelineError, match=r"in torch\.float16 now; allowed: cpu"):
            call()
    # Casting back does not bring back the digits that were lost.
    pipeline.to(dtype=torch.float32)
    with pytest.raises(ModelChangedError, match=r"unet: weights changed"):
        session.render()
    session.refresh_model()
    assert session.render().evaluations > 0


def test_an_overflow_is_named_and_the_next_render_works(pipeline: Any) -> None:
    session = make(pipeline)
    session.add("hat", warmup=2, scale=1e38)
    with pytest.raises(NotFiniteError, match=r"overflowed in torch\.float32; .* Lower the"):
        session.render()
    session.reweight("hat", scale=5)
    assert session.render(output_type="latent").latents.isfinite().all()


def test_images_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    broken = torch.full((1, 3, 16, 16), torch.nan)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline.vae, "decode", lambda *_, **__: (broken,))
        with pytest.raises(NotFiniteError, match=r"the decoded images overflowed in torch\.float3"):
            session.render()
    # The latents were recorded, so nothing is evaluated again.
    assert session.render().evaluations == 0


def test_what_is_fixed_cannot_be_set(pipeline: Any) -> None:
    session = make(pipeline)
    for name in ("scene", "num_calls", "state", "concepts", "latents_shape"):
        with pytest.raises(AttributeError):
            setattr(session, name, None)
    assert session.latents_shape == (1, 4, 8, 8)


# Warnings.


def test_long_prompts_warn_with_what_was_cut(pipeline: Any) -> None:
    # One letter is one token: 16 less the start token leaves 15.
    with pytest.warns(PromptTruncatedWarning, match="reads 16 tokens; .* 'pqr'") as caught:
        make(pipeline).add("abcdefghijklmnopqr", warmup=2)
    assert caught[0].filename == __file__
    with pytest.warns(PromptTruncatedWarning, match="'op'"):
        make(pipeline, negative_prompt="abcdefghijklmnop")
    make(pipeline).add("abcdefghijklmno", warmup=2)


def test_another_session_has_the_same_pipeline_and_budgets(pipeline: Any) -> None:
    session = make(pipeline, cache_bytes=2**20, spill_bytes=2**19, batch_plan="canonical")
    session.add("hat", warmup=4)
    other = session.another(attrs.evolve(session.scene, prompt="a cat", seeds=(3, 4)))
    assert (other.scene.prompt, other.scene.seeds) == ("a cat", (3, 4))
    assert other.pipeline is session.pipeline is pipeline
    assert other.cache.max_bytes == 2**20
    assert (other.cache.max_spilled_bytes, other.batch_plan) == (2**19, "canonical")


def test_warnings_can_be_heard_by_one_thread(pipeline: Any) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=5)
    heard: list[Warning] = []
    with redirect_warnings(heard.append):
        session.add("hat", warmup=5)
        with ThreadPoolExecutor() as pool, pytest.warns(NoEffectWarning, match="'cap'"):
            pool.submit(session.add, "cap", warmup=5).result()
    assert [type(one) for one in heard] == [NoEffectWarning]
    assert "Lower warmup" in str(heard[0])
    with pytest.warns(NoEffectWarning, match="'scarf'"):
        session.add("scarf", warmup=5)


def test_a_concept_that_starts_after_the_last_call_warns(pipeline: Any) -> None:
    session = make(pipeline)
    with pytest.warns(NoEffectWarning, match="'hat' has no effect: warmup is 10, and a render"):
        session.add("hat", warmup=10)
    session.add("beard", warmup=9)
    with pytest.warns(NoEffectWarning) as caught:
        session.update("beard", warmup=12)
    assert caught[0].filename == __file__
