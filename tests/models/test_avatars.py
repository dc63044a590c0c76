"""Test the embedded checkpoint: its files, its loading, and edits of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from sega_session import EditSession, load_avatars, load_pipeline
from sega_session.errors import CheckpointError, InvalidValueError
from sega_session.models.loading import AVATARS


@pytest.fixture(scope="module")
def pipeline() -> Any:
    loaded = load_avatars(device="cpu")
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_it_is_small_and_says_what_it_is() -> None:
    files = [path for path in AVATARS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6
    assert "Pablo Stanley" in (AVATARS / "README.md").read_text()
    assert {"vocab.json", "merges.txt"} <= {path.name for path in files}


def test_any_diffusers_code_can_load_it(capfd: pytest.CaptureFixture[str]) -> None:
    loaded = StableDiffusionPipeline.from_pretrained(AVATARS)
    assert type(loaded) is StableDiffusionPipeline
    assert loaded("a portrait", num_inference_steps=2).images[0].size == (128, 128)
    assert "warn" not in capfd.readouterr().err.lower()


def test_it_loads_in_half_precision() -> None:
    loaded = load_avatars(device="cpu", dtype=torch.bfloat16)
    assert {loaded.unet.dtype, loaded.vae.dtype, loaded.text_encoder.dtype} == {torch.bfloat16}
    assert load_avatars(device="cpu", dtype="float16").unet.dtype == torch.float16
    for wrong in ("half a float", "int8", torch.int8, 16):
        with pytest.raises(InvalidValueError, match=r"dtype is .*; allowed: a floating-point"):
            load_avatars(device="cpu", dtype=wrong)  # type: ignore[arg-type]


def check_edit(pipeline: Any, seeds: list[int], steps: int) -> None:
    """Check that glasses change the eyes more than the rest of portraits without glasses."""
    session = EditSession(
        pipeline,
        "a portrait of a person",
        seed=seeds,
        num_inference_steps=steps,
        guidance_scale=5,
    )
    before = session.render(output_type="np").images
    session.add("glasses", scale=4, threshold=0.95, warmup=steps // 5)
    after = session.render(output_type="np").images
    assert isinstance(before, np.ndarray)
    change = np.abs(after - before).mean(axis=(0, 3))
    eyes, rest = change[40:80, 30:98], np.concatenate([change[:30].ravel(), change[100:].ravel()])
    assert eyes.mean() > 3 * rest.mean()


def test_an_edit_changes_the_image_where_the_concept_is(pipeline: Any) -> None:
    check_edit(pipeline, [6], 12)


def test_a_missing_checkpoint_is_named() -> None:
    with pytest.raises(CheckpointError, match="checkpoint 'no such checkpoint' cannot be loaded: "):
        load_pipeline("no such checkpoint")


def test_an_incomplete_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"Give a directory with model_index\.json"):
        load_pipeline(tmp_path)


def test_a_missing_device_is_named() -> None:
    with pytest.raises(InvalidValueError, match="device is 'nonsense'; allowed: one that this mac"):
        load_avatars(device="nonsense")
