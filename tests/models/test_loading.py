"""Loading says nothing, and says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from sega_session import EditSession, load_avatars, load_pipeline, recommended
from sega_session.errors import CheckpointError, InvalidValueError, UnknownPresetError
from sega_session.models import as_model, hub, identify, load_quietly, loading
from sega_session.models.quiet import without_bars, without_notices
from tests.support.families import FAMILIES, Family
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.single_files import TEXT, UNET, VAE, save_single_file


def printed(code: str, *arguments: str) -> tuple[str, str]:
    """Return what a program prints to its two streams."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout, done.stderr


def test_nothing_is_printed() -> None:
    code = (
        "import sega_session, sega_session.testing\n"
        "from sega_session import *\n"
        "sega_session.load_avatars(device='cpu')"
    )
    assert printed(code) == ("", "")


def test_a_first_edit_prints_the_progress_bar_at_most(tmp_path: Path) -> None:
    tiny_stable_diffusion().save_pretrained(tmp_path)
    # As most checkpoints have one: transformers recommends torchvision for it.
    (tmp_path / "feature_extractor").mkdir()
    (tmp_path / "feature_extractor" / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 16}})
    )
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    code = (
        "import sys\n"
        "from sega_session import EditSession, load_pipeline\n"
        "pipeline = load_pipeline(sys.argv[1], device='cpu')\n"
        "assert pipeline.feature_extractor is not None\n"
        "pipeline.set_progress_bar_config(disable=True)\n"
        "session = EditSession(pipeline, 'a cat', num_inference_steps=3)\n"
        "session.add('hat', warmup=1)\n"
        "session.measure(session.render('preview'))\n"
        "session._repr_html_()"
    )
    assert printed(code, str(tmp_path)) == ("", "")


def test_the_users_settings_stay() -> None:
    # The command line's tests may have turned them off for this process.
    for library in (transformers.logging, diffusers.logging):
        library.enable_progress_bar()
    for library in (transformers.logging, diffusers.logging):
        for verbosity in (library.INFO, library.WARNING):
            library.set_verbosity(verbosity)
            with without_notices():
                assert library.get_verbosity() == library.ERROR
            assert library.get_verbosity() == verbosity
    with without_bars():
        assert not transformers.logging.is_progress_bar_enabled()
        assert not diffusers.logging.is_progress_bar_enabled()
    assert transformers.logging.is_progress_bar_enabled()
    assert diffusers.logging.is_progress_bar_enabled()
    diffusers.logging.disable_progress_bar()
    with without_bars():
        pass
    assert not diffusers.logging.is_progress_bar_enabled()
    diffusers.logging.enable_progress_bar()


def test_a_variant_is_loaded(tmp_path: Path) -> None:
    tiny_stable_diffusion(seed=1).save_pretrained(tmp_path)
    half = tiny_stable_diffusion(seed=2)
    half.save_pretrained(tmp_path, variant="fp16")
    plain, variant = (load_pipeline(tmp_path, device="cpu", variant=v) for v in (None, "fp16"))
    assert torch.equal(variant.unet.conv_in.weight, half.unet.conv_in.weight)
    assert not torch.equal(plain.unet.conv_in.weight, half.unet.conv_in.weight)
    with pytest.raises(CheckpointError, match=r"cannot be loaded: .*fp32"):
        load_pipeline(tmp_path, device="cpu", variant="fp32")


