"""Images that a model encodes: latents equal to diffusers' own, decoded as the VAE decodes them."""

from __future__ import annotations

import threading
from typing import Any

import diffusers
import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from sega_session.errors import ModelChangedError, NotFiniteError, UnsupportedPipelineError
from sega_session.models import DiffusionModel, SerialModel, as_model, changes, glance
from sega_session.testing import FakeModel
from tests.support.families import FAMILIES, Family
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.stable_diffusion_xl import tiny_stable_diffusion_xl

TYPES = (torch.float32, torch.float16, torch.bfloat16)

HEIGHT, WIDTH = 16, 24

each_family = pytest.mark.parametrize("family", FAMILIES, ids=str)


def photographs(images: int = 2) -> Tensor:
    """Return images whose values half precision has, too."""
    drawn = torch.Generator().manual_seed(5)
    return torch.randint(0, 257, (images, 3, HEIGHT, WIDTH), generator=drawn) / 256


# Latents as diffusers' pipelines for image to image have them, which draw them and add noise.


@pytest.fixture
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def mode(posterior: Any, generator: Any = None) -> Any:
        return posterior.mode()

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", mode)


def image_to_image(pipeline: Any, pixels: Tensor) -> Tensor:
    """Return the latents that diffusers' own pipeline for image to image encodes."""
    name = type(pipeline).__name__.removesuffix("Pipeline")
    name = {"LatentConsistencyModel": "StableDiffusion"}.get(name, name)
    checker = {"requires_safety_checker": False} if name == "StableDiffusion" else {}
    theirs = getattr(diffusers, f"{name}Img2ImgPipeline")(**pipeline.components, **checker)
    image = theirs.image_processor.preprocess(pixels)
    settings: dict[str, Any] = {
        "timestep": None,
        "batch_size": len(pixels),
        "dtype": pipeline.vae.dtype,
        "device": pixels.device,
        "generator": None,
    }
    if name == "ZImage":
        settings |= {"num_channels_latents": 4, "height": HEIGHT, "width": WIDTH}
    else:
        settings["num_images_per_prompt"] = 1
    with torch.no_grad():
        if name == "Flux":
            encoded = theirs._encode_vae_image(image.to(pipeline.vae.dtype), None)  # noqa: SLF001
        else:
            encoded = theirs.prepare_latents(image, **settings)
    latents: Tensor = encoded
    return latents


def add_nothing(image: Tensor, *_: Any) -> Tensor:
    return image


@pytest.mark.usefixtures("nothing_drawn")
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@each_family
def test_latents_are_those_of_image_to_image(
    family: Family, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = family.build(dtype=dtype)
    if dtype == torch.bfloat16:
        # It does not overflow: SDXL's VAE decodes in it, so it encodes in it.
        pipeline.vae.register_to_config(force_upcast=False)
    model, pixels = as_model(pipeline), photographs()
    before = glance(model)
    found = model.encode_image(pixels)
    assert changes(before, glance(model)) == ()
    assert (found.dtype, found.device) == (model.spec.dtype, model.spec.device)
    assert found.shape == (2, *model.latents_shape(HEIGHT, WIDTH))
    assert not found.requires_grad
    method = "scale_noise" if family.predicts == "velocity" else "add_noise"
    monkeypatch.setattr(pipeline.scheduler, method, add_nothing)
    assert torch.equal(found, image_to_image(pipeline, pixels).to(found.dtype))


def reconstruction(vae: Any, pixels: Tensor) -> Tensor:
    """Return the images that a VAE makes of images, without any scaling between."""
    with torch.no_grad():
        # In the usual layout: a VAE's own can decode to other last bits.
        latents = vae.encode(pixels * 2 - 1).latent_dist.mode()
        decoded: Tensor = vae.decode(latents.clone(memory_format=torch.contiguous_format)).sample
    return (decoded / 2 + 0.5).clamp(0, 1)


def decoded(model: DiffusionModel, latents: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.as_tensor(model.decode(latents, "pt").images)


@each_family
def test_decoding_gives_the_reconstruction(family: Family) -> None:
    pipeline, pixels = family.build(), photographs()
    model = as_model(pipeline)
    expected = reconstruction(pipeline.vae, pixels)
    torch.testing.assert_close(decoded(model, model.encode_image(pixels)), expected)
    # Without the rounding of the scaling, to the bit.
    pipeline.vae.register_to_config(scaling_factor=0.25, shift_factor=0.0)
    assert torch.equal(decoded(model, model.encode_image(pixels)), expected)


def test_statistics_of_latents_are_used() -> None:
    pipeline, pixels = tiny_stable_diffusion_xl(dtype=torch.float64), photographs().double()
    model = as_model(pipeline)
    plain = model.encode_image(pixels)
    mean, deviation = [0.5, -1.0, 2.0, 0.1], [2.0, 0.5, 1.5, 3.0]
    pipeline.vae.register_to_config(latents_mean=mean, latents_std=deviation)
    found = model.encode_image(pixels)
    factor = pipeline.vae.config.scaling_factor
    mean_of, deviation_of = (torch.tensor(one).view(4, 1, 1).double() for one in (mean, deviation))
    torch.testing.assert_close(found, (plain / factor - mean_of) * factor / deviation_of)
    torch.testing.assert_close(decoded(model, found), reconstruction(pipeline.vae, pixels))


# Stable Diffusion XL's VAE overflows in float16.


def test_a_half_precision_vae_encodes_in_float32_and_stays_as_it_was() -> None:
    pipeline, pixels = tiny_stable_diffusion_xl(dtype=torch.float16), photographs()
    model, attributes = as_model(pipeline), dict(vars(pipeline.vae))
    # An attribute of the instance, as compiling leaves it, belongs to the original.
    pipeline.vae.encode = lambda *_, **__: pytest.fail("the original encodes")
    found = model.encode_image(pixels)
    del pipeline.vae.encode
    assert vars(pipeline.vae) == attributes
    assert pipeline.vae.dtype == torch.float16
    exact = as_model(tiny_stable_diffusion_xl()).encode_image(pixels)
    # The weights are rounded, what is computed with them is not.
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), exact, rtol=0, atol=2e-3)
    pipeline.vae.register_to_config(force_upcast=False)
    assert not torch.equal(model.encode_image(pixels), found)


