"""Photographs become pixels in sRGB, upright and of the asked size, or are refused in one line."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from sega_session.errors import InvalidValueError
from sega_session.state import (
    Pixels,
    mask_of,
    photograph_digest,
    read_mask,
    read_photographs,
)

HEIGHT, WIDTH = 24, 32

Array = NDArray[Any]


def colours(height: int = HEIGHT, width: int = WIDTH, images: int | None = None) -> Pixels:
    """Return random pixels, ``(height, width, 3)``, or of several images."""
    shape = (height, width, 3) if images is None else (images, height, width, 3)
    found: Pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return found


def photograph() -> Image.Image:
    return Image.fromarray(colours())


def read(source: Any, **options: Any) -> Pixels:
    """Return the pixels of one photograph, at its size unless another is given."""
    found = read_photographs(source, **{"height": HEIGHT, "width": WIDTH, **options})
    assert len(found) == 1
    return found[0, ...]


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(InvalidValueError) as caught:
        read(source, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def reopened(image: Image.Image, kind: str = "PNG", **options: Any) -> Image.Image:
    """Return an image as a file of a kind holds it, not decoded yet."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


# What photographs are read from.


def test_every_source_gives_the_same_pixels(tmp_path: Path) -> None:
    pixels = colours()
    path = tmp_path / "a.png"
    photograph().save(path)
    first = torch.from_numpy(pixels).movedim(-1, 0)
    sources = (
        path,
        str(path),
        photograph(),
        Image.open(path),
        pixels,
        pixels[None],
        pixels / 255,
        (pixels / 255).astype(np.float32),
        np.asfortranarray(pixels),
        first,
        first[None],
        first / 255,
        (first / 255).requires_grad_(),
        (first[None] / 255).double(),
        [path],
        (photograph(),),
        [pixels[None]],
        [first / 255],
    )
    for source in sources:
        found = read_photographs(source, HEIGHT, WIDTH)
        assert found.dtype == np.uint8
        assert found.shape == (1, HEIGHT, WIDTH, 3)
        assert np.array_equal(found[0], pixels), source
        found[:] = 0  # nobody else's pixels


def test_a_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph().save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert np.array_equal(read("~/a.png"), colours())
    assert "allowed: an image file (" in refused("~nobody-of-this-name/a.png")


