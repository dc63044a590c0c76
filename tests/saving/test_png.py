"""PNG files hold how an image was made, and hostile ones are refused in one line."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager
from sd_parsers.data import Generators, PromptInfo

from sega_session.errors import InvalidValueError, SessionFileError, SessionFormatError
from sega_session.files import unstructure
from sega_session.saving.png import KEY, MAX_BYTES, Provenance, png_text, read_provenance
from sega_session.state import Concept, EditState, Scene
from tests.files.fuzzing import peak_megabytes
from tests.files.test_strict_json import SCENES, STATES

SCENE = Scene(prompt="a portrait of a woman", seeds=(7, 8), height=512, width=384)
GLASSES = Concept(name="glasses", prompt="glasses", scale=6)
BEARD = Concept(name="beard", prompt="a beard", scale=4.5, inverted=True)
MUTED = Concept(name="hat", prompt="hat", enabled=False)
MADE = Provenance(
    scene=SCENE,
    state=EditState(concepts=(GLASSES, BEARD, MUTED)),
    mode="anchored(every=5)",
    sampler="DDIM",
    model="0123456789abcdef",
)
RECORD = {"format_version": 1, "index": 0, **unstructure(MADE)}

PHOTOGRAPH = "A photograph begins a session with EditSession.from_photo."


def png(info: PngInfo) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "png", pnginfo=info)
    return file.getvalue()


def png_with(text: str | bytes) -> bytes:
    info = PngInfo()
    info.add_text(KEY, text)
    return png(info)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a small PNG with one more chunk after its header."""
    plain = png(PngInfo())
    return plain[:33] + chunk(kind, data) + plain[33:]


def read(tmp_path: Path, content: bytes) -> tuple[Provenance, int]:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    return read_provenance(path)


