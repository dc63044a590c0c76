"""A model that changes under a session is noticed, and everything else is not."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

from sega_session import EditSession
from sega_session.errors import (
    InvalidValueError,
    ModelChangedError,
    ModelMismatchError,
    NoEffectWarning,
    UnsupportedPipelineError,
)
from sega_session.models import as_model, changes, glance
from sega_session.models.glances import glance_at
from sega_session.testing import FakeModel
from tests.support.adapters import load_lora, unload_lora
from tests.support.pipelines import BETAS, SCHEDULERS, tiny_stable_diffusion


def load_textual_inversion(pipeline: Any) -> None:
    pipeline.tokenizer.add_tokens("<cat>")
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))


def fuse(pipeline: Any) -> None:
    for layer in load_lora(pipeline.unet):
        layer.merge()
    unload_lora(pipeline.unet)


def swap(name: str, new: Callable[[], Any]) -> Callable[[Any], None]:
    return lambda pipeline: setattr(pipeline, name, new())


def tiny_part(name: str) -> Callable[[Any], None]:
    return swap(name, lambda: getattr(tiny_stable_diffusion(seed=5), name))


@torch.no_grad()
def double(weight: Any) -> None:
    weight.mul_(2)


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "lora": (lambda p: load_lora(p.unet), "unet: adapter 'x' added"),
    "fused": (fuse, "unet: weights changed"),
    "free_u": (lambda p: p.enable_freeu(0.9, 0.2, 1.2, 1.4), "unet: FreeU enabled"),
    "in_place": (lambda p: double(p.unet.conv_in.weight), "unet: weights changed"),
    "one_value": (lambda p: double(p.vae.decoder.conv_out.bias[-1:]), "vae: weights changed"),
    "data": (lambda p: double(p.text_encoder.parameters().__next__().data), "text_encoder: wei"),
    "inversion": (load_textual_inversion, "tokenizer: vocabulary changed"),
    "scheduler": (
        swap("scheduler", SCHEDULERS["Euler"]),
        "scheduler: DDIMScheduler -> EulerDiscreteScheduler",
    ),
    "config": (
        lambda p: p.scheduler.register_to_config(steps_offset=0),
        "scheduler: steps_offset 1 -> 0",
    ),
    "unet": (tiny_part("unet"), "unet: weights changed"),
    "vae": (tiny_part("vae"), "vae: weights changed"),
    "text_encoder": (tiny_part("text_encoder"), "text_encoder: weights changed"),
}


def make(pipeline: Any, **arguments: Any) -> EditSession:
    session = EditSession(pipeline, "a cat", **{"num_inference_steps": 4, **arguments})
    session.add("hat", warmup=1)
    return session


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_model_is_noticed_everywhere(name: str, tmp_path: Path) -> None:
    change, words = CHANGES[name]
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    render = session.render()
    state, held = session.state, session.cache
    change(pipeline)
    for call in (
        session.render,
        lambda: session.render("preview"),
        lambda: session.render(state=session.history[0].state),
        lambda: next(session.stream()),
        lambda: session.measure(render),
        session.sem_guidance,
        lambda: session.add("a new one", warmup=1),
        lambda: session.save(tmp_path / "a.safetensors"),
        lambda: session.autosave(tmp_path / "a.safetensors"),
        lambda: render.save(tmp_path / "a.png"),
    ):
        with pytest.raises(ModelChangedError) as caught:
            call()
        assert any(change.startswith(words) for change in caught.value.changes)
        assert isinstance(caught.value, ModelMismatchError)
    assert "refresh_model()" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert (session.state, session.cache) == (state, held)
    session.refresh_model()
    assert session.cache.bytes == 0
    assert session.state == state
    found = session.render(output_type="latent")
    fresh = make(pipeline)
    assert torch.equal(found.latents, fresh.render(output_type="latent").latents)
    assert found.evaluations > 0
    session.save(tmp_path / "a.safetensors")
    assert EditSession.load(tmp_path / "a.safetensors", pipeline).render().evaluations == 0
    with pytest.raises(ModelMismatchError):
        EditSession.load(tmp_path / "a.safetensors", tiny_stable_diffusion())


def states_of_a_lora(pipeline: Any) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Load a LoRA; return changes of it, each with what takes it back."""
    layers = load_lora(pipeline.unet, scale=0.5)

    def each(method: str, **arguments: Any) -> Callable[[], object]:
        return lambda: [getattr(layer, method)(**arguments) for layer in layers]

    def scale(to: float) -> Callable[[], object]:
        return lambda: [layer.scaling.update(x=to) for layer in layers]

    return {
        "unet: adapter 'x' switched off": (each("switch", on=False), each("switch", on=True)),
        "unet: adapter 'x' reweighted": (scale(1.0), scale(0.5)),
    }


