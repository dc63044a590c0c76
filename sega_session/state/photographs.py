"""Photographs: read from files, images, arrays and tensors as pixels in sRGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

from ..errors import InvalidValueError
from .fields import check_choice
from .pixels import (
    Pixels,
    as_array,
    as_bytes,
    check_side,
    digest_of,
    high_bytes,
    image_errors,
    open_image,
)

Fit: TypeAlias = Literal["crop", "pad", "resize"]
"""The ways to bring a photograph to the size of the images, see `read_photographs`."""

PhotoSource: TypeAlias = Any
"""The sources of `read_photographs`: a path, an image, an array, a tensor, or several of these."""

SIXTEEN_BITS = ("I;16", "I;16B")

GREY = ("1", "L", "LA", *SIXTEEN_BITS)

OTHER_NUMBERS = ("I", "F")
"""The modes of images whose numbers have no fixed range."""

SPACES = {"RGB": ("RGB ",), "L": ("GRAY", "RGB "), "CMYK": ("CMYK",)}
"""The colour spaces, as ICC profiles name them, that suit an image of a mode."""

CONTINUE = "EditSession.from_image continues PNG files that sega-session wrote."

HINT = f"Pass a path, a PIL image, an array or a tensor. {CONTINUE}"

FILE_HINT = f"Pass a whole image file; save other formats as PNG or JPEG. {CONTINUE}"


def read_photographs(source: PhotoSource, height: int, width: int, fit: Fit = "crop") -> Pixels:
    """Return the pixels of photographs, at the size of the images that a session renders.

    An image file's orientation is applied, and its colours are converted to sRGB by its profile.
    The pixels of a photograph in sRGB that has the size already stay as they are.

    Args:
        source: one of these, of any size, or a list of them that hold one image each:

            - the path of an image file, or a PIL image;
            - an array, ``(height, width, 3)`` or ``(images, height, width, 3)``, or in grey
              ``(height, width)``, of 8-bit numbers, or of numbers from 0 to 1;
            - a tensor with the channels first, ``(3, height, width)`` or ``(images, 3, height,
              width)``, as renders with ``output_type="pt"`` hold it.
        height, width: of the images, in pixels.
        fit: "crop" fills the size and cuts off what is over, the same on both sides; "pad" shows
            all of the photograph, with black bars; "resize" stretches it.

    Returns:
        ``(images, height, width, 3)``.

    Raises:
        InvalidValueError: it is none of these, it is transparent, damaged, animated or too large,
            or its values, its shape or its colour profile are not allowed.
    """
    check_choice("fit", fit, get_args(Fit))
    return np.stack([np.asarray(_fitted(one, height, width, fit)) for one in _images(source)])


def photograph_digest(pixels: Pixels) -> str:
    """Return a digest of photographs' pixels, 16 hexadecimal digits."""
    return digest_of(pixels)


def _images(source: PhotoSource) -> Iterator[Image.Image]:
    """Return the images that a source holds, in RGB, each at its own size."""
    if not isinstance(source, list | tuple):
        yield from _read(source)
        return
    if not source:
        raise InvalidValueError("photograph", source, "at least one image", HINT)
    for one in source:
        found = _read(one)
        if len(found) != 1:
            raise InvalidValueError(
                "number of images of a list's member",
                len(found),
                "1",
                "Pass an array or tensor of several images without a list.",
            )
        yield from found


def _read(source: Any) -> list[Image.Image]:
    """Return the images that one file, image, array or tensor holds, in RGB."""
    if isinstance(source, str | Path):
        if Path(source).suffix.lower() == ".safetensors":
            raise InvalidValueError(
                "photograph", str(source), "an image file", "EditSession.load reads session files."
            )
        with open_image("photograph", source, FILE_HINT) as image:
            return [_as_rgb(image)]
    if isinstance(source, Image.Image):
        try:
            with image_errors("photograph", source, FILE_HINT):
                return [_as_rgb(source)]
        except AssertionError as error:
            # So Pillow says that the file of an image that is not decoded yet was closed.
            raise InvalidValueError(
                "photograph", source, "an image whose file is open", "Pass the file's path."
            ) from error
    if hasattr(source, "shape"):
        return [Image.fromarray(one).convert("RGB") for one in _from_array(source)]
    is_render = hasattr(source, "images") and hasattr(source, "latents")
    raise InvalidValueError(
        "photograph",
        source,
        "a path, a PIL image, an array, a tensor, or a list of them",
        "Pass render.image, or render.images for all of a batch." if is_render else HINT,
    )


