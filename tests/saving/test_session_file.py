"""Session files: sessions survive a round trip, damaged files are refused, nothing is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sega_session import EditSession
from sega_session.errors import (
    ModelMismatchError,
    SegaSessionError,
    SessionFileError,
    SessionFormatError,
)
from sega_session.models.fingerprint import component_digests
from sega_session.saving import snapshot
from sega_session.saving.document import (
    dump_document,
    parse_document,
    prediction_name,
    read_document,
)
from sega_session.saving.versions import FORMAT_VERSION
from sega_session.testing import FakeModel
from tests.saving.fuzzing import fuzz_session_files, repacked
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

CROWD = [
    {
        **{"name": str(i), "prompt": "x", "embedding": None, "scale": 1, "threshold": 0.9},
        **{"warmup": 0, "cooldown": None, "weight": 1, "inverted": False, "enabled": True},
    }
    for i in range(257)
]
GOLDEN = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_stable_diffusion()


def edited(pipeline: Any, **arguments: Any) -> EditSession:
    """Return a session with four rendered states on two branches."""
    arguments = {"num_inference_steps": 8, "batch_plan": "canonical", **arguments}
    session = EditSession(pipeline, "a portrait", **arguments)
    session.render(output_type="latent")
    session.add("hat", warmup=2)
    session.render(output_type="latent")
    session.branch("happy")
    session.add("smile", warmup=3)
    session.render(output_type="latent")
    session.checkout(1)
    session.invert("hat")
    session.render(output_type="latent")
    return session


def render_all(session: EditSession) -> list[tuple[int, torch.Tensor]]:
    """Return the evaluations and final latents of every entry, and go back to the current one."""
    there = session.history.current
    found = []
    for entry in session.history:
        session.checkout(entry.id)
        render = session.render(output_type="latent")
        found.append((render.evaluations, render.latents))
    session.checkout(there)
    return found


# What comes back.


def given(pipeline: Any) -> dict[str, Any]:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    return {"seed": [1, 2], "latents": latents, "sem_guidance": [0.01 * latents] * 9}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"seed": [3, 4], "negative_prompt": "blurry", "guidance_scale": 3, "eta": 0.5},
        {"given": True},
        {"batch_plan": "together"},
    ],
    ids=str,
)
def test_every_state_comes_back_without_an_evaluation(
    pipeline: Any, arguments: dict[str, Any], tmp_path: Path
) -> None:
    if arguments.pop("given", False):
        arguments = given(pipeline)
    session = edited(pipeline, **arguments)
    before = render_all(session)
    saved = session.save(tmp_path / "a.safetensors")
    assert saved.bytes == (tmp_path / "a.safetensors").stat().st_size
    assert saved.renders == 4
    # Loaded into a pipeline of its own: the digest is that of the weights, not of the object.
    loaded = EditSession.load(tmp_path / "a.safetensors", tiny_stable_diffusion())
    assert loaded.history == session.history
    assert loaded.scene == session.scene
    for (_, latents), (evaluations, others) in zip(before, render_all(loaded), strict=True):
        assert evaluations == 0
        assert torch.equal(latents, others)
    # What comes next is what would have come.
    for one in (session, loaded):
        one.reweight("hat", scale=7)
    assert loaded.plan("preview") == session.plan("preview") < session.plan()
    assert loaded.plan() == session.plan()
    assert torch.equal(
        loaded.render(output_type="latent").latents, session.render(output_type="latent").latents
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays(dtype: torch.dtype, tmp_path: Path) -> None:
    session = edited(tiny_stable_diffusion(dtype=dtype))
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", tiny_stable_diffusion(dtype=dtype))
    latents = loaded.render(output_type="latent").latents
    assert latents.dtype == dtype
    assert torch.equal(latents, session.render(output_type="latent").latents)


def test_concepts_of_embeddings_come_back(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=6, seed=[1, 2])
    embeds = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))
    session.add(name="mine", prompt_embeds=embeds, warmup=1)
    rendered = session.render(output_type="latent")
    session.undo()
    session.save(tmp_path / "a.safetensors")
    loaded = EditSession.load(tmp_path / "a.safetensors", pipeline)
    loaded.redo()
    again = loaded.render(output_type="latent")
    assert (again.evaluations, torch.equal(again.latents, rendered.latents)) == (0, True)
    loaded.reweight("mine", scale=8)
    assert loaded.render(output_type="latent").exact


def test_how_much_is_kept(pipeline: Any, tmp_path: Path) -> None:
    session = edited(pipeline)
    path = tmp_path / "a.safetensors"
    evaluations = {}
    for include in ("all", "base", "state"):
        session.save(path, include=include)
        loaded = EditSession.load(path, pipeline)
        assert loaded.history == session.history
        evaluations[include] = [count for count, _ in render_all(loaded)]
    assert evaluations["all"] == [0, 0, 0, 0]
    # The unedited image and the current one. Those between: call 2 is the first that "hat"
    # changes, momentum feeds on it before; "smile" sets in at call 3.
    assert evaluations["base"][0] == evaluations["base"][3] == 0
    assert evaluations["base"][1] == 3 * 5
    assert evaluations["state"][0] == 2 * 8
    with pytest.raises(SegaSessionError, match="include is 'some'; allowed: one of 'state'"):
        session.save(path, include="some")  # type: ignore[arg-type]


def test_sizes_are_what_the_format_says(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=8)
    session.render(output_type="latent")
    session.add("hat", warmup=3)
    session.render(output_type="latent")
    session.save(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    one = 4 * 8 * 8 * 4
    sizes = {name: tensor.nbytes for name, tensor in tensors.items()}
    assert sizes == {
        "initial_latents": one,
        "render.0.latents": 9 * one,
        "render.0.prediction.0": 8 * one,
        "render.0.prediction.1": 8 * one,
        # From call 4 on other latents; "hat" was evaluated before, to feed the momentum.
        "render.1.latents": 5 * one,
        "render.1.prediction.0": 4 * one,
        "render.1.prediction.1": 4 * one,
        "render.1.prediction.2": 8 * one,
    }


def test_guidance_follows_from_the_file(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=6)
    session.momentum(scale=0)
    session.add("hat", warmup=0, threshold=0, scale=2)
    session.render(output_type="latent")
    session.save(tmp_path / "a.safetensors", include="base")
    tensors = load_file(tmp_path / "a.safetensors")
    conditions = read_document(tmp_path / "a.safetensors").conditions
    of = {name: tensors[prediction_name(2, i)] for i, name in enumerate(conditions)}
    guidance = torch.stack(session.sem_guidance("hat"))
    torch.testing.assert_close(guidance, 2 * (of["prompt:hat"] - of["uncond"]))


# Another model.


def test_another_model_is_refused_and_named(pipeline: Any, tmp_path: Path) -> None:
    session = edited(pipeline)
    path = tmp_path / "a.safetensors"
    session.save(path)
    changed = tiny_stable_diffusion()
    with torch.no_grad():
        changed.unet.conv_in.bias += 1
    others = {
        "scheduler": tiny_stable_diffusion(scheduler=SCHEDULERS["Euler"]()),
        "unet": changed,
        "text_encoder, unet, vae, precision": tiny_stable_diffusion(dtype=torch.float16),
    }
    for what, other in others.items():
        with pytest.raises(
            ModelMismatchError,
            match=rf"made with model \w{{12}} .*the pipeline is \w{{12}} .*differs: {what}\. Load",
        ):
            EditSession.load(path, other)
        loaded = EditSession.load(path, other, allow_model_mismatch=True)
        assert loaded.history == session.history
        assert loaded.cache.bytes == 0
        assert loaded.render(output_type="latent").evaluations > 0


def test_weights_that_change_in_place_change_the_digest() -> None:
    pipeline = tiny_stable_diffusion()
    components = {"unet": pipeline.unet}
    before = component_digests(components)
    assert component_digests(components) == before
    with torch.no_grad():
        pipeline.unet.conv_in.weight.mul_(2)
    assert component_digests(components) != before
    with torch.no_grad():
        pipeline.unet.conv_in.weight.div_(2)
    assert component_digests(components) == before


def test_noise_of_another_torch_counts_as_it_was_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = edited(FakeModel())
    session.save(tmp_path / "a.safetensors")
    rendered = session.render(output_type="latent").latents
    session.checkout(1)
    session.reweight("hat", scale=8)
    reweighted = session.render(output_type="latent").latents
    monkeypatch.setattr(snapshot, "draw_noise", lambda *_: torch.ones(1, 4, 8, 8))
    loaded = EditSession.load(tmp_path / "a.safetensors", FakeModel())
    assert torch.equal(loaded.render(output_type="latent").latents, rendered)
    loaded.checkout(1)
    loaded.reweight("hat", scale=8)
    assert torch.equal(loaded.render(output_type="latent").latents, reweighted)


# Versions.


def test_files_of_every_release_are_read() -> None:
    files = sorted(GOLDEN.glob("session-v*.safetensors"))
    assert len(files) == FORMAT_VERSION
    for file in files:
        session = EditSession.load(file, FakeModel(), allow_model_mismatch=True)
        assert str(session.history) == (
            "  0  unedited\n  1  hat added\n├─  2  smile added  (happy)\n└─* 3  hat inverted"
        )
        assert session.scene.prompt == "a portrait"
        held = read_document(file)
        assert [render.entry for render in held.recorded] == [0, 1, 2, 3]
        assert len(load_file(file)) == len(held.shapes())


# Crashes and broken files.


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    call: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = edited(FakeModel())
    path = tmp_path / "a.safetensors"
    session.save(path)
    old = path.read_bytes()
    session.add("cap", warmup=1)
    state = session.history

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(SessionFileError, match=r"a\.safetensors"):
        session.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []
    assert session.history is state
    assert len(EditSession.load(path, FakeModel()).history) == 4


def test_a_hundred_broken_files(tmp_path: Path, figure: Callable[[str], None]) -> None:
    figure(fuzz_session_files(tmp_path, 100))


def test_a_document_must_agree_with_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    edited(FakeModel()).save(path)
    good = read_document(path)
    assert parse_document(dump_document(good)) == good

    def change(*keys: Any, to: Any) -> Any:
        def apply(plain: Any) -> None:
            for key in keys[:-1]:
                plain = plain[key]
            plain[keys[-1]] = to

        return apply

    for broken, message in [
        (change("latents_shape", to=[2, 4, 8, 8]), "not that of 1 images"),
        (change("calls", to=10**6), "calls is 1000000, not 1 to 10000"),
        (change("start", to=9), "start is entry 9, and there are 4"),
        (change("recorded", 0, "entry", to=9), "recorded entries are unknown"),
        (change("recorded", 1, "entry", to=0), "recorded entries are unknown, or there twice"),
        (change("recorded", 0, "latents", 0, to=1), "calls of entry 0 are not in order"),
        (change("recorded", 0, "latents", -1, to=99), "calls of entry 0 are not 0 to 8"),
        (
            change("recorded", 0, "predictions", 0, "condition", to=7),
            "conditions of entry 0 are unk",
        ),
        (change("history", "current", to=4), "the history is at entry 4 of 4"),
        (change("history", "entries", 2, "state", "concepts", 1, "name", to="hat"), "one name"),
        (change("calls", to=10_000), "4 renders of 10000 calls|scene has 8 of"),
        (change("history", "entries", 1, "state", "concepts", to=CROWD), "more than 256 concepts"),
        (lambda plain: plain["scene"].pop("seeds") and None, "a field is left out"),
        (change("scene", "seeds", to=[]), r"scene: seed is \(\); allowed"),
        (change("scene", "num_inference_steps", to=7), "scene has 7 of"),
        (change("scene", "height", to=32), "scene has 8 of"),
        (change("model", "dtype", to="float16"), "is F32 .* and the document says 'float16'"),
    ]:
        with pytest.raises(SessionFormatError, match=message):
            EditSession.load(repacked(path, broken, tmp_path / "b.safetensors"), FakeModel())


def test_a_file_that_is_no_session(tmp_path: Path, pipeline: Any) -> None:
    with pytest.raises(SessionFileError, match="cannot be read"):
        EditSession.load(tmp_path / "none.safetensors", pipeline)
    (tmp_path / "text.safetensors").write_text("a text that is no session at all")
    with pytest.raises(SessionFormatError, match=r"text\.safetensors"):
        EditSession.load(tmp_path / "text.safetensors", pipeline)
