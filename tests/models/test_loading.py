"""Loading says nothing, and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import torch
import transformers

from sega_session import load_avatars, load_pipeline, recommended
from sega_session.errors import CheckpointError, InvalidValueError, UnknownPresetError
from sega_session.models import load_quietly
from sega_session.models.quiet import without_bars, without_notices
from tests.support.pipelines import tiny_stable_diffusion


def test_nothing_is_printed() -> None:
    code = (
        "import sega_session, sega_session.testing\n"
        "from sega_session import *\n"
        "sega_session.load_avatars(device='cpu')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_users_settings_stay() -> None:
    for verbosity in (transformers.logging.INFO, transformers.logging.WARNING):
        transformers.logging.set_verbosity(verbosity)
        with without_notices():
            assert transformers.logging.get_verbosity() == transformers.logging.ERROR
        assert transformers.logging.get_verbosity() == verbosity
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
    (tmp_path / "file.ckpt").touch()
    problems: dict[str | Path, str] = {
        str(tmp_path / "modles"): "does not exist; .* Did you mean 'models'",
        tmp_path / "modles": "does not exist; .* Did you mean 'models'",
        "./modles": "does not exist; .* Did you mean 'models'",
        "models/portrait": "does not exist; .* Did you mean 'portraits'",
        "models/a/b": "does not exist; .* Check the path",
        "../nothing here": "does not exist",
        "~/nothing here": "does not exist",
        "/nope": "does not exist",
        "file.ckpt": "is not a directory",
    }
    for path, problem in problems.items():
        with pytest.raises(CheckpointError, match=problem) as caught:
            load_pipeline(path)
        assert "hub" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"cannot be loaded: .*model_index\.json") as caught:
        load_pipeline("models/portraits")
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