def _from_array(source: Any) -> Pixels:
    """Return an array or tensor as pixels, of its own size.

    Returns:
        ``(images, height, width, 3)``, or in grey ``(1, height, width)``.
    """
    array = as_array(source)
    is_tensor = hasattr(source, "detach")
    if is_tensor and array.ndim in (3, 4):
        array = np.moveaxis(array, -3, -1)
    fits = array.ndim == 2 or (array.ndim in (3, 4) and array.shape[-1] == 3)
    if not fits or not array.size:
        allowed = "(height, width), (height, width, 3) or (images, height, width, 3)"
        hint = "If its channels are first: numpy.moveaxis(array, -3, -1)."
        if is_tensor:
            allowed = "(height, width), (3, height, width) or (images, 3, height, width)"
            hint = "If its channels are last: tensor.movedim(-1, -3)."
        raise InvalidValueError(
            "shape of the photograph",
            tuple(source.shape),
            allowed,
            f"{hint} Leave out a fourth channel, transparency.",
        )
    if array.ndim < 4:
        array = array[None]
    check_side("photograph", *array.shape[1:3])
    return as_bytes("photograph", array)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return a copy of an image in sRGB: upright, and without transparency."""
    check_side("photograph", *image.size)
    # Cameras add previews and depths to a photograph, which is the first image of such a file.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise InvalidValueError(
            "photograph",
            f"{image.format} of several frames",
            "one image",
            "Pass one frame: Image.open(path).copy() is the first.",
        )
    if image.mode in OTHER_NUMBERS:
        raise InvalidValueError(
            "mode of the photograph",
            image.mode,
            "colours, or 8 or 16 bits of grey",
            "Pass it as an array of numbers from 0 to 1.",
        )
    upright = ImageOps.exif_transpose(image)
    plain = _flattened(upright)
    if "icc_profile" in upright.info:
        return _to_srgb(plain, upright.info["icc_profile"])
    return plain.convert("RGB")


def _flattened(image: Image.Image) -> Image.Image:
    """Return an image in L, RGB or CMYK, 8 bits, without its alpha channel, which is opaque."""
    if not _is_opaque(image):
        raise InvalidValueError(
            "photograph",
            f"in mode {image.mode}, partly transparent",
            "opaque images",
            'Put it on a colour: Image.alpha_composite(Image.new("RGBA", image.size, "white"), '
            'image.convert("RGBA")).',
        )
    if image.mode == "CMYK":
        return image
    if image.mode in SIXTEEN_BITS:
        return high_bytes(image)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in GREY else "RGBA")
    return image.convert("L" if image.mode in GREY else "RGB")


def _is_opaque(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return True
    if image.mode in SIXTEEN_BITS:
        return not (np.asarray(image) == image.info["transparency"]).any()
    least, _ = image.convert("RGBA").getchannel("A").getextrema()
    return least == 255


def _to_srgb(image: Image.Image, content: bytes | None) -> Image.Image:
    """Convert an image in L, RGB or CMYK to sRGB by an ICC profile; None is a damaged one."""
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(content or b""))
        space = profile.profile.xcolor_space
        if space not in SPACES[image.mode]:
            raise ValueError(f"one for {space.strip()}")
        if space == "RGB ":
            image = image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, image.mode, "RGB")
    except (ImageCms.PyCMSError, ValueError) as error:
        raise InvalidValueError(
            "colour profile of the photograph",
            str(error),
            f"an undamaged ICC profile for {image.mode}",
            'To read its colours as sRGB, pass a PIL image after image.info.pop("icc_profile").',
        ) from error
    converted: Image.Image = transform.apply(image)
    plain = image.convert("RGB")
    # Profiles of sRGB differ by rounding; the pixels stay as they are.
    return plain if _furthest(plain, converted) <= 1 else converted


def _furthest(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference of two images in RGB."""
    return int(np.asarray(ImageChops.difference(one, other)).max())


def _fitted(image: Image.Image, height: int, width: int, fit: Fit) -> Image.Image:
    """Return an image at another size; see `read_photographs`."""
    size = (width, height)
    if image.size == size:
        return image
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if fit == "resize":
        return image.resize(size, Image.Resampling.LANCZOS)
    # As ImageOps.pad, which fails if a side rounds to 0 pixels.
    scale = min(width / image.width, height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    bars = Image.new("RGB", size)
    corner = (round((width - inner[0]) / 2), round((height - inner[1]) / 2))
    bars.paste(image.resize(inner, Image.Resampling.LANCZOS), corner)
    return bars
