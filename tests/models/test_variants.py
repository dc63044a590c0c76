"""Sessions on pipelines as people prepare them: in half precision, compiled, with adapters.

Each case is named in plain words, and runs on a tiny pipeline of each family. The oracle is the
pipeline itself, prepared in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import frozen
from diffusers import AutoencoderTiny, ZImagePipeline
from torch import Tensor, nn

from sega_session import EditSession
from sega_session.errors import ModelChangedError, ModelMismatchError
from sega_session.models import as_model, identify
from tests.support.adapters import DoraLinear, LoraLinear, load_lora
from tests.support.families import FAMILIES, STEPS, Family, own_images, own_latents, size_of

PROMPT = "a <dog>"
"""It has the word of the textual inversion."""

SEEDS = (0, 1)

KINDS = [family for family in FAMILIES if family.name not in ("LCM", "FLUX.1-schnell")]
"""Families without those that have the same networks as another one."""


def network(pipeline: Any) -> str:
    """Return the name of the network that predicts."""
    return "unet" if hasattr(pipeline, "unet") else "transformer"


def enable_free_u(pipeline: Any) -> None:
    if not hasattr(pipeline, "enable_freeu"):
        pytest.skip("FreeU is for U-Nets")
    pipeline.enable_freeu(0.9, 0.2, 1.2, 1.4)


def load_textual_inversion(pipeline: Any) -> None:
    if not hasattr(pipeline, "load_textual_inversion"):
        pytest.skip("the pipeline loads no textual inversions")
    width = pipeline.text_encoder.config.hidden_size
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(1))
    pipeline.load_textual_inversion({"<dog>": vectors}, token="<dog>")


def adapt(kind: type[LoraLinear]) -> Callable[[Any], None]:
    def load(pipeline: Any) -> None:
        load_lora(getattr(pipeline, network(pipeline)), scale=0.7, kind=kind)

    return load


def fuse(kind: type[LoraLinear]) -> Callable[[Any], None]:
    def load(pipeline: Any) -> None:
        for layer in load_lora(getattr(pipeline, network(pipeline)), scale=0.7, kind=kind):
            layer.merge()

    return load


def quantize(pipeline: Any) -> None:
    from torch.ao.quantization import quantize_dynamic  # noqa: PLC0415 - warns

    name = network(pipeline)
    if isinstance(pipeline, ZImagePipeline):
        pytest.skip("the transformer itself does not run with dynamically quantised layers")
    setattr(pipeline, name, quantize_dynamic(getattr(pipeline, name), {nn.Linear}, torch.qint8))


def use_tiny_vae(pipeline: Any) -> None:
    blocks = pipeline.vae_scale_factor.bit_length()
    torch.manual_seed(1)
    pipeline.vae = AutoencoderTiny(
        encoder_block_out_channels=(8,) * blocks,
        decoder_block_out_channels=(8,) * blocks,
        num_encoder_blocks=(1,) * blocks,
        num_decoder_blocks=(1,) * blocks,
        latent_channels=pipeline.vae.config.latent_channels,
    ).eval()


def compile_network(pipeline: Any) -> None:
    name = network(pipeline)
    # Everything but the compilation itself, which takes minutes.
    setattr(pipeline, name, torch.compile(getattr(pipeline, name), backend="eager"))


def offload_sequentially(pipeline: Any) -> None:
    # enable_sequential_cpu_offload() needs an accelerator: accelerate fails on the text encoder.
    from accelerate import cpu_offload  # noqa: PLC0415 - slow to import

    cpu_offload(getattr(pipeline, network(pipeline)), torch.device("cpu"))
    cpu_offload(pipeline.vae, torch.device("cpu"))


@frozen
class Variant:
    """A way to prepare a pipeline.

    Attributes:
        prepare: changes a pipeline.
        changes: what ModelChangedError says of it in a session that had begun; "": the images stay
            the plain pipeline's.
    """

    prepare: Callable[[Any], object]
    changes: str = ""


ALIKE: Mapping[str, Variant] = {
    "as it is": Variant(lambda _: None),
    "attention slicing": Variant(lambda p: p.enable_attention_slicing(1)),
    "VAE slicing": Variant(lambda p: p.vae.enable_slicing()),
    "VAE tiling": Variant(lambda p: p.vae.enable_tiling()),
    "model offloading": Variant(lambda p: p.enable_model_cpu_offload(device="cpu")),
    "sequential offloading": Variant(offload_sequentially),
    "channels last": Variant(
        lambda p: getattr(p, network(p)).to(memory_format=torch.channels_last)
    ),
    "torch.compile": Variant(compile_network),
}
"""Preparations that are for speed and memory."""

OTHERS: Mapping[str, Variant] = {
    "LoRA": Variant(adapt(LoraLinear), "adapter 'x' added"),
    "DoRA": Variant(adapt(DoraLinear), "adapter 'x' added"),
    "fused LoRA": Variant(fuse(LoraLinear), "adapter 'x' added"),
    "fused DoRA": Variant(fuse(DoraLinear), "adapter 'x' added"),
    "textual inversion": Variant(load_textual_inversion, "vocabulary changed"),
    "FreeU": Variant(enable_free_u, "FreeU enabled"),
    "int8 weights": Variant(quantize, "weights changed"),
    "tiny VAE": Variant(use_tiny_vae, "vae: AutoencoderKL -> AutoencoderTiny"),
}
"""Preparations that change the image."""

PRECISIONS: Mapping[str, Variant] = {
    "float16": Variant(lambda p: p.to(dtype=torch.float16)),
    "bfloat16": Variant(lambda p: p.to(dtype=torch.bfloat16)),
}

VARIANTS = {**ALIKE, **OTHERS, **PRECISIONS}

pytestmark = [
    # Importing torch's compiler and its quantisation warns.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor"),
    # The pipeline of SDXL warns of its own method.
    pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning"),
]


def prepared(family: Family, variant: str) -> Any:
    pipeline = family.build()
    VARIANTS[variant].prepare(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def begin(pipeline: Any) -> EditSession:
    """Return a session of two images, larger than the VAE's tiles."""
    own = as_model(pipeline).spec.default_size
    assert own is not None
    height, width = size_of(pipeline) or (2 * own[0], 2 * own[1])
    return EditSession(
        pipeline, PROMPT, seed=SEEDS, num_inference_steps=STEPS, height=height, width=width
    )


