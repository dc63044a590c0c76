"""Embeddings in place of the prompt: weighted words, and directions that people publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from sega_session import EditSession
from sega_session.errors import InvalidValueError, ScriptError, SessionFormatError
from tests.support.pipelines import TOKENS, tiny_stable_diffusion

STEPS = 6


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def begin(pipeline: Any, prompt: str = "a cat", **arguments: Any) -> EditSession:
    return EditSession(pipeline, prompt, seed=1, num_inference_steps=STEPS, **arguments)


def embeds(pipeline: Any, prompt: str) -> Tensor:
    found: Tensor = pipeline.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)[0]
    return found


def latents(session: EditSession) -> Tensor:
    return session.render(output_type="latent").latents


def test_embeddings_are_what_their_words_are(pipeline: Any) -> None:
    words = begin(pipeline, negative_prompt="a dog")
    given = begin(
        pipeline,
        prompt_embeds=embeds(pipeline, "a cat"),
        negative_prompt_embeds=embeds(pipeline, "a dog"),
    )
    for session in (words, given):
        session.add("hat", warmup=2, opposite="cap")
    assert torch.equal(latents(words), latents(given))


def test_a_weighted_prompt_is_rendered_as_by_the_pipeline(pipeline: Any) -> None:
    weighted = embeds(pipeline, "a cat")
    weighted[:, 3] *= 1.4
    theirs = pipeline(
        prompt_embeds=weighted,
        negative_prompt_embeds=embeds(pipeline, ""),
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(1),
        output_type="latent",
    ).images
    session = begin(pipeline, prompt_embeds=weighted)
    torch.testing.assert_close(latents(session), theirs, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(latents(begin(pipeline)), theirs, atol=1e-2)


def test_a_session_with_embeddings_is_saved_and_loaded(pipeline: Any, tmp_path: Path) -> None:
    session = begin(pipeline, prompt_embeds=torch.randn(1, TOKENS, 16))
    session.add("hat", warmup=2)
    rendered = latents(session)
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", pipeline)
    assert loaded.scene == session.scene
    assert loaded.render(output_type="latent").evaluations == 0
    loaded.reweight("hat", scale=3)
    session.reweight("hat", scale=3)
    assert torch.equal(latents(loaded), latents(session))
    assert not torch.equal(latents(session), rendered)
    session.autosave(tmp_path / "b.safetensors")
    session.reweight("hat", scale=4)
    recovered = EditSession.recover(tmp_path / "b.safetensors", pipeline)
    assert torch.equal(latents(recovered), latents(session))


def test_embeddings_survive_copies_and_a_changed_model(pipeline: Any) -> None:
    session = begin(pipeline, prompt_embeds=torch.randn(TOKENS, 16))
    session.add("hat", warmup=2)
    expected = latents(session)
    assert torch.equal(latents(session.copy()), expected)
    session.refresh_model()
    assert torch.equal(latents(session), expected)
    longer = session.another(attrs.evolve(session.scene, seeds=(1, 2)))
    alone = session.another(session.scene)
    torch.testing.assert_close(latents(longer)[:1], latents(alone), rtol=1e-5, atol=1e-5)


def test_what_cannot_hold_embeddings_says_so(pipeline: Any, tmp_path: Path) -> None:
    session = begin(pipeline, prompt_embeds=torch.randn(1, TOKENS, 16))
    with pytest.raises(ScriptError, match="the prompt is defined by embeddings, which a script"):
        session.script()
    [path] = session.render().save(tmp_path / "a.png")
    with pytest.raises(SessionFormatError, match="tensors that it does not carry: prompt_embeds"):
        EditSession.from_image(path, pipeline)
    with pytest.raises(InvalidValueError, match=r"allowed: one in words, or with prompt_embeds="):
        EditSession.from_scene(session.scene, pipeline)


def test_wrong_embeddings_are_refused(pipeline: Any) -> None:
    for arguments, message in (
        ({"prompt_embeds": torch.zeros(1, 3, 16)}, r"shape of prompt_embeds is \(1, 3, 16\)"),
        ({"prompt_embeds": "a cat"}, "prompt_embeds is 'str'; allowed: a tensor"),
        ({"pooled_prompt_embeds": torch.zeros(1, 16)}, "allowed: None without prompt_embeds"),
        (
            {"prompt_embeds": torch.zeros(1, TOKENS, 16), "pooled_prompt_embeds": torch.zeros(1)},
            "pooled_prompt_embeds is 'a tensor'; allowed: None with this model",
        ),
    ):
        with pytest.raises(InvalidValueError, match=message):
            begin(pipeline, **arguments)


# Directions that people publish: differences of embeddings, as README shows.


def test_a_published_direction_is_measured_against_the_prompt(
    pipeline: Any, tmp_path: Path
) -> None:
    prompt = embeds(pipeline, "a cat")
    delta = torch.zeros_like(prompt)
    delta[:, 1:4] = torch.randn(3, 16)
    save_file({"delta": delta}, tmp_path / "age.safetensors")

    loaded = load_file(tmp_path / "age.safetensors")["delta"]
    session = begin(pipeline)
    session.add(name="age", prompt_embeds=prompt + loaded, opposite=session.prompt, warmup=0)
    assert session.render(output_type="latent").evaluations == 3 * STEPS
    assert not torch.allclose(latents(session), latents(begin(pipeline)), atol=1e-2)
    nothing = begin(pipeline)
    nothing.add(name="none", prompt_embeds=prompt, opposite=nothing.prompt, warmup=0)
    torch.testing.assert_close(latents(nothing), latents(begin(pipeline)))


# CLIP layers.


def test_clip_skip_is_the_pipelines(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The pipeline looks for the encoder where it was before transformers 5.
    if not hasattr(pipeline.text_encoder, "text_model"):
        itself = property(lambda encoder: encoder)
        monkeypatch.setattr(CLIPTextModel, "text_model", itself, raising=False)

    def of(clip_skip: int | None) -> Tensor:
        found: Tensor = pipeline(
            "a cat",
            num_inference_steps=STEPS,
            clip_skip=clip_skip,
            generator=torch.Generator().manual_seed(1),
            output_type="latent",
        ).images
        return found

    for clip_skip in (None, 1):
        found = latents(begin(pipeline, clip_skip=clip_skip))
        torch.testing.assert_close(found, of(clip_skip), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(of(1), of(None), atol=1e-2)
    with pytest.raises(InvalidValueError, match="clip_skip is 2; allowed: None, or 1 to 1"):
        begin(pipeline, clip_skip=2)
    with pytest.raises(InvalidValueError, match="clip_skip is 0; allowed: an integer, at least 1"):
        begin(pipeline, clip_skip=0)


def test_guidance_rescale_is_the_pipelines(pipeline: Any) -> None:
    theirs = pipeline(
        "a cat",
        num_inference_steps=STEPS,
        guidance_rescale=0.7,
        generator=torch.Generator().manual_seed(1),
        output_type="latent",
    ).images
    found = latents(begin(pipeline, guidance_rescale=0.7))
    torch.testing.assert_close(found, theirs, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(latents(begin(pipeline)), theirs, atol=1e-2)
