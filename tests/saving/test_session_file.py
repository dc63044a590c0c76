"""Session files: sessions survive a round trip, damaged files are refused, nothing is lost."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file

from sega_session import Concept, EditSession, EditState
from sega_session.errors import (
    InvalidValueError,
    ModelMismatchError,
    SegaSessionError,
    SessionFileError,
    SessionFormatError,
)
from sega_session.models.fingerprint import component_digests
from sega_session.saving import document, session_file, snapshot
from sega_session.saving.document import prediction_name, read_document
from sega_session.saving.versions import FORMAT_VERSION
from sega_session.state import History
from sega_session.testing import FakeModel
from tests.saving.fuzzing import fuzz_session_files, repacked
from tests.support.pipelines import SCHEDULERS, tiny_stable_diffusion

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
    assert loaded.cache.trajectories == session.cache.trajectories == 4
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


def test_the_unedited_image_stays_where_little_is_kept(pipeline: Any, tmp_path: Path) -> None:
    session = edited(pipeline)
    render_all(session)
    session.save(tmp_path / "a.safetensors")
    one = session.render(output_type="latent").latents.nbytes
    loaded = EditSession.load(tmp_path / "a.safetensors", pipeline, cache_bytes=35 * one)
    assert loaded.plan(state=EditState()) == 0


def test_sizes_are_what_the_format_says(pipeline: Any, tmp_path: Path) -> None:
    session = EditSession(pipeline, "a portrait", num_inference_steps=8)
    session.render(output_type="latent")
    session.add("hat", warmup=3)
    session.render(output_type="latent")
    session.save(tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    one = 4 * 8 * 8 * 4
    sizes = {name: tensor.nbytes for name, tensor in tensors.items()}
    assert sizes.pop("sha256") == 32
    assert sizes.pop("document") < 2000
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
        assert len(load_file(file).keys() - {"document", "sha256"}) == len(held.shapes())


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

    def change(*keys: Any, to: Any) -> Any:
        def apply(plain: Any) -> None:
            for key in keys[:-1]:
                plain = plain[key]
            plain[keys[-1]] = to

        return apply

    def crowd(plain: Any) -> None:
        history = plain["history"]
        for name, column in history["concepts"].items():
            column += [f"c{i}" if name == "name" else column[0] for i in range(257)]
        history["states"]["concepts"][1] = list(range(3, 260))

    for broken, message in [
        (change("latents_shape", to=[2, 4, 8, 8]), "not that of 1 images"),
        (change("latents_shape", to=[1, 0, 8, 8]), r"latents_shape \(1, 0, 8, 8\) is not that of"),
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
        (change("history", "concepts", "name", 1, to="hat"), "two concepts of one name"),
        (change("calls", to=10_000), "4 renders of 10000 calls|scene has 8 of"),
        (crowd, "more than 256 concepts"),
        (lambda plain: plain["scene"].pop("seeds") and None, "a field is left out"),
        (change("scene", "seeds", to=[]), r"scene: seed is \(\); allowed"),
        (change("scene", "num_inference_steps", to=7), "scene has 7 of"),
        (change("scene", "height", to=32), "scene has 8 of"),
        (change("model", "dtype", to="float16"), "is F32 .* and the document says 'float16'"),
    ]:
        with pytest.raises(SessionFormatError, match=message):
            EditSession.load(repacked(path, broken, tmp_path / "b.safetensors"), FakeModel())


# One file, read from one descriptor.


def drawn(scale: float) -> EditSession:
    """Return a session whose file has the same shapes whatever the scale, and other numbers."""
    session = EditSession(FakeModel(), "a cat", num_inference_steps=4)
    session.render(output_type="latent")
    session.add("hat", warmup=1, scale=scale)
    session.render(output_type="latent")
    return session


def test_a_document_with_the_tensors_of_another_file_is_refused(tmp_path: Path) -> None:
    contents = []
    for scale in (5.0, 7.0):
        drawn(scale).save(tmp_path / "a.safetensors")
        content = (tmp_path / "a.safetensors").read_bytes()
        contents.append((content, 8 + int.from_bytes(content[:8], "little")))
    (first, begin), (second, other) = contents
    size = sum(one.nbytes for one in load(first).values() if one.dtype == torch.float32)
    # The tensors' second half is the other file's, as if it had been replaced while it was read.
    mixed = first[: begin + size // 2] + second[other + size // 2 : other + size]
    mixed += first[begin + size :]
    assert len(mixed) == len(first)
    (tmp_path / "b.safetensors").write_bytes(mixed)
    read_document(tmp_path / "b.safetensors")
    with pytest.raises(SessionFormatError, match="is damaged, or was changed while it was read"):
        EditSession.load(tmp_path / "b.safetensors", FakeModel())


@pytest.mark.parametrize("other", ["shapes", "numbers"])
def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    session = drawn(5.0)
    session.save(path)
    (edited(FakeModel()) if other == "shapes" else drawn(7.0)).save(new)
    original = document.document_of

    def replaced(file: Any, path: Path) -> Any:
        found = original(file, path)
        new.replace(path)
        return found

    monkeypatch.setattr(session_file, "document_of", replaced)
    loaded = EditSession.load(path, FakeModel())
    monkeypatch.undo()
    assert loaded.history == session.history
    render = loaded.render(output_type="latent")
    assert render.evaluations == 0
    assert torch.equal(render.latents, session.render(output_type="latent").latents)


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path, bad = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    drawn(5.0).save(path)
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 200):
        changed = bytearray(content)
        changed[place] ^= 1
        bad.write_bytes(changed)
        with pytest.raises(SessionFormatError):
            EditSession.load(bad, FakeModel())


# Long sessions.


def long_history(entries: int) -> History:
    """Return a history of one concept whose scale goes up and down, with five beside it."""
    others = [Concept(name=f"concept {number}", prompt="a concept") for number in range(4)]
    history = History()
    for number in range(entries - 1):
        concept = Concept(name="hat", prompt="hat", scale=number / 7, warmup=1)
        history = history.commit(EditState(concepts=(*others, concept)), f"hat: {number}")
    return history


def test_ten_thousand_entries_are_saved_and_loaded(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    path = tmp_path / "a.safetensors"
    session = EditSession(FakeModel(), "a cat", num_inference_steps=6)
    session._timeline.go(long_history(10_000))  # noqa: SLF001
    session.render(output_type="latent")
    began = time.process_time()
    saved = session.save(path)
    middle = time.process_time()
    loaded = EditSession.load(path, FakeModel())
    ended = time.process_time()
    assert loaded.history == session.history
    assert saved.renders == 1
    assert saved.bytes < 10**6
    figure(
        f"10,000 entries: saved in {middle - began:.2f} s, loaded in {ended - middle:.2f} s, "
        f"{saved.bytes / 1e6:.2f} MB"
    )


def test_a_limit_is_named_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    session = drawn(5.0)
    session.save(path)
    old = path.read_bytes()
    monkeypatch.setattr(document, "MAX_DOCUMENT_BYTES", 1000)
    with pytest.raises(SessionFileError, match=r"exceeds a limit .*: it has .*allowed: 1000"):
        session.save(path)
    assert path.read_bytes() == old
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("name", ["mine.png", "session", "a.safetensors.bak", ""])
def test_the_name_says_what_the_file_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(b"a picture")
    session = drawn(5.0)
    for write in (session.save, session.autosave):
        with pytest.raises(InvalidValueError, match=r'allowed: a file name that ends in ".safeten'):
            write(tmp_path / name)
    assert (tmp_path / "mine.png").read_bytes() == b"a picture"
    session.save(tmp_path / "A.SafeTensors")


def test_nothing_stays_beside_a_file(tmp_path: Path) -> None:
    session = drawn(5.0)
    session.save(tmp_path / "a.safetensors")
    session.autosave(tmp_path / "a.safetensors")
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
@pytest.mark.parametrize("what", ["a pipe", "an endless device", "a folder", "a nul"])
def test_special_files_are_refused_at_once(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    match what:
        case "a pipe":
            os.mkfifo(path)
        case "an endless device":
            path.symlink_to("/dev/zero")
        case "a folder":
            path.mkdir()
        case _:
            path = tmp_path / "a\0b.safetensors"
    session = drawn(5.0)
    calls: list[Callable[[], object]] = [
        lambda: EditSession.load(path, FakeModel()),
        lambda: EditSession.recover(path, FakeModel()),
        lambda: EditSession.from_image(path, FakeModel()),
        lambda: session.save(path),
        lambda: session.autosave(path),
    ]
    for call in calls:
        with pytest.raises(SessionFileError, match=r"cannot be (read|written): "):
            call()


def test_a_file_that_is_no_session(tmp_path: Path, pipeline: Any) -> None:
    with pytest.raises(SessionFileError, match="cannot be read"):
        EditSession.load(tmp_path / "none.safetensors", pipeline)
    (tmp_path / "text.safetensors").write_text("a text that is no session at all")
    with pytest.raises(SessionFormatError, match=r"text\.safetensors"):
        EditSession.load(tmp_path / "text.safetensors", pipeline)