def test_a_path_that_is_none_is_not_looked_up_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "portraits").mkdir(parents=True)
    (tmp_path / "models" / "file.safetensors").touch()
    problems: dict[str | Path, str] = {
        str(tmp_path / "modles"): "no such file or folder; .* Did you mean 'models'",
        tmp_path / "modles": "no such file or folder; .* Did you mean 'models'",
        "./modles": "no such file or folder; .* Did you mean 'models'",
        "models/portrait": "no such file or folder; .* Did you mean 'portraits'",
        "models/fil.safetensors": "no such file or folder; .* Did you mean 'file.safetensors'",
        "a/b.safetensors": "no such file or folder; .* Check the path",
        "b.ckpt": "no such file or folder",
        "models/a/b": "no such file or folder; .* Check the path",
        "../nothing here": "no such file or folder",
        "~/nothing here": "no such file or folder",
        "/nope": "no such file or folder",
        "models/portraits": r"a directory without model_index\.json; .* Check the path",
        "models": r"a directory without model_index\.json; .* Give its file 'file\.safetensors'",
    }
    for path, problem in problems.items():
        with pytest.raises(CheckpointError, match=problem) as caught:
            load_pipeline(path)
        assert "hub" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_machine_without_cuda_says_so() -> None:
    for load in (load_avatars, load_quietly):
        with pytest.raises(
            InvalidValueError, match=r"device is 'cuda'; .*: cpu\. torch .* finds n"
        ):
            load(device="cuda")


def test_a_preset_that_is_none_is_a_key_error_with_a_suggestion() -> None:
    found = recommended(load_avatars(device="cpu"))
    assert found is not None
    with pytest.raises(UnknownPresetError, match=r"^concept is 'hats'; .* Did you mean 'hat'\?$"):
        _ = found.concepts["hats"]
    with pytest.raises(KeyError):
        _ = found.removals["hats"]
    assert "hats" not in found.concepts
    assert found.concepts.get("hats") is None


# One file.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a pipeline, its configs alone, and the same pipeline in one file."""
    folder = tmp_path_factory.mktemp("checkpoints")
    pipeline = tiny_stable_diffusion()
    pipeline.save_pretrained(folder / "whole")
    shutil.copytree(
        folder / "whole", folder / "configs", ignore=shutil.ignore_patterns("*.safetensors")
    )
    save_single_file(pipeline, folder / "one.safetensors")
    return folder


def check_is_the_tiny_one(found: Any) -> None:
    """Check that a pipeline has the tiny one's weights and settings, and renders its bits."""
    expected = tiny_stable_diffusion()
    assert identify(as_model(found)) == identify(as_model(expected))
    assert found.safety_checker is None
    found.set_progress_bar_config(disable=True)
    renders: list[Any] = []
    for pipeline in (found, expected):
        session = EditSession(pipeline, "a cat", num_inference_steps=3)
        session.add("hat", warmup=1)
        renders.append(session.render(output_type="np"))
    assert torch.equal(renders[0].latents, renders[1].latents)
    assert np.array_equal(renders[0].images, renders[1].images)


def test_one_file_renders_the_bits_of_the_pipeline(folder: Path) -> None:
    path = folder / "one.safetensors"
    names = set(load_file(path))
    # As in the files that people share.
    assert {
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "model.diffusion_model.output_blocks.1.2.conv.bias",
        "first_stage_model.decoder.mid.attn_1.proj_out.weight",
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    } < names
    check_is_the_tiny_one(load_pipeline(path, device="cpu", config=folder / "configs"))
    half = load_pipeline(path, device="cpu", dtype="bfloat16", config=str(folder / "configs"))
    networks = (half.unet, half.vae, half.text_encoder)
    assert {one.dtype for one in networks} == {torch.bfloat16}


