"""`FakeModel`, as people who build on sessions use it."""

from __future__ import annotations

import doctest
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from sega_session import EditSession, as_model, testing
from sega_session.errors import InvalidValueError, UnsupportedPipelineError
from sega_session.models import DiffusionModel, Request
from sega_session.testing import FakeModel


def test_the_example_in_its_docstring() -> None:
    found = doctest.testmod(testing, extraglobs={"EditSession": EditSession})
    assert (found.attempted, found.failed) == (4, 0)


def test_it_counts_calls_rows_and_texts() -> None:
    model = FakeModel()
    session = EditSession(model, "a cat", seed=[1, 2], num_inference_steps=5)
    session.add("hat", warmup=0)
    render = session.render(output_type="latent")
    assert model.calls == 5
    assert model.rows == render.evaluations == 5 * 3 * 2
    assert model.encoded == ["", "a cat", "hat"]


def test_its_hook_may_fail_and_the_session_stays_as_it_was() -> None:
    def fail(requests: Sequence[Request]) -> None:
        raise RuntimeError(f"{len(requests)} requests")

    model = FakeModel(on_evaluate=fail)
    session = EditSession(model, "a cat", num_inference_steps=5)
    with pytest.raises(RuntimeError, match="2 requests"):
        session.render()
    model.on_evaluate = None
    assert session.render().evaluations == 10


def test_images_of_every_type() -> None:
    session = EditSession(FakeModel(), "a cat", seed=[1, 2], num_inference_steps=4)
    pil = session.render().images
    arrays = np.asarray(session.render(output_type="np").images)
    tensors = torch.as_tensor(session.render(output_type="pt").images)
    assert [one.size for one in pil] == [(16, 16)] * 2
    assert arrays.shape == (2, 16, 16, 3)
    assert torch.equal(tensors, torch.from_numpy(arrays).permute(0, 3, 1, 2))
    assert np.array_equal(np.asarray(pil[1]), (arrays[1] * 255).round().astype("uint8"))


def test_embeddings_make_concepts() -> None:
    session = EditSession(FakeModel(), "a cat", num_inference_steps=4)
    session.add(name="gaze", prompt_embeds=torch.ones(1, 1), warmup=1)
    assert session.render(output_type="latent").evaluations == 4 * 3
    with pytest.raises(InvalidValueError, match="shape of prompt_embeds"):
        session.add(name="other", prompt_embeds=torch.ones(2))


# The seam that it goes through.


class Pipeline:
    """A pipeline of somebody else's library."""


class SubPipeline(Pipeline):
    """A subclass of it."""


def test_a_family_is_registered_by_its_pipelines_class() -> None:
    with pytest.raises(UnsupportedPipelineError, match="pipeline is a Pipeline; allowed"):
        EditSession(Pipeline(), "a cat")
    as_model.register(Pipeline, lambda _: FakeModel())
    pipeline = SubPipeline()
    session = EditSession(pipeline, "a cat", num_inference_steps=4)
    assert session.pipeline is pipeline
    assert session.render(output_type="latent").evaluations == 8


def test_a_model_passes_through() -> None:
    model = FakeModel()
    assert as_model(model) is model
    assert isinstance(model, DiffusionModel)


def test_a_model_without_embeddings_says_so() -> None:
    class NoEmbeddings(FakeModel):
        encode_embeddings = DiffusionModel.encode_embeddings

    session = EditSession(NoEmbeddings(), "a cat", num_inference_steps=4)
    with pytest.raises(InvalidValueError, match=r"prompt_embeds is .*; allowed: none with this"):
        session.add(name="gaze", prompt_embeds=torch.ones(1, 1))
    assert session.concepts == ()


def test_a_model_must_be_whole() -> None:
    class Half(DiffusionModel):
        pass

    with pytest.raises(TypeError, match="abstract method"):
        Half()  # type: ignore[abstract]