@pytest.mark.parametrize(
    "words",
    ["unet: adapter 'x' switched off", "unet: adapter 'x' reweighted"],
)
def test_what_is_put_back_was_not_changed(words: str) -> None:
    pipeline = tiny_stable_diffusion()
    change, undo = states_of_a_lora(pipeline)[words]
    session = make(pipeline)
    before = session.render(output_type="latent")
    change()
    with pytest.raises(ModelChangedError) as caught:
        session.render()
    assert caught.value.changes == (words,)
    undo()
    again = session.render(output_type="latent")
    assert (again.evaluations, again.mode) == (0, "exact")
    assert torch.equal(again.latents, before.latents)


def test_a_scheduler_a_unet_and_a_lora_can_be_put_back() -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    session.render()
    scheduler, unet = pipeline.scheduler, pipeline.unet
    pipeline.scheduler = SCHEDULERS["Euler"]()
    pipeline.unet = tiny_stable_diffusion(seed=5).unet
    with pytest.raises(ModelChangedError, match=r"scheduler: DDIM.* -> Euler.*; unet: weights"):
        session.render()
    pipeline.scheduler, pipeline.unet = scheduler, unet
    assert session.render().evaluations == 0
    load_lora(unet)
    with pytest.raises(ModelChangedError, match=r"changed: unet: adapter 'x' added; allowed"):
        session.render()
    unload_lora(unet)
    assert session.render().evaluations == 0
    pipeline.enable_freeu(0.9, 0.2, 1.2, 1.4)
    with pytest.raises(ModelChangedError, match=r"changed: unet: FreeU enabled; allowed"):
        session.render()
    pipeline.disable_freeu()
    assert session.render().evaluations == 0


def test_every_state_of_an_adapter_is_told() -> None:
    pipeline = tiny_stable_diffusion()
    layers = load_lora(pipeline.unet)
    model = as_model(pipeline)
    before = glance(model)
    for layer in layers:
        layer.merge()
    fused = glance(model)
    assert changes(before, fused) == ("unet: adapter 'x' fused", "unet: weights changed")
    assert changes(fused, before)[0] == "unet: adapter 'x' unfused"
    load_lora(pipeline.unet, "y")
    assert "unet: adapter 'y' added" in changes(before, glance(model))
    assert "unet: adapter 'y' removed" in changes(glance(model), before)


def test_one_adapter_fused_in_few_values_is_noticed_by_its_state() -> None:
    pipeline = tiny_stable_diffusion()
    layers = load_lora(pipeline.unet, scale=0.0)
    session = make(pipeline)
    layers[0].merge()
    with pytest.raises(ModelChangedError, match=r"changed: unet: adapter 'x' fused; allowed"):
        session.render()


# No change.


def offload(pipeline: Any) -> None:
    for parameter in pipeline.unet.parameters():
        parameter.data = parameter.data.clone()


# Importing torch's compiler warns.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "move",
    [
        offload,
        lambda p: p.unet.to(memory_format=torch.channels_last),
        lambda p: p.enable_attention_slicing(),
        lambda p: p.vae.enable_slicing(),
        lambda p: p("a dog", num_inference_steps=3, output_type="latent"),
        swap("unet", lambda: tiny_stable_diffusion().unet),
        swap("scheduler", SCHEDULERS["DDIM"]),
        lambda p: setattr(p, "unet", torch.compile(p.unet)),
    ],
    ids=["offload", "layout", "slicing", "vae", "used", "equal unet", "equal scheduler", "compile"],
)
def test_what_leaves_the_images_alone_is_no_change(move: Callable[[Any], object]) -> None:
    pipeline = tiny_stable_diffusion()
    model = as_model(pipeline)
    before = glance(model)
    move(pipeline)
    assert changes(before, glance(model)) == ()
    assert before == glance(model)


def test_sequential_offloading_is_no_change_while_it_lasts() -> None:
    from accelerate import cpu_offload  # noqa: PLC0415 - slow to import

    pipeline = tiny_stable_diffusion()
    cpu_offload(pipeline.unet, torch.device("cpu"))
    assert next(pipeline.unet.parameters()).is_meta
    session = make(pipeline)
    session.render()
    session.invert("hat")
    session.render()
    assert session.render().evaluations == 0


# Models of one's own.