def own(family: Family, pipeline: Any) -> tuple[Tensor, Any]:
    """Return the latents and the images that the pipeline itself renders of a session's scene."""
    size = begin(pipeline).size
    settings = {"pipeline": pipeline, "prompt": PROMPT, "seeds": SEEDS, "size": size}
    latents = own_latents(family, **settings)
    return latents, own_images(**settings, output_type="np")


def edited(session: EditSession) -> Tensor:
    """Add a concept, and return the latents of the edited image."""
    # Without a threshold, at which rounding can decide whether an entry counts.
    session.add("hat", warmup=1, threshold=0)
    return session.render(output_type="latent").latents


@pytest.mark.feature("a pipeline", by="variant")
@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_session_renders_the_pipelines_own_image(family: Family, variant: str) -> None:
    pipeline = prepared(family, variant)
    session = begin(pipeline)
    render = session.render(output_type="np")
    latents, images = own(family, pipeline)
    found: Any = render.images
    assert found.shape == images.shape == (2, session.scene.height, session.scene.width, 3)
    assert found.min() >= 0
    assert found.max() <= 1
    # To the bit, in half precision too.
    assert torch.equal(render.latents, latents)
    assert np.array_equal(found, images)
    edit = edited(session)
    assert edit.isfinite().all()
    assert not torch.equal(edit, render.latents)
    assert session.render().evaluations == 0


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("variant", ALIKE)
def test_what_is_for_speed_and_memory_leaves_edits_alone(family: Family, variant: str) -> None:
    plain, pipeline = family.build(), prepared(family, variant)
    found, expected = edited(begin(pipeline)), edited(begin(plain))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    if variant != "sequential offloading":
        assert identify(as_model(pipeline)) == identify(as_model(plain))


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("variant", OTHERS)
def test_what_changes_the_image_is_part_of_the_digest(
    family: Family, variant: str, tmp_path: Path
) -> None:
    plain, pipeline = family.build(), prepared(family, variant)
    session, path = begin(pipeline), tmp_path / "a.safetensors"
    images: list[Any] = [one.render(output_type="np").images for one in (session, begin(plain))]
    assert not np.array_equal(*images)
    edited(session)
    session.save(path)
    before, after = identify(as_model(plain)), identify(as_model(pipeline))
    different = {name for name, one in before.components.items() if after.components[name] != one}
    # A textual inversion is in the tokenizer and in the text encoder.
    assert len(different) == (2 if variant == "textual inversion" else 1)
    assert EditSession.load(path, prepared(family, variant)).render().evaluations == 0
    with pytest.raises(ModelMismatchError, match=r"What differs: ") as caught:
        EditSession.load(path, plain)
    assert all(name in str(caught.value) for name in different)


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("variant", OTHERS)
def test_what_changes_the_image_midway_is_noticed(family: Family, variant: str) -> None:
    pipeline = family.build()
    session = begin(pipeline)
    edited(session)
    VARIANTS[variant].prepare(pipeline)
    with pytest.raises(ModelChangedError, match=VARIANTS[variant].changes):
        session.render()
    session.refresh_model()
    found = session.render(output_type="latent").latents
    assert torch.equal(found, edited(begin(pipeline)))
    assert torch.equal(found, edited(begin(prepared(family, variant))))


@pytest.mark.parametrize("family", KINDS, ids=str)
@pytest.mark.parametrize("kind", [LoraLinear, DoraLinear], ids=["LoRA", "DoRA"])
@pytest.mark.parametrize("change", ["switched off", "reweighted", "fused"])
def test_an_adapter_that_changes_midway_is_noticed(
    family: Family, kind: type[LoraLinear], change: str
) -> None:
    pipeline = family.build()
    name = network(pipeline)
    layers = load_lora(getattr(pipeline, name), scale=0.7, kind=kind)
    session = begin(pipeline)
    before = edited(session)
    for layer in layers:
        if change == "switched off":
            layer.switch(on=False)
        elif change == "reweighted":
            layer.scaling["x"] = 0.2
        else:
            layer.merge()
    with pytest.raises(ModelChangedError, match=f"{name}: adapter 'x' {change}"):
        session.render()
    session.refresh_model()
    found = session.render(output_type="latent").latents
    assert torch.equal(found, edited(begin(pipeline)))
    if change == "switched off":
        assert torch.equal(found, edited(begin(family.build())))
    elif change == "fused":
        torch.testing.assert_close(found, before, rtol=1e-4, atol=1e-4)
    else:
        assert not torch.allclose(found, before, rtol=1e-3)