@pytest.mark.parametrize("parts", [(UNET,), (UNET, VAE), (UNET, TEXT)])
def test_parts_that_a_file_lacks_come_from_the_folder(
    parts: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "part.safetensors"
    save_single_file(tiny_stable_diffusion(), path, parts=parts)
    check_is_the_tiny_one(load_pipeline(path, device="cpu", config=folder / "whole"))
    with pytest.raises(CheckpointError, match=r"appear to be missing .* parts that the file lacks"):
        load_pipeline(path, device="cpu", config=folder / "configs")


def test_the_files_own_parts_come_first(folder: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "a.safetensors", tiny_stable_diffusion(seed=3)
    save_single_file(other, path)
    found = load_pipeline(path, device="cpu", config=folder / "whole")
    assert identify(as_model(found)) == identify(as_model(other))


def test_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    check_is_the_tiny_one(load_pipeline("~/one.safetensors", device="cpu", config="~/configs"))
    check_is_the_tiny_one(load_pipeline("~/whole", device="cpu"))


def test_one_file_is_loaded_without_a_word(folder: Path) -> None:
    code = (
        "import sega_session\n"
        f"path, config = {str(folder / 'one.safetensors')!r}, {str(folder / 'configs')!r}\n"
        "sega_session.load_pipeline(path, device='cpu', config=config)"
    )
    assert printed(code) == ("", "")


OTHER_FILES: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "kohya's LoRA": (
        {"lora_unet_down_blocks_0.lora_up.weight": (1,), "lora_unet_down_blocks_0.alpha": (1,)},
        r"is a LoRA, .* pipeline\.load_lora_weights\(\)",
    ),
    "peft's LoRA": ({"unet.to_q.lora_A.weight": (1,)}, r"is a LoRA, .*load_lora_weights\(\)"),
    "LoHa": ({"lora_unet_x.hada_w1_a": (1,)}, r"is a LoRA, .*load_lora_weights\(\)"),
    "textual inversion": (
        {"emb_params": (1,)},
        r"is a textual inversion; .*load_textual_inversion\(\)",
    ),
    "something else": ({"fc.weight": (1,), "fc.bias": (1,)}, "is no checkpoint that .* 'fc.bias'"),
    "nothing": ({}, r"is no checkpoint that .*: it holds nothing; .* the right file\.$"),
    "inpainting": (
        {f"{UNET}input_blocks.0.0.weight": (8, 9, 1, 1)},
        "is of the kind 'inpainting'; allowed: text-to-image models, v1, v2, xl_base",
    ),
    "half of Stable Diffusion 3": (
        {"joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,)},
        "is no checkpoint",
    ),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_a_file_that_is_no_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    shapes, message = OTHER_FILES[name]
    tensors = {one: torch.zeros(shape) for one, shape in shapes.items()}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_pipeline(tmp_path / "a.safetensors", device="cpu")
    assert len(str(caught.value).splitlines()) == 1


def test_files_of_other_formats_are_not_read(folder: Path, tmp_path: Path) -> None:
    for name, message in (
        ("a.ckpt", r"is a pickle, which can run any program .* convert it to safetensors\.$"),
        ("a.pt", "is a pickle"),
        ("a.gguf", r"is a file of another kind; allowed: a \.safetensors file"),
        # By its name diffusers would read it as a pickle.
        ("a.SAFETENSORS", "is a file of another kind"),
    ):
        shutil.copy(folder / "one.safetensors", tmp_path / name)
        with pytest.raises(CheckpointError, match=message):
            load_pipeline(tmp_path / name, device="cpu", config=folder / "configs")


def test_a_part_of_a_checkpoint_names_the_whole(folder: Path) -> None:
    file = folder / "whole" / "unet" / "diffusion_pytorch_model.safetensors"
    for part, message in (
        (file, r"is one part of a checkpoint .* Give its folder, '.*whole'\.$"),
        (file.parent, r"is a directory without .* Give the folder above, '.*whole'\.$"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_pipeline(part, device="cpu")


def test_a_damaged_file_is_named(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "one.safetensors").read_bytes()
    path = tmp_path / "a.safetensors"
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(
            CheckpointError, match=r"is damaged, or only a part of a file: .* again"
        ):
            load_pipeline(path, device="cpu", config=folder / "configs")


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_folder_of_each_family_is_loaded(family: Family, tmp_path: Path) -> None:
    saved = family.build()
    saved.save_pretrained(tmp_path)
    assert identify(as_model(load_pipeline(tmp_path, device="cpu"))) == identify(as_model(saved))


def damaged(file: Path, *, count: int) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of a file with one missing, of another shape, or misnamed."""
    choose = random.Random(1)
    changes: list[Callable[[dict[str, Tensor], str], object]] = [
        lambda tensors, name: tensors.pop(name),
        lambda tensors, name: tensors.update({name: torch.zeros(3, 2)}),
        lambda tensors, name: tensors.update({f"{name}.1": tensors.pop(name)}),
    ]
    whole = load_file(file)
    for name in choose.sample(sorted(whole), count):
        for change in changes:
            tensors = dict(whole)
            change(tensors, name)
            yield tensors


def check_is_refused(source: Path, reason: str, **arguments: Any) -> None:
    with pytest.raises(CheckpointError, match=f"cannot be loaded: .*{reason}") as caught:
        load_pipeline(source, device="cpu", **arguments)
    assert len(str(caught.value)) < 600


def test_a_file_without_some_tensors_is_refused(folder: Path, tmp_path: Path) -> None:
    """Whatever is missing, misnamed or of another shape, one error says it."""
    path = tmp_path / "a.safetensors"
    for tensors in damaged(folder / "one.safetensors", count=8):
        save_file(tensors, path)
        check_is_refused(path, "its? (lacks|tensors)", config=folder / "configs")


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_folder_without_some_tensors_is_refused(
    part: str, variant: str | None, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder / "whole", copy)
    (file,) = (copy / part).glob("*.safetensors")
    if variant is not None:
        file = file.rename(file.with_name(f"{file.stem}.{variant}.safetensors"))
        load_pipeline(copy, device="cpu", variant=variant)
    for tensors in damaged(file, count=3):
        save_file(tensors, file, {"format": "pt"})
        check_is_refused(copy, f"(it lacks the {part}'s|shape)", variant=variant)


def test_parts_that_a_file_lacks_must_be_whole_in_the_folder(folder: Path, tmp_path: Path) -> None:
    path, config = tmp_path / "a.safetensors", tmp_path / "whole"
    shutil.copytree(folder / "whole", config)
    tensors = load_file(folder / "one.safetensors")
    save_file({name: one for name, one in tensors.items() if not name.startswith(TEXT)}, path)
    (file,) = (config / "text_encoder").glob("*.safetensors")
    for damage in damaged(file, count=3):
        save_file(damage, file, {"format": "pt"})
        check_is_refused(path, "(it lacks the text_encoder's|shape)", config=config)


def test_a_config_that_is_none_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "one.safetensors"
    for config in (folder / "nowhere", folder / "whole" / "unet", path):
        with pytest.raises(
            CheckpointError, match=r"is no folder with a readable model_index\.json"
        ):
            load_pipeline(path, device="cpu", config=config)
    for name in ("DDPMPipeline", "Nonsense"):
        (tmp_path / "model_index.json").write_text(f'{{"_class_name": "{name}"}}')
        with pytest.raises(CheckpointError, match=f"is of a {name}, which diffusers loads from f"):
            load_pipeline(path, device="cpu", config=tmp_path)


def test_arguments_that_are_not_for_this_are_refused(folder: Path) -> None:
    file, whole = folder / "one.safetensors", folder / "whole"
    for path, arguments, message in (
        (file, {"revision": "s3cret"}, "^revision is 'not None'; allowed: None for what is on"),
        (whole, {"revision": "s3cret"}, "^revision is 'not None'; allowed: None for what is on"),
        (file, {"variant": "fp16"}, "^variant is 'fp16'; allowed: None for one file"),
        (whole, {"config": whole}, r"^config is .*; allowed: None, except for a \.safetensors"),
        ("owner/name", {"config": whole}, r"^config is .*; allowed: None, except for a \.safe"),
        ("owner/name", {"token": "s3cret\n"}, "^token is 'a text'; allowed: letters"),
        ("owner/name", {"token": "geheimniß"}, "^token is 'a text'; allowed: letters"),
    ):
        given: Any = arguments
        with pytest.raises(InvalidValueError, match=message) as caught:
            load_pipeline(path, device="cpu", **given)
        assert "s3cret" not in str(caught.value)
        assert "geheim" not in str(caught.value)


# The hub.


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty folder of downloads of a machine that is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
CROSS = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
KINDS: dict[str, dict[str, tuple[int, ...]]] = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3)},
    "stabilityai/stable-diffusion-2-1": {CROSS: (1, 1024)},
    "stabilityai/stable-diffusion-xl-base-1.0": {XL: (1,)},
    "stabilityai/stable-diffusion-3.5-large": {"joint_blocks.37.x_block.mlp.fc1.weight": (1,)},
    "black-forest-labs/FLUX.1-schnell": {"double_blocks.0.img_attn.norm.key_norm.scale": (1,)},
    "black-forest-labs/FLUX.1-dev": {
        "double_blocks.0.img_attn.norm.key_norm.scale": (1,),
        "guidance_in.in_layer.bias": (1,),
        "img_in.weight": (1, 64),
    },
}


@pytest.mark.parametrize("repository", KINDS)
def test_without_configs_and_network_a_file_says_what_it_needs(
    repository: str, tmp_path: Path, offline: Path
) -> None:
    tensors = {name: torch.zeros(shape) for name, shape in KINDS[repository].items()}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_pipeline(tmp_path / "a.safetensors", device="cpu")
    assert str(caught.value) == (
        f"checkpoint {str(tmp_path / 'a.safetensors')!r} needs the configs of {repository}, and "
        "the hub does not answer. Pass config=, a folder with the checkpoint's model_index.json "
        "and configs, or go online once: they are kept."
    )


def test_configs_that_were_downloaded_are_enough(folder: Path, offline: Path) -> None:
    kept = offline / "models--stable-diffusion-v1-5--stable-diffusion-v1-5"
    commit = "0" * 40
    shutil.copytree(folder / "configs", kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    check_is_the_tiny_one(load_pipeline(folder / "one.safetensors", device="cpu"))


def test_a_hub_that_does_not_answer_is_not_waited_for(
    folder: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "SECONDS", 0.2)
    errors = []

    def load(source: str | Path) -> None:
        with pytest.raises(CheckpointError) as caught:
            load_pipeline(source, device="cpu", revision=None)
        errors.append(str(caught.value))

    # It takes connections, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        for source in (folder / "one.safetensors", "owner/name"):
            thread = Thread(target=load, args=[source], daemon=True)
            thread.start()
            thread.join(timeout=60)
    assert len(errors) == 2
    assert "and the hub does not answer. Pass config=" in errors[0]
    assert "'owner/name' cannot be loaded: the hub does not answer, and not all of it" in errors[1]


def test_the_hub_is_given_revision_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def refuse(name: str, **arguments: Any) -> None:
        given.append((name, arguments["revision"], arguments["token"]))
        raise OSError(f"{name} has no revision s3cret-1 at https://hub/s3cret-1/x")

    monkeypatch.setattr(hub, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: "no file")
    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", refuse)
    with pytest.raises(CheckpointError) as caught:
        load_pipeline("owner/name", device="cpu", revision="s3cret-1", token="hf_abc")
    assert given == [("owner/name", "s3cret-1", "hf_abc")]
    assert "owner/name has no revision ... at https://hub/.../x" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "hf_abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "pipeline", "dtype"),
    [
        ("cpu", "StableDiffusionPipeline", torch.float32),
        ("cuda", "StableDiffusionPipeline", torch.float16),
        ("cuda", "StableDiffusionXLPipeline", torch.float16),
        ("cuda", "StableDiffusion3Pipeline", torch.bfloat16),
        ("cuda", "FluxPipeline", torch.bfloat16),
    ],
)
def test_the_default_precision_is_the_familys(
    device: str, pipeline: str, dtype: torch.dtype
) -> None:
    assert loading._precision(torch.device(device), None, pipeline) == dtype  # noqa: SLF001