def refused(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(SessionFormatError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message.replace(str(tmp_path), "")) < 400
    return message


@pytest.mark.parametrize(
    "prompt", ["a cat", "café", "猫と\n帽子, 🎩", "a\x00b\r\nSteps: 3, Seed: 4", ""]
)
@pytest.mark.parametrize("index", [0, 1])
def test_an_image_says_what_made_it(tmp_path: Path, prompt: str, index: int) -> None:
    made = attrs.evolve(
        MADE, scene=attrs.evolve(SCENE, prompt=prompt, negative_prompt=prompt + "!")
    )
    content = png(png_text(made, index))
    assert read(tmp_path, content) == (made, index)
    assert read_provenance(str(tmp_path / "image.png")) == (made, index)
    with Image.open(io.BytesIO(content)) as image:
        assert read_provenance(image) == (made, index)
        assert len(image.info["parameters"].splitlines()) == 3
        assert read_provenance(image.convert("L")) == (made, index)


@settings(max_examples=30, deadline=None)
@given(SCENES, STATES)
def test_every_value_comes_back(scene: Scene, state: EditState) -> None:
    made = attrs.evolve(MADE, scene=scene, state=state)
    with Image.open(io.BytesIO(png(png_text(made, 0)))) as image:
        assert read_provenance(image) == (made, 0)


def parameters(made: Provenance, index: int = 0) -> str:
    with Image.open(io.BytesIO(png(png_text(made, index)))) as image:
        return str(image.info["parameters"])


def test_other_programs_find_the_words_they_know() -> None:
    assert parameters(MADE, 1) == (
        "a portrait of a woman\n"
        "Steps: 50, Sampler: DDIM, CFG scale: 7.5, Seed: 8, Size: 384x512, "
        "Model hash: 0123456789, SEGA concepts: glasses 6; a beard -4.5, "
        "SEGA mode: anchored(every=5)"
    )
    bare = Provenance(
        scene=attrs.evolve(
            SCENE, negative_prompt="blurry\nNegative prompt: x", guidance_scale=7, clip_skip=1
        ),
        state=EditState(),
        mode="exact",
        sampler="DPM++ 2M, Karras",
        model="abc",
    )
    assert parameters(bare) == (
        "a portrait of a woman\n"
        "Negative prompt: blurry Negative prompt : x\n"
        "Steps: 50, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 7, Size: 384x512, "
        "Model hash: abc, Clip skip: 2, SEGA mode: exact"
    )


def read_elsewhere(made: Provenance, index: int) -> PromptInfo:
    """Return what a library that is not ours finds in an image."""
    with Image.open(io.BytesIO(png(png_text(made, index)))) as image:
        found = ParserManager().parse(image)
    assert found is not None
    return found


PROMPTS = (
    "a portrait of a woman",
    "猫と\n帽子, (a hat:1.2), 🎩",
    "Negative prompt: x, Negative prompt: y",
    "a cat\nSteps: 3, Sampler: Euler, Seed: 4, CFG scale: 1",
)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("negative", ["", *PROMPTS])
@pytest.mark.parametrize("index", [0, 1])
def test_another_library_finds_the_settings(prompt: str, negative: str, index: int) -> None:
    odd = Concept(name="odd", prompt='5" tall, Seed: 9, Sampler: "none"')
    made = attrs.evolve(
        MADE,
        scene=attrs.evolve(SCENE, prompt=prompt, negative_prompt=negative),
        state=EditState(concepts=(odd, GLASSES)),
    )
    found = read_elsewhere(made, index)
    (sampler,) = found.samplers
    assert found.generator == Generators.AUTOMATIC1111
    assert sampler.name == "DDIM"
    assert sampler.parameters == {
        "steps": "50",
        "cfg_scale": "7.5",
        "seed": str(SCENE.seeds[index]),
    }
    assert sampler.model is not None
    assert sampler.model.hash == "0123456789"
    assert found.metadata == {
        "Size": "384x512",
        "SEGA concepts": "5 tall Seed 9 Sampler none 5; glasses 6",
        "SEGA mode": "anchored(every=5)",
    }

    def words(text: str) -> str:
        return text.replace("\n", " ").replace("prompt:", "prompt :").replace("Steps:", "Steps :")

    assert [one.value for one in sampler.prompts] == [words(prompt)]
    assert [one.value for one in sampler.negative_prompts] == [
        words(one) for one in [negative] if one
    ]


@pytest.mark.parametrize("index", [-1, 2, True, 0.0, None])
def test_a_batch_has_no_such_image(index: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"index is .*; allowed: an integer, 0 to 1"):
        png_text(MADE, index)


def test_what_could_not_be_read_is_not_written() -> None:
    long = attrs.evolve(MADE, scene=attrs.evolve(SCENE, prompt="猫" * (MAX_BYTES // 3)))
    with pytest.raises(InvalidValueError, match="at most 1048576 bytes"):
        png_text(long, 0)
    with pytest.raises(InvalidValueError, match="model is ''; allowed: text, not empty"):
        attrs.evolve(MADE, model="")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 2}, "format_version is 2; this release reads version 1. Read it with"),
        ({"format_version": "1"}, "format_version is '1'; this release reads version 1."),
        ({"index": 2}, "index is 2; allowed: an integer, 0 to 1."),
        ({"index": -1}, "index is -1; allowed: an integer, 0 to 1."),
        ({"index": True}, "index: True is not an integer."),
        ({"index": None}, "index: None is not an integer."),
        ({"mode": ""}, "mode is ''; allowed: text, not empty."),
        ({"model": 3}, "model: 3 is not text."),
        ({"extra": 3}, "'extra' is unknown; allowed: scene, state, mode, sampler, model, given."),
        ({"scene": {**unstructure(SCENE), "seeds": []}}, "scene: seed is (); allowed"),
        (
            {"state": {"concepts": [{"name": "a", "prompt": "b", "scale": -1}]}},
            "concepts[0]: scale",
        ),
    ],
)
def test_a_record_that_is_none(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    message = refused(tmp_path, png_with(json.dumps({**RECORD, **change})))
    assert f"image.png: the text '{KEY}' cannot be read: " in message
    assert reason in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the text is not JSON"),
        ("{", "the text is not JSON"),
        ("[]", "[] is not an object"),
        ('{"format_version": 1, "format_version": 1}', "the key 'format_version' is there twice"),
        ('{"format_version": 1}', "index: None is not an integer"),
        (json.dumps(RECORD).replace("7.5", "NaN"), "NaN is not a finite number"),
        (json.dumps(RECORD).replace("7.5", "1e999"), "1e999 is not a finite number"),
        (json.dumps(RECORD).replace("DDIM", "\\ud800"), "it holds half a character"),
        ("[" * 49_000, "values are nested too deep"),
        ("[" * 500_000, "it has 500000 colons and opening brackets; allowed"),
        ("[" + "[]," * 349_000 + "0]", "it has 349001 colons and opening brackets; allowed"),
        (json.dumps(RECORD) + " " * MAX_BYTES, "; allowed: 1048576"),
    ],
)
def test_text_that_is_no_record(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in refused(tmp_path, png_with(text))


@pytest.mark.parametrize(
    "content",
    [
        with_chunk(b"zTXt", KEY.encode() + b"\0\0" + zlib.compress(b" " * (2 * MAX_BYTES))),
        with_chunk(b"iTXt", KEY.encode() + b"\0\1\0\0\0" + zlib.compress(b" " * (2 * MAX_BYTES))),
        with_chunk(b"zTXt", KEY.encode() + b"\0\0" + b"no zlib"),
        with_chunk(b"zTXt", KEY.encode() + b"\0\7" + zlib.compress(b"{}")),
        with_chunk(b"zTXt", KEY.encode()),
        with_chunk(b"iTXt", KEY.encode() + b"\0\0\0\0\0\xff\xff"),
        with_chunk(b"iTXt", KEY.encode() + b"\0\1\0\0"),
        with_chunk(b"tEXt", KEY.encode()),
        with_chunk(b"tEXt", b""),
        with_chunk(b"tEXt", KEY.encode() + b"\0" + b" " * (65 * MAX_BYTES)),
        with_chunk(b"IHDR", b""),
        with_chunk(b"iCCP", b"x\0\0" + zlib.compress(b" " * 10**8)),
    ],
)
def test_hostile_chunks(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content)


def test_long_texts_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    plain, size = png(PngInfo()), 200 * 2**20
    with path.open("wb") as file:
        file.write(plain[:33] + struct.pack(">I", size) + b"tEXt" + KEY.encode() + b"\0")
        file.seek(33 + 8 + size + 4)
        file.write(plain[33:])

    def attempt() -> None:
        with pytest.raises(SessionFormatError, match="more than 4194304 bytes come before its"):
            read_provenance(path)

    assert peak_megabytes(attempt) < 2


def test_what_has_too_many_values_is_not_written() -> None:
    long = attrs.evolve(MADE, scene=attrs.evolve(SCENE, prompt="[" * 200_000))
    with pytest.raises(InvalidValueError, match=r"it has 200\d\d\d colons and opening brack"):
        png_text(long, 0)


def test_images_that_do_not_say(tmp_path: Path) -> None:
    said = f"image.png does not say what made it: there is no text '{KEY}' in it. Use the file"
    message = refused(tmp_path, png(PngInfo()))
    assert said in message
    assert message.endswith(PHOTOGRAPH)
    infos: list[dict[str | tuple[int, int], Any]] = [{}, {KEY: 3}, {KEY: b"{}"}]
    for info in infos:
        image = Image.new("RGB", (4, 4))
        image.info = info
        with pytest.raises(SessionFormatError, match="the image does not say what made it"):
            read_provenance(image)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF"])
def test_no_png(tmp_path: Path, kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    message = refused(tmp_path, file.getvalue())
    assert "image.png is no PNG file, or a damaged one" in message
    assert message.endswith(f"Use the file that was written. {PHOTOGRAPH}")


def test_bombs(tmp_path: Path) -> None:
    content = bytearray(png(png_text(MADE, 0)))
    for side in (10_000, 100_000, 2**31 - 1):
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        assert "image.png is too large" in refused(tmp_path, bytes(content))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.png", tmp_path, tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(SessionFileError, match="cannot be read: ") as caught:
            read_provenance(path)
        assert len(str(caught.value).splitlines()) == 1


def test_cut_off_anywhere(tmp_path: Path) -> None:
    content = png(png_text(MADE, 0))
    found = []
    for length in range(0, len(content), 7):
        try:
            found.append(read(tmp_path, content[:length]))
        except SessionFormatError:
            continue
    # If only pixels are cut off, the text is complete.
    assert {*found} == {(MADE, 0)}


@settings(deadline=None)
@given(st.data())
def test_damaged_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(png(png_text(MADE, 0)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    try:
        found = read(tmp_path_factory.getbasetemp(), bytes(content))
    except SessionFormatError:
        return
    assert found == (MADE, 0)