def test_a_fake_models_scheduler_is_watched() -> None:
    model = FakeModel(DDIMScheduler(**BETAS))
    session = make(model)
    session.render()
    model.components()["scheduler"].register_to_config(steps_offset=0)
    with pytest.raises(ModelChangedError, match=r"scheduler: steps_offset 1 -> 0"):
        session.render()
    session.refresh_model()
    assert session.render().evaluations > 0


def test_a_model_of_ones_own_is_watched() -> None:
    example = Path(__file__).parents[2] / "examples" / "own_model.py"
    model = runpy.run_path(str(example))["NineDrawings"]()
    session = EditSession(model, "disc", num_inference_steps=4, guidance_scale=2)
    session.render()
    model.scheduler = EulerDiscreteScheduler()
    with pytest.raises(ModelChangedError, match=r"DDIMScheduler -> EulerDiscreteScheduler"):
        session.render()


def test_a_component_that_comes_or_goes_is_named() -> None:
    at = {"a": glance_at(nn.Linear(2, 2))}
    assert changes({}, at) == ("a: added",)
    assert changes(at, {}) == ("a: removed",)


@torch.no_grad()
def test_tensors_of_every_kind_have_a_glance() -> None:
    network = nn.Module()
    parts: dict[str, Any] = {
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(3),
        "flags": torch.ones(3, dtype=torch.bool),
        "half": torch.ones(40, 2, dtype=torch.bfloat16),
        "eighth": torch.ones(40, 2).to(torch.float8_e4m3fn),
        "complex": torch.ones(5, dtype=torch.complex128),
        "expanded": torch.ones(1).expand(20, 3),
        "meta": torch.ones(5, device="meta"),
        "wrapper": TwoTensor(torch.ones(5), torch.zeros(5)),
    }
    for name, tensor in parts.items():
        network.register_buffer(f"a_{name}", tensor)
    before = glance_at(network)
    assert before == glance_at(network)
    assert {"a_wrapper.a", "a_wrapper.b"} < before.weights.keys()
    parts["wrapper"].b.data.fill_(1)
    assert before != glance_at(network)
    with torch.inference_mode():
        network.register_buffer("inference", torch.ones(3))
    assert glance_at(network) == glance_at(network)


# refresh_model.


def test_a_refreshed_session_keeps_what_a_user_made(tmp_path: Path) -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline, cache_bytes=10**8, spill_bytes=10**6, batch_plan="canonical", seed=7)
    session.add(name="gaze", prompt_embeds=torch.ones(16, 16), warmup=1)
    session.autosave(tmp_path / "a.safetensors")
    session.undo()
    session.render()
    history = session.history
    pipeline.scheduler = SCHEDULERS["Heun"]()
    session.refresh_model()
    assert session.num_calls == 7
    assert session.history == history
    assert session.cache.max_bytes == 10**8
    assert session.cache.max_spilled_bytes == 10**6
    session.redo()
    assert session.render().evaluations > 0
    found = EditSession.recover(tmp_path / "a.safetensors", pipeline)
    assert found.history == session.history


def test_warmups_that_no_longer_fit_are_told() -> None:
    pipeline = tiny_stable_diffusion(scheduler=SCHEDULERS["Heun"]())
    session = make(pipeline)
    session.add("smile", warmup=5)
    pipeline.scheduler = SCHEDULERS["DDIM"]()
    with pytest.warns(NoEffectWarning, match=r"'smile' has no effect: warmup is 5, and a render"):
        session.refresh_model()


def test_a_refused_refresh_leaves_the_session_as_it_was() -> None:
    pipeline = tiny_stable_diffusion()
    guidance = [torch.zeros(1, 4, 8, 8)] * 4
    session = make(pipeline, sem_guidance=guidance)
    session.render()
    ddim = pipeline.scheduler
    pipeline.scheduler = SCHEDULERS["Heun"]()
    with pytest.raises(InvalidValueError, match=r"sem_guidance is .* for each of the 7 model call"):
        session.refresh_model()
    pipeline.scheduler = ddim
    assert session.render().evaluations == 0


def test_an_image_of_an_earlier_model_does_not_name_the_later_one(tmp_path: Path) -> None:
    pipeline = tiny_stable_diffusion()
    session = make(pipeline)
    render = session.render()
    double(pipeline.unet.conv_in.weight)
    session.refresh_model()
    with pytest.raises(ModelChangedError, match=r"unet: weights changed"):
        render.save(tmp_path / "a.png")
    session.render().save(tmp_path / "b.png")


def test_a_pipeline_on_the_meta_device_is_refused() -> None:
    pipeline = tiny_stable_diffusion()
    pipeline.unet.conv_in.to("meta")
    with pytest.raises(UnsupportedPipelineError, match=r"the unet is on the meta device, without"):
        EditSession(pipeline, "a cat")