# Other VAEs, offloading, overflow.


@each_family
def test_a_tiny_autoencoder_encodes(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, pixels = family.build(), photographs()
    blocks = pipeline.vae_scale_factor.bit_length()
    pipeline.vae = AutoencoderTiny(
        encoder_block_out_channels=(4,) * blocks,
        decoder_block_out_channels=(4,) * blocks,
        num_encoder_blocks=(1,) * blocks,
        num_decoder_blocks=(1,) * blocks,
        latent_channels=pipeline.vae.config.latent_channels,
    )
    model = as_model(pipeline)
    with torch.no_grad():
        latents = pipeline.vae.encode(pixels * 2 - 1).latents
        expected = pipeline.vae.decode(latents).sample
    # It has no posterior, and neither scales nor shifts.
    assert torch.equal(model.encode_image(pixels), latents)
    torch.testing.assert_close(decoded(model, latents), (expected / 2 + 0.5).clamp(0, 1))
    method = "scale_noise" if family.predicts == "velocity" else "add_noise"
    monkeypatch.setattr(pipeline.scheduler, method, add_nothing)
    assert torch.equal(latents, image_to_image(pipeline, pixels))


@each_family
def test_offloaded_networks_are_moved_back(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, moved = family.build(), []
    monkeypatch.setattr(pipeline, "maybe_free_model_hooks", lambda: moved.append("back"))
    as_model(pipeline).encode_image(photographs())
    assert moved == ["back"]


@each_family
def test_an_overflow_is_found(family: Family) -> None:
    model, pixels = as_model(family.build()), photographs()
    pixels[0, 0, 0, 0] = torch.nan
    with pytest.raises(NotFiniteError, match=r"encoded images overflowed in torch.float32; allow"):
        model.encode_image(pixels)


# Models without a VAE of diffusers.


def test_a_model_that_does_not_encode_images_says_so() -> None:
    class NoImages(FakeModel):
        encode_image = DiffusionModel.encode_image

    with pytest.raises(UnsupportedPipelineError, match=r"NoImages does not encode images; allowed"):
        NoImages().encode_image(photographs())


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_fake_model_encodes_what_it_decodes(dtype: torch.dtype) -> None:
    model = FakeModel(dtype=dtype)
    blocks = photographs()[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    latents = model.encode_image(blocks)
    assert latents.shape == (2, *model.latents_shape(HEIGHT, WIDTH))
    assert latents.dtype == dtype
    assert torch.equal(decoded(model, latents), blocks)
    assert torch.equal(model.encode_image(decoded(model, latents)), latents)
    assert not latents[:, 3].any()
    assert FakeModel(device="meta").encode_image(blocks).shape == latents.shape


def test_one_thread_at_a_time_encodes_and_a_changed_model_is_noticed() -> None:
    pipeline, pixels = tiny_stable_diffusion(), photographs()
    model = SerialModel(as_model(pipeline))
    entered, go_on = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        entered.set()
        assert go_on.wait(10)

    found: list[Tensor] = []
    with_hook = pipeline.vae.encoder.register_forward_pre_hook(wait)
    worker = threading.Thread(target=lambda: found.append(model.encode_image(pixels)))
    worker.start()
    assert entered.wait(10)
    other = threading.Thread(target=model.check_unchanged)
    other.start()
    other.join(0.1)
    assert other.is_alive()
    go_on.set()
    worker.join(10)
    other.join(10)
    with_hook.remove()
    assert torch.equal(found[0], as_model(pipeline).encode_image(pixels))
    with torch.no_grad():
        pipeline.vae.encoder.conv_in.weight.mul_(2)
    with pytest.raises(ModelChangedError):
        model.encode_image(pixels)
