"""Write into a PNG file how its image was made, and read it back.

The text ``sega_session`` is JSON and exact: `read_provenance` reads it back. The text
``parameters`` is for people and other programs, in the words that AUTOMATIC1111's web UI uses.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from attrs import frozen
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import InvalidValueError, SessionFormatError
from ..files import (
    StrictError,
    check_bounds,
    check_version,
    dump,
    open_regular,
    parse,
    structure,
    unstructure,
)
from ..state import IMAGE_BOMBS, IMAGE_DAMAGE, Concept, EditState, Scene
from ..state.fields import check_path, field_like

FORMAT_VERSION = 1

KEY = "sega_session"
"""The keyword of the text that `read_provenance` reads."""

MAX_BYTES = 2**20
"""The longest text under `KEY` that is written or read, in bytes of UTF-8."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_HEAD_BYTES = 4 * 2**20
"""The most bytes before the pixels of a PNG file that is read: its texts and colour profile."""

MAX_VALUES = 10**5
MAX_PARTS = 5 * 10**4
"""Limits of the text under `KEY`; see `check_bounds`. A thousand concepts are within them."""

PHOTOGRAPH = "A photograph begins a session with EditSession.from_photo."

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FORMAT_WORDS = re.compile(r"(Negative prompt|Steps):", re.IGNORECASE)


@frozen(kw_only=True)
class Provenance:
    """The scene, edits and model that a batch of images was made from.

    Attributes:
        scene: the scene of the session.
        state: the edits.
        mode: the mode of the render, as in `Render.mode`.
        sampler: the scheduler's name, "DDIM" for example.
        model: the model's digest.
        given: the tensors that the user gave to the session and that an image does not hold:
            "latents" or "sem_guidance".

    Raises:
        InvalidValueError: mode, sampler or model is not text, or is empty.
    """

    scene: Scene
    state: EditState
    mode: str = field_like(Concept, "name")
    sampler: str = field_like(Concept, "name")
    model: str = field_like(Concept, "name")
    given: tuple[str, ...] = ()


def image_paths(path: Path, images: int) -> tuple[Path, ...]:
    """Return the files of a batch of images: the path, or numbered ones if there are several.

    >>> image_paths(Path("a.png"), 2)
    (Path("a-0.png"), Path("a-1.png"))
    """
    if images == 1:
        return (path,)
    return tuple(path.with_stem(f"{path.stem}-{index}") for index in range(images))


def png_text(provenance: Provenance, index: int) -> PngInfo:
    """Return the text of one image, for ``image.save(path, pnginfo=png_text(provenance, index))``.

    Args:
        provenance: the provenance of the batch.
        index: the image's place in the batch, counted from 0.

    Raises:
        InvalidValueError: the batch has no such image, or the text would be longer than 1 MiB or
            have too many values.
    """
    _check_index(index, provenance)
    record = {"format_version": FORMAT_VERSION, "index": index, **unstructure(provenance)}
    text = dump(record)
    if _size(text) > MAX_BYTES:
        raise InvalidValueError(
            "the text's length", _size(text), f"at most {MAX_BYTES} bytes", "Shorten the prompts."
        )
    try:
        check_bounds(text, MAX_VALUES, MAX_PARTS)
    except StrictError as error:
        raise InvalidValueError(
            "the text", text[:60], "what can be read again", f"{error}."
        ) from None
    info = PngInfo()
    info.add_text("parameters", _parameters(provenance, index))
    info.add_text(KEY, text)
    return info


def read_provenance(source: str | Path | Image.Image) -> tuple[Provenance, int]:
    """Return the provenance of an image, and its place in the batch, counted from 0.

    Args:
        source: a PNG file, or an image that was opened from one.

    Raises:
        SessionFormatError: the file is not a PNG file, is damaged, or holds no provenance.
        SessionFileError: the file cannot be read.
    """
    name = "the image" if isinstance(source, Image.Image) else str(source)
    info = (
        source.info if isinstance(source, Image.Image) else _read_info(check_path("image", source))
    )
    text = info.get(KEY)
    if not isinstance(text, str):
        raise SessionFormatError(
            f"{name} does not say what made it: there is no text {KEY!r} in it. Use the file that "
            "sega-session wrote; other programs leave the text out when they save an image. "
            + PHOTOGRAPH
        )
    try:
        if _size(text) > MAX_BYTES:
            raise StrictError(f"it has {_size(text)} bytes; allowed: {MAX_BYTES}")
        record = check_version(
            parse(text, max_values=MAX_VALUES, max_parts=MAX_PARTS), FORMAT_VERSION
        )
        index = structure(record.pop("index", None), int, ("index",))
        provenance = structure(record, Provenance)
        _check_index(index, provenance)
    except (StrictError, InvalidValueError) as error:
        reason = str(error).removesuffix(".")
        raise SessionFormatError(f"{name}: the text {KEY!r} cannot be read: {reason}.") from None
    return provenance, index


