"""Pictures that carry what made them, as text in their PNG files.

The text ``sega_session`` is JSON and exact: `read_provenance` gives the values back. The text
``parameters`` is for people and other programs, in the words that AUTOMATIC1111's web UI uses.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

from attrs import frozen
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import files as strict
from ..errors import InvalidValueError, SessionFileError, SessionFormatError
from ..files import StrictError
from ..state import Concept, EditState, Scene
from ..state.fields import field_like

FORMAT_VERSION = 1

KEY = "sega_session"
"""The keyword of the text that is read back."""

MAX_BYTES = 2**20
"""The longest such text, in UTF-8, that is written or read."""

BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises for files that are no PNG or a damaged one; ValueError for its own limits."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@frozen(kw_only=True)
class Provenance:
    """What made a batch of pictures.

    Attributes:
        scene: what the session began with.
        state: the edits.
        mode: how the state was drawn, in the words of `Render.mode`.
        sampler: the scheduler's name, "DDIM" for example.
        model: the model's digest.
        given: what the session was given that a picture does not carry: "latents" or
            "sem_guidance".

    Raises:
        InvalidValueError: mode, sampler or model is no text, or empty.
    """

    scene: Scene
    state: EditState
    mode: str = field_like(Concept, "name")
    sampler: str = field_like(Concept, "name")
    model: str = field_like(Concept, "name")
    given: tuple[str, ...] = ()


def png_text(provenance: Provenance, index: int) -> PngInfo:
    """The text of one picture: ``image.save(path, pnginfo=png_text(provenance, index))``.

    Args:
        provenance: what made the batch.
        index: the picture's place in it, counted from 0.

    Raises:
        InvalidValueError: the batch has no such picture, or the text would be longer than 1 MiB.
    """
    _check_index(index, provenance)
    record = {"format_version": FORMAT_VERSION, "index": index, **strict.unstructure(provenance)}
    text = strict.dump(record)
    if _size(text) > MAX_BYTES:
        raise InvalidValueError(
            "the text's length", _size(text), f"at most {MAX_BYTES} bytes", "Shorten the prompts."
        )
    info = PngInfo()
    info.add_text("parameters", _parameters(provenance, index))
    info.add_text(KEY, text)
    return info


def read_provenance(source: str | Path | Image.Image) -> tuple[Provenance, int]:
    """What made a picture, and its place in the batch, counted from 0.

    Args:
        source: a PNG file, or an image that was opened from one.

    Raises:
        SessionFormatError: the file is no PNG or a damaged one, or does not say what made it.
        SessionFileError: the file cannot be read.
    """
    name = "the image" if isinstance(source, Image.Image) else str(source)
    info = source.info if isinstance(source, Image.Image) else _info(source)
    text = info.get(KEY)
    if not isinstance(text, str):
        raise SessionFormatError(
            f"{name} does not say what made it: there is no text {KEY!r} in it. Take the file that "
            "sega-session wrote; other programs leave the text out when they save a picture."
        )
    try:
        if _size(text) > MAX_BYTES:
            raise StrictError(f"it has {_size(text)} bytes; allowed: {MAX_BYTES}")
        record = strict.check_version(strict.parse(text), FORMAT_VERSION)
        index = strict.structure(record.pop("index", None), int, ("index",))
        provenance = strict.structure(record, Provenance)
        _check_index(index, provenance)
    except (StrictError, InvalidValueError) as error:
        reason = str(error).removesuffix(".")
        raise SessionFormatError(f"{name}: the text {KEY!r} cannot be read: {reason}.") from None
    return provenance, index


def _info(path: str | Path) -> dict[str | tuple[int, int], object]:
    """What a PNG file says before its pixels."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info
    except BOMBS as error:
        raise SessionFormatError(
            f"{path} is too large: {error} Take a picture that sega-session wrote."
        ) from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise SessionFileError(f"{path} cannot be read: {error.strerror}.") from error
        raise SessionFormatError(
            f"{path} is no PNG file, or a damaged one: {error}. Take the file that was written."
        ) from None


def _check_index(index: int, provenance: Provenance) -> None:
    count = len(provenance.scene.seeds)
    if type(index) is not int or not 0 <= index < count:
        raise InvalidValueError("index", index, f"an integer, 0 to {count - 1}")


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _parameters(provenance: Provenance, index: int) -> str:
    """The prompts, a line each, and a line of facts."""
    scene = provenance.scene
    facts = {
        "Steps": str(scene.num_inference_steps),
        "Sampler": provenance.sampler,
        "CFG scale": f"{scene.guidance_scale:g}",
        "Seed": str(scene.seeds[index]),
        "Size": f"{scene.width}x{scene.height}",
        "Model hash": provenance.model[:10],
        "SEGA concepts": ", ".join(_short(one) for one in provenance.state if one.enabled),
    }
    lines = [scene.prompt]
    if scene.negative_prompt:
        lines.append(f"Negative prompt: {scene.negative_prompt}")
    lines.append(", ".join(f"{name}: {_quoted(fact)}" for name, fact in facts.items() if fact))
    return "\n".join(_BREAKS.sub(" ", line) for line in lines)


def _short(concept: Concept) -> str:
    """A concept in short: "glasses 5", or "glasses -5" where it is inverted."""
    sign = "-" if concept.inverted else ""
    return f"{concept.prompt or concept.name} {sign}{concept.scale:g}"


def _quoted(fact: str) -> str:
    """A fact that others do not mistake for several."""
    return json.dumps(fact, ensure_ascii=False) if re.search('[,:"]', fact) else fact