def test_batches(tmp_path: Path) -> None:
    pixels = colours(images=3)
    Image.fromarray(pixels[1]).save(tmp_path / "a.png")
    first = torch.from_numpy(pixels).movedim(-1, 1)
    mixed = [Image.fromarray(pixels[0]), tmp_path / "a.png", first[2]]
    for source in (pixels, first, first / 255, mixed, [*pixels], tuple(first)):
        assert np.array_equal(read_photographs(source, HEIGHT, WIDTH), pixels)
    smaller = read_photographs(pixels, 10, 10)
    assert smaller.shape == (3, 10, 10, 3)
    assert np.array_equal(smaller[1], read(pixels[1], height=10, width=10))


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.bfloat16])
def test_a_render_comes_back(precision: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    decoded = (torch.rand(2, 3, HEIGHT, WIDTH, generator=generator) * 2.2 - 1.1).to(precision)
    processor = VaeImageProcessor()
    expected = processor.postprocess(decoded, "pil")
    for kind in ("pil", "pt", "np"):
        found = read_photographs(processor.postprocess(decoded, kind), HEIGHT, WIDTH)
        assert np.array_equal(found, np.stack([np.asarray(one) for one in expected])), kind


def test_half_precision_is_not_rounded_twice() -> None:
    every = np.arange(0x3C01, dtype=np.uint16).view(np.float16)[-30 * 512 :].reshape(-1, 512)
    found = read(every, height=30, width=512)
    assert np.array_equal(found, read(every.astype(np.float32), height=30, width=512))
    assert np.array_equal(found, read(torch.from_numpy(every), height=30, width=512))


def test_masks_are_read_from_tensors_of_any_precision() -> None:
    mask = torch.tensor([[0.0, 1.0], [0.5, 0.25]])
    assert np.array_equal(read_mask(mask.bfloat16(), 2, 2, 1), read_mask(mask, 2, 2, 1))


def test_grey() -> None:
    grey = colours()[..., 0]
    expected = np.stack([grey] * 3, axis=-1)
    for source in (grey, grey / 255, torch.from_numpy(grey), Image.fromarray(grey)):
        assert np.array_equal(read(source), expected)
    flags = grey > 99
    for black_and_white in (flags, Image.fromarray(flags)):
        assert np.array_equal(read(black_and_white), 255 * np.stack([flags] * 3, axis=-1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey(kind: str) -> None:
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 85
    found = read(reopened(Image.fromarray(grey), kind))
    assert np.abs(found - grey[..., None] / 257).max() < 1
    assert np.array_equal(
        read(Image.fromarray(colours()[..., 0] * np.uint16(257))), read(colours()[..., 0])
    )


def test_sixteen_bits_with_the_high_byte_first() -> None:
    grey = (np.arange(HEIGHT * WIDTH) * 85).reshape(HEIGHT, WIDTH)
    image = Image.frombytes("I;16B", (WIDTH, HEIGHT), grey.astype(">u2").tobytes())
    assert np.array_equal(read(image), read(Image.fromarray(grey.astype(np.uint16))))


def test_palettes() -> None:
    image = photograph().quantize(16)
    assert image.mode == "P"
    assert np.array_equal(read(reopened(image)), np.asarray(image.convert("RGB")))
    gif = reopened(image, "GIF")
    assert np.array_equal(read(gif), np.asarray(image.convert("RGB")))


def test_cmyk_without_a_profile() -> None:
    image = photograph().convert("CMYK")
    assert np.array_equal(read(image), np.asarray(image.convert("RGB")))
    jpeg = reopened(image, "JPEG", quality=95)
    assert jpeg.mode == "CMYK"
    assert np.array_equal(read(jpeg), np.asarray(jpeg.convert("RGB")))


def test_the_source_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photograph().save(tmp_path / "a.png", exif=exif, icc_profile=display_p3())
    image = Image.open(tmp_path / "a.png")
    image.load()
    before = (image.mode, image.size, image.tobytes(), {**image.info})
    assert read(image).shape == (HEIGHT, WIDTH, 3)
    assert (image.mode, image.size, image.tobytes(), image.info) == before
    array = colours(10, 10) / 255
    kept = array.copy()
    array.setflags(write=False)
    read(array)
    assert np.array_equal(array, kept)


def test_files_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.gif"
    photograph().save(path)
    opened = []
    original = Image.open

    def note(file: Any, **options: Any) -> Image.Image:
        opened.append(file)
        return original(file, **options)

    monkeypatch.setattr(Image, "open", note)
    read(path)
    (tmp_path / "b.gif").write_bytes(path.read_bytes()[:100])
    refused(tmp_path / "b.gif")
    assert [file.closed for file in opened] == [True, True]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
def test_images_that_were_closed_are_refused(tmp_path: Path, kind: str) -> None:
    photograph().save(tmp_path / "a.img", kind)
    with Image.open(tmp_path / "a.img") as image:
        pass
    assert re.search("an image whose file is open|Operation on closed image", refused(image))


# Orientation and frames.


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda one: one),
        (2, lambda one: one[:, ::-1]),
        (3, lambda one: one[::-1, ::-1]),
        (4, lambda one: one[::-1]),
        (5, lambda one: one.swapaxes(0, 1)),
        (6, lambda one: np.rot90(one, -1)),
        (7, lambda one: one[::-1, ::-1].swapaxes(0, 1)),
        (8, np.rot90),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photographs_are_upright(tmp_path: Path, orientation: int, turned: Any, kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "a.img"
    photograph().save(path, kind, exif=exif)
    with Image.open(path) as image:
        expected = turned(np.asarray(image))
    height, width, _ = expected.shape
    assert np.array_equal(read(path, height=height, width=width), expected)
    assert np.array_equal(read(Image.open(path), height=height, width=width), expected)


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(one) for one in colours(images=3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        path = tmp_path / f"a.{kind}"
        frames[0].save(path, kind, save_all=True, append_images=frames[1:], lossless=True)
        message = refused(path)
        assert f"photograph is '{kind} of several frames'; allowed: one image. Pass one" in message
        with Image.open(path) as image:
            first = image.copy()
            assert refused(image) == message
        assert np.array_equal(read(first), np.asarray(first.convert("RGB")))
        frames[0].save(path, kind, save_all=True)
        assert read(path).shape == (HEIGHT, WIDTH, 3)


def test_previews_within_a_photograph_are_left_out(tmp_path: Path) -> None:
    preview = Image.new("RGB", (8, 8))
    path = tmp_path / "a.jpg"
    photograph().save(path, "MPO", save_all=True, append_images=[preview])
    with Image.open(path) as image:
        assert image.format == "MPO"
        assert image.is_animated  # type: ignore[attr-defined]
        assert np.array_equal(read(path), np.asarray(image))
        assert np.array_equal(read(image), np.asarray(image))


# Colours.


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * one)) for one in numbers)


def curve(*values: int) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a small ICC profile, version 2.4, of a display or printer."""
    common = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78),
        b"cprt": b"text\0\0\0\0x\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(common | tags)
    for name, content in (common | tags).items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4xI", start + len(body), 0x02400000) + kind + space + pcs
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(common | tags)) + table + body


SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]
)
"""The primaries of sRGB, adapted to D50, in columns."""

P3_TO_XYZ = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)


def to_linear(values: Array) -> Array:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Array) -> Array:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def display(to_xyz: Array) -> bytes:
    """Return the profile of a display with the curve of sRGB."""
    values = np.rint(65535 * to_linear(np.linspace(0, 1, 1024))).astype(int).tolist()
    tags = {}
    for name, column in zip((b"r", b"g", b"b"), to_xyz.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*column)
        tags[name + b"TRC"] = curve(*values)
    return profile(b"RGB ", b"XYZ ", tags)


def display_p3() -> bytes:
    return display(P3_TO_XYZ)


def printer() -> bytes:
    """Return the profile of a printer whose four inks all make grey: each takes a quarter of L*."""
    nodes = [(round(65280 * (1 - bin(node).count("1") / 4)), 32768, 32768) for node in range(2**4)]
    table = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += struct.pack(">HH", 2, 2) + struct.pack(">8H", *(0, 65535) * 4)
    table += b"".join(struct.pack(">3H", *node) for node in nodes)
    table += struct.pack(">6H", *(0, 65535) * 3)
    return profile(b"CMYK", b"Lab ", {b"A2B0": table})


def muted() -> Pixels:
    """Return colours of Display P3 that sRGB has too."""
    pixels: Pixels = (96 + colours() // 4).astype(np.uint8)
    return pixels


def from_p3(pixels: Pixels) -> Array:
    linear = to_linear(pixels / 255) @ P3_TO_XYZ.T @ np.linalg.inv(SRGB_TO_XYZ).T
    return 255 * to_srgb(linear)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_display_p3(kind: str) -> None:
    expected = from_p3(muted())
    assert np.abs(expected - muted()).max() > 10
    image = reopened(Image.fromarray(muted()), kind, icc_profile=display_p3(), lossless=True)
    assert np.abs(read(image) - expected).max() < 1
    assert np.abs(read(image.convert("RGBA")) - expected).max() < 1


def test_a_profile_comes_before_another_size() -> None:
    image = reopened(Image.fromarray(muted()), icc_profile=display_p3())
    expected = Image.fromarray(np.rint(from_p3(muted())).astype(np.uint8))
    found = read(image, height=12, width=16).astype(int)
    assert (
        np.abs(found - np.asarray(ImageOps.fit(expected, (16, 12), Image.Resampling.LANCZOS))).max()
        < 2
    )


@pytest.mark.parametrize("mode", ["P", "L", "1"])
def test_profiles_of_colours_in_other_modes(mode: str) -> None:
    image = Image.fromarray(muted()).convert(mode)
    image.info["icc_profile"] = display_p3()
    assert np.abs(read(image) - from_p3(np.asarray(image.convert("RGB")))).max() < 1


def test_a_profile_of_srgb_keeps_the_pixels() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = colours(300, 400)
    for content in (own, display(SRGB_TO_XYZ)):
        image = reopened(Image.fromarray(pixels), icc_profile=content)
        assert np.array_equal(read(image, height=300, width=400), pixels)


@pytest.mark.parametrize("sixteen", [False, True])
def test_profiles_of_grey(sixteen: bool) -> None:
    grey = colours()[..., 0]
    image = Image.fromarray(grey * np.uint16(257) if sixteen else grey)
    power = profile(b"GRAY", b"XYZ ", {b"kTRC": curve(round(256 * 1.8))})
    expected = 255 * to_srgb((grey / 255) ** 1.8)[..., None]
    assert np.abs(expected - grey[..., None]).max() > 10
    for one in (image, reopened(image, icc_profile=power)):
        one.info["icc_profile"] = power
        assert np.abs(read(one) - expected).max() < 2


def test_profiles_of_cmyk() -> None:
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[:, 8:, 0] = 255
    inks[:, 16:, 1] = 255
    inks[:, 24:, 3] = 255
    image = Image.frombytes("CMYK", (WIDTH, HEIGHT), inks.tobytes())
    found = read(reopened(image, "TIFF", icc_profile=printer()))
    lightness = np.repeat([100, 75, 50, 25], 8)
    expected = 255 * to_srgb(((lightness + 16) / 116) ** 3)
    assert np.abs(found - expected[:, None]).max() < 3


def test_a_profile_that_does_not_fit_is_refused() -> None:
    grey = profile(b"GRAY", b"XYZ ", {b"kTRC": curve()})
    damaged = bytearray(display_p3())
    damaged[300:] = bytes(len(damaged) - 300)
    for mode, content, found in (
        ("RGB", b"no profile", "cannot open profile from string"),
        ("RGB", display_p3()[:200], "cannot open profile from string"),
        ("RGB", bytes(damaged), "cannot build transform"),
        ("RGB", None, "cannot open profile from string"),
        ("RGB", printer(), "one for CMYK"),
        ("RGB", grey, "one for GRAY"),
        ("L", printer(), "one for CMYK"),
        ("CMYK", display_p3(), "one for RGB"),
    ):
        image = photograph().convert(mode)
        image.info["icc_profile"] = content
        message = refused(image)
        allowed = f"allowed: an undamaged ICC profile for {mode}. To read its colours as sRGB"
        assert f"colour profile of the photograph is '{found}'; {allowed}" in message
        image.info.pop("icc_profile")  # as the message says
        assert np.array_equal(read(image), np.asarray(image.convert("RGB")))


# Transparency.


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGBa"])
def test_opaque_alpha_is_left_out(mode: str) -> None:
    image = photograph().quantize(16) if mode in ("P", "PA") else photograph()
    expected = np.asarray(image.convert("L" if mode == "LA" else "RGB").convert("RGB"))
    if mode == "P":
        image.info["transparency"] = bytes([255] * 16)
    elif mode == "RGBa":
        image = image.convert("RGBA")
    image = image.convert(mode)
    assert image.has_transparency_data
    assert np.array_equal(read(image), expected)


def with_key(pixels: Array, key: object) -> Image.Image:
    image = Image.fromarray(pixels)
    image.info["transparency"] = key
    return image


def test_transparency_is_refused_with_a_remedy(tmp_path: Path) -> None:
    clear = photograph()
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    palette = photograph().quantize(16)
    palette.info["transparency"] = bytes([200] * 16)
    keyed = with_key(colours(), tuple(map(int, colours()[0, 0])))
    grey = with_key(colours()[..., 0], int(colours()[0, 0, 0]))
    for image in (clear, clear.convert("LA"), palette, keyed, grey, reopened(palette)):
        message = refused(image)
        assert f"photograph is 'in mode {image.mode}, partly transparent'; allowed: op" in message
        [remedy] = re.findall(r"(Image\.alpha_composite\(.*\))\.$", message)
        found = read(eval(remedy, {"Image": Image, "image": image}))
        below = np.asarray(image.convert("RGBA")) / 255
        alpha = below[..., 3:]
        assert np.abs(found - 255 * (below[..., :3] * alpha + 1 - alpha)).max() < 1.5
    clear.save(tmp_path / "a.png")
    assert "partly transparent" in refused(tmp_path / "a.png")
    unused = with_key(muted(), (1, 2, 3))
    assert np.array_equal(read(unused), muted())
    sixteen = muted()[..., 0] * np.uint16(257)
    assert np.array_equal(read(with_key(sixteen, 1)), read(muted()[..., 0]))
    assert "partly transparent" in refused(with_key(sixteen, int(sixteen[3, 3])))


# Sizes.

SHAPES = [(24, 32), (32, 24), (48, 64), (100, 20), (20, 100), (7, 5), (33, 47), (1, 1)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("size", [(32, 24), (16, 16), (61, 43)])
def test_sizes_are_as_pillow_makes_them(height: int, width: int, size: tuple[int, int]) -> None:
    image = Image.fromarray(colours(height, width))
    how = Image.Resampling.LANCZOS
    expected = {
        "crop": ImageOps.fit(image, size, how),
        "pad": ImageOps.pad(image, size, how),
        "resize": image.resize(size, how),
    }
    for fit, one in expected.items():
        found = read(image, height=size[1], width=size[0], fit=fit)
        assert np.array_equal(found, np.asarray(one)), fit
    whole = read(image, height=size[1], width=size[0])
    assert np.array_equal(whole, np.asarray(expected["crop"]))


def test_what_fits_show_of_a_photograph() -> None:
    tall = np.zeros((60, 20, 3), np.uint8)
    tall[20:40], tall[:20], tall[40:] = 255, (255, 0, 0), (0, 0, 255)
    assert np.abs(read(tall, height=20, width=20)[4:-4].astype(int) - 255).max() < 30
    padded = read(tall, height=60, width=60, fit="pad")
    assert not padded[:, :20].any()
    assert not padded[:, 40:].any()
    assert np.array_equal(padded[:, 20:40], tall)
    stretched = read(tall, height=60, width=60, fit="resize")
    assert np.array_equal(stretched[:, 0], tall[:, 0])


def test_a_line_is_shown_whole() -> None:
    line = np.full((1, 400, 3), 255, np.uint8)
    padded = read(line, height=20, width=20, fit="pad")
    assert padded.any(axis=-1).sum(axis=0).tolist() == [1] * 20
    for turned in (line, line.swapaxes(0, 1)):
        for fit in ("crop", "pad", "resize"):
            assert read(turned, height=20, width=20, fit=fit).shape == (20, 20, 3)


def test_digests() -> None:
    pixels = read_photographs(colours(), HEIGHT, WIDTH)
    digest = photograph_digest(pixels)
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert photograph_digest(pixels.copy(order="F")) == digest
    assert photograph_digest(pixels.reshape(1, WIDTH, HEIGHT, 3)) != digest
    changed = pixels.copy()
    changed[0, 0, 0, 0] ^= 1
    assert photograph_digest(changed) != digest
    assert photograph_digest(pixels[..., 0]) == mask_of(pixels[..., 0]).digest


# What is refused.

CONTINUES = "EditSession.from_image continues PNG files that sega-session wrote."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "photograph is None; allowed: a path, a PIL image, an array, a tensor, or a list"),
        (5, f"Pass a path, a PIL image, an array or a tensor. {CONTINUES}"),
        (b"\x89PNG", "allowed: a path, a PIL image"),
        ([[0.5, 0.5]], "photograph is [0.5, 0.5]; allowed: a path, a PIL image"),
        ([], "photograph is []; allowed: at least one image. Pass a path"),
        ((), "photograph is (); allowed: at least one image."),
        (SimpleNamespace(images=[], latents=None), "Pass render.image, or render.images for all"),
        ([SimpleNamespace(images=[], latents=None)], "Pass render.image, or render.images for"),
        ([colours(images=2)], "number of images of a list's member is 2; allowed: 1. Pass an arr"),
        (colours() / 255 * np.nan, "photograph is 'nan to nan'; allowed: numbers from 0 to 1."),
        (colours() / 255 - 0.5, "; allowed: numbers from 0 to 1. Divide 8-bit values by 255; nu"),
        (torch.ones(3, 4, 4) * -1, "photograph is '-1 to -1'; allowed: numbers from 0 to 1. Divi"),
        (torch.ones(3, 4, 4) * 255, "numbers from -1 to 1 by 2, and add 0.5."),
        (np.full((4, 4, 3), 1e300), "photograph is '1e+300 to 1e+300'; allowed: numbers from 0"),
        (colours().astype(int), "type of the photograph is dtype('int64'); allowed: flags, 8-bit"),
        (torch.ones(3, 4, 4).int(), "convert numbers up to 255 to uint8."),
        (colours().astype(np.uint16), "Divide 16-bit numbers by 65535"),
        (colours() + 0j, "type of the photograph is dtype('complex128')"),
        (np.zeros(4), "shape of the photograph is (4,); allowed: (height, width), (height, width"),
        (np.zeros((3, 8, 8)), "If its channels are first: numpy.moveaxis(array, -3, -1)."),
        (np.zeros((2, 3, 8, 8)), "(images, height, width, 3). If its channels are first"),
        (torch.zeros(8, 8, 3), "shape of the photograph is (8, 8, 3); allowed: (height, width), ("),
        (torch.zeros(2, 8, 8, 3), "If its channels are last: tensor.movedim(-1, -3)."),
        (np.zeros((8, 8, 4)), "Leave out a fourth channel, transparency."),
        (torch.zeros(1, 4, 8, 8), "shape of the photograph is (1, 4, 8, 8); allowed"),
        (np.zeros((1, 1, 8, 8, 3)), "shape of the photograph is (1, 1, 8, 8, ...)"),
        (np.zeros((0, 8, 8, 3)), "shape of the photograph is (0, 8, 8, 3)"),
        (np.zeros((8, 0, 3)), "shape of the photograph is (8, 0, 3)"),
        (np.zeros((20_000, 1)), "size of the photograph is (20000, 1); allowed: 1 to 16384 pixels"),
        (torch.zeros(3, 1, 20_000), "size of the photograph is (1, 20000); allowed: 1 to 16384"),
        (Image.new("RGB", (20_000, 1)), "size of the photograph is (20000, 1); allowed: 1 to"),
        (Image.new("I", (4, 4)), "mode of the photograph is 'I'; allowed: colours, or 8 or 16"),
        (Image.new("F", (4, 4)), "Pass it as an array of numbers from 0 to 1."),
    ],
)
def test_what_is_no_photograph_is_refused(source: Any, message: str) -> None:
    assert message in refused(source)


def test_the_remedies_work() -> None:
    array, tensor = np.moveaxis(colours(images=2), -1, -3), torch.from_numpy(colours(images=2))
    for given, remedy in (
        (array, np.moveaxis(array, -3, -1)),
        (array[0], np.moveaxis(array[0], -3, -1)),
        (tensor, tensor.movedim(-1, -3)),
        (tensor[0], tensor[0].movedim(-1, -3)),
        (tensor.movedim(-1, -3) / 127.5 - 1, (tensor.movedim(-1, -3) / 127.5 - 1) / 2 + 0.5),
        (colours() / 1.0, colours() / 1.0 / 255),
    ):
        with pytest.raises(InvalidValueError, match=r"photograph"):
            read_photographs(given, HEIGHT, WIDTH)
        found = read_photographs(remedy, HEIGHT, WIDTH)
        assert np.array_equal(found, colours(images=2)[: len(found)])


@pytest.mark.parametrize("fit", ["fill", "", None, "Crop"])
def test_an_unknown_fit_is_refused(fit: Any) -> None:
    message = refused(photograph(), fit=fit)
    assert f"fit is {fit!r}; allowed: one of 'crop', 'pad', 'resize'." in message


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("text")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "a.safetensors").write_bytes(b"")
    for name, message in (
        ("a.jpg", "allowed: an image file of a known format. Pass a whole image file; save oth"),
        ("a.jpg", f"save other formats as PNG or JPEG. {CONTINUES}"),
        ("empty.jpg", "allowed: an image file of a known format."),
        ("none.jpg", "allowed: an image file ("),
        ("none.jpg", "No such file or directory. Correct the path.). Pass a whole image file"),
        ("", "Give the path of a file, not of a folder."),
        ("a\0b", "Correct the path"),
        ("a.safetensors", "allowed: an image file. EditSession.load reads session files."),
        ("A.SAFETENSORS", "EditSession.load reads session files."),
    ):
        path = tmp_path / name
        for source in (path, str(path), [path]):
            found = refused(source)
            assert "photograph is '" in found
            assert message in found


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"])
def test_files_that_are_cut_off(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.img"
    photograph().save(path, kind)
    content = path.read_bytes()
    for part in (0.5, 0.7):
        path.write_bytes(content[: int(part * len(content))])
        assert re.search(
            r"allowed: an image file (that can be decoded \(|of a known)", refused(path)
        )
    file = io.BytesIO(content[: len(content) // 2])
    try:
        image = Image.open(file)
    except OSError:
        return
    assert "allowed: an image file that can be decoded (" in refused(image)


def test_damaged_orientation_is_refused() -> None:
    image = photograph()
    image.info["exif"] = b"Exif\0\0nonsense"
    assert "that can be decoded (not a TIFF file" in refused(image)


@pytest.mark.parametrize("limit", [HEIGHT * WIDTH // 3, HEIGHT * WIDTH // 2 + 1])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    # Twice the limit is an error; below that it is a warning, which these tests make an error.
    photograph().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    message = refused(tmp_path / "a.png")
    assert f"allowed: a smaller image (Image size (768 pixels) exceeds limit of {limit} pi" in (
        message.replace(str(2 * limit), str(limit))
    )
    assert message.endswith("Make it smaller with another program.")


def test_large_files_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (16_385, 1)).save(tmp_path / "a.png")

    def load(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", load)
    message = "size of the photograph is (16385, 1); allowed: 1 to 16384 pixels a side."
    assert message in refused(tmp_path / "a.png")