def check_carried(provenance: Provenance) -> None:
    """Raise SessionFormatError if an image was made with tensors, which its file does not hold."""
    missing = [*provenance.given]
    missing += ["the photograph"] if provenance.scene.photograph is not None else []
    missing += ["the region of its edits"] if provenance.state.region is not None else []
    for one in provenance.state:
        missing += [one.name] if one.embedding is not None else []
        missing += [f"the mask of {one.name}"] if one.mask is not None else []
    if missing:
        raise SessionFormatError(
            f"the image was made with tensors that it does not carry: {', '.join(missing)}. Save "
            "and load the session's file instead."
        )


def _read_info(path: Path) -> dict[str | tuple[int, int], object]:
    """Return what a PNG file holds before its pixels."""
    with open_regular(path) as file:
        try:
            _check_chunks(file)
            with Image.open(file, formats=["PNG"]) as image:
                return image.info
        except IMAGE_BOMBS as error:
            raise SessionFormatError(
                f"{path} is too large: {error} Use an image that sega-session wrote."
            ) from None
        except IMAGE_DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise SessionFormatError(
                f"{path} is no PNG file, or a damaged one: {str(error)[:200]}. Use the file that "
                f"was written. {PHOTOGRAPH}"
            ) from None


def _check_chunks(file: BinaryIO) -> None:
    """Raise ValueError if there are too many bytes before a PNG's pixels, which Pillow reads."""
    at = len(SIGNATURE)
    while at <= MAX_HEAD_BYTES:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IDAT":
            file.seek(0)
            return
        # Length, kind, data, checksum.
        at += 12 + int.from_bytes(head[:4], "big")
    raise ValueError(f"more than {MAX_HEAD_BYTES} bytes come before its pixels")


def _check_index(index: int, provenance: Provenance) -> None:
    count = len(provenance.scene.seeds)
    if type(index) is not int or not 0 <= index < count:
        raise InvalidValueError("index", index, f"an integer, 0 to {count - 1}")


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _parameters(provenance: Provenance, index: int) -> str:
    """Return the prompts, one a line, and a line of settings."""
    scene = provenance.scene
    clip_skip = "" if scene.clip_skip is None else str(scene.clip_skip + 1)
    facts = {
        "Steps": str(scene.num_inference_steps),
        "Sampler": provenance.sampler,
        "CFG scale": f"{scene.guidance_scale:g}",
        "Seed": str(scene.seeds[index]),
        "Size": f"{scene.width}x{scene.height}",
        "Model hash": provenance.model[:10],
        # Counted from 1 there: 1 leaves out no layer.
        "Clip skip": clip_skip,
        "SEGA concepts": "; ".join(_format_concept(one) for one in provenance.state if one.enabled),
        "SEGA mode": provenance.mode,
    }
    lines = [_words(scene.prompt)]
    if scene.negative_prompt:
        lines.append(f"Negative prompt: {_words(scene.negative_prompt)}")
    lines.append(", ".join(f"{name}: {_value(fact)}" for name, fact in facts.items() if fact))
    return "\n".join(lines)


def _words(prompt: str) -> str:
    """Return a prompt in one line, in which readers find no words of the format."""
    return _FORMAT_WORDS.sub(r"\1 :", _BREAKS.sub(" ", prompt))


def _format_concept(concept: Concept) -> str:
    """Return a concept in short: "glasses 5", "glasses -5" inverted, "old - young 5" with both."""
    sign = "-" if concept.inverted else ""
    words = concept.prompt or concept.name
    direction = words if concept.opposite is None else f"{words} - {concept.opposite}"
    return f"{direction} {sign}{concept.scale:g}"


def _value(fact: str) -> str:
    """Return a setting without the characters at which readers split the line."""
    return " ".join(re.sub('[,:"]', " ", _BREAKS.sub(" ", fact)).split())
