"""The document in a session file: versions, names of tensors, hostile headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from sega_session.errors import SessionFileError, SessionFormatError
from sega_session.files import TensorRows, unstructure, write_tensors
from sega_session.models.identity import ModelIdentity
from sega_session.saving.document import (
    INITIAL_LATENTS,
    METADATA_KEY,
    SEM_GUIDANCE,
    TENSOR_NAMES,
    Document,
    Predictions,
    Recorded,
    dump_document,
    embedding_name,
    latents_name,
    parse_document,
    prediction_name,
    read_document,
)
from sega_session.saving.versions import FORMAT_VERSION, MIGRATIONS
from sega_session.state import Concept, EditState, Scene
from sega_session.state.history import History
from tests.files.fuzzing import entry, packed

DATA = Path(__file__).parents[1] / "data"
DIGEST = "0123456789abcdef"
MINE = Concept(name="mine", prompt="mine", embedding=DIGEST)

DOCUMENT = Document(
    session="a1b2",
    scene=Scene(prompt="a cat", seeds=(7,), num_inference_steps=2, height=8, width=8),
    latents_shape=(1, 1, 2, 2),
    calls=2,
    batch_plan="canonical",
    latents_given=False,
    guidance_calls=2,
    embeddings={DIGEST: (1, 3, 4)},
    model=ModelIdentity(digest="abc", components={"unet": "def"}, dtype="float32", sampler="DDIM"),
    versions={"sega-session": "0.1.0"},
    history=History().commit(EditState(concepts=(MINE,))),
    conditions=("uncond", "prompt:a cat", f"embedding:{DIGEST}"),
    recorded=(
        Recorded(0, (0, 1, 2), (Predictions(0, (0, 1)), Predictions(1, (0, 1)))),
        Recorded(1, (2,), (Predictions(2, (1,)),)),
    ),
    start=1,
)

SHAPES = {
    "initial_latents": (1, 1, 2, 2),
    "sem_guidance": (2, 1, 1, 2, 2),
    f"embedding.{DIGEST}": (1, 3, 4),
    "render.0.latents": (3, 1, 1, 2, 2),
    "render.0.prediction.0": (2, 1, 1, 2, 2),
    "render.0.prediction.1": (2, 1, 1, 2, 2),
    "render.1.latents": (1, 1, 1, 2, 2),
    "render.1.prediction.2": (1, 1, 1, 2, 2),
}


def plain(document: Document = DOCUMENT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dump_document(document))
    return found


def write_file(
    path: Path, text: str = "", shapes: Any = None, dtype: str = "F32", **metadata: str
) -> Path:
    """Write a session file of zeros."""
    tensors = {}
    for name, shape in (shapes or SHAPES).items():
        rows = TensorRows(dtype, shape, [])
        tensors[name] = evolve(rows, chunks=[bytes(rows.nbytes)])
    with path.open("wb") as file:
        write_tensors(file, tensors, {METADATA_KEY: text or dump_document(DOCUMENT), **metadata})
    return path


def test_a_document_comes_back(tmp_path: Path) -> None:
    assert parse_document(dump_document(DOCUMENT)) == DOCUMENT
    assert DOCUMENT.shapes() == SHAPES
    assert read_document(write_file(tmp_path / "a.safetensors")) == DOCUMENT


def test_the_names_of_tensors() -> None:
    assert INITIAL_LATENTS == "initial_latents"
    assert SEM_GUIDANCE == "sem_guidance"
    assert embedding_name(DIGEST) == f"embedding.{DIGEST}"
    assert latents_name(12) == "render.12.latents"
    assert prediction_name(12, 3) == "render.12.prediction.3"
    for name in (*SHAPES, latents_name(999_999), prediction_name(999_999, 9999)):
        assert TENSOR_NAMES.fullmatch(name)
    for name in (
        *("", "initial_latent", "render.0.latents.", "renderx0.latents", "render.1000000.latents"),
        *(
            "embedding.0123",
            "embedding.0123456789ABCDEF",
            "render.0.prediction",
            "render.-1.latents",
        ),
        *("render.0.prediction.10000", "render.٣.latents", "initial_latents\n", "../a"),
    ):
        assert not TENSOR_NAMES.fullmatch(name)


# Versions.


def of_version_1(document: Document = DOCUMENT) -> dict[str, Any]:
    """Return a document as the first version wrote it."""
    found = plain(document)
    found["format_version"] = 1
    found["branches"] = found.pop("conditions")
    for render in found["recorded"]:
        for one in render["predictions"]:
            one["branch"] = one.pop("condition")
    return found


def test_version_1_is_migrated() -> None:
    assert parse_document(json.dumps(of_version_1())) == DOCUMENT
    assert plain()["format_version"] == FORMAT_VERSION == 2
    # The history's branches are another thing, and stay.
    assert "branches" in of_version_1()["history"]


def test_every_older_version_has_a_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_the_files_of_both_versions_say_the_same() -> None:
    first = read_document(DATA / "session-v1.safetensors")
    second = read_document(DATA / "session-v2.safetensors")
    assert first.conditions == ("uncond", "prompt:a portrait", "prompt:hat", "prompt:smile")
    # Each file has its own name, and the versions and digests of its day.
    first, second = (
        evolve(one, session="", versions={}, model=DOCUMENT.model) for one in (first, second)
    )
    assert first == second


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (3, "3; this release reads versions 1 to 2. Read it with a newer sega-session: pip inst"),
        (0, "0; this release reads versions 1 to 2. The document was not written by sega-session."),
        (-1, "-1; this release reads versions 1 to 2. The document was not written by"),
        (True, "True; this release reads versions 1 to 2. The document was not written by"),
        ("2", "'2'; this release reads versions 1 to 2. The document was not written by"),
        (2.0, "2.0; this release reads versions 1 to 2. The document was not written by"),
        (None, "None; this release reads versions 1 to 2. The document was not written by"),
    ],
)
def test_other_versions_are_refused(tmp_path: Path, version: Any, reason: str) -> None:
    text = json.dumps({**plain(), "format_version": version})
    path = write_file(tmp_path / "a.safetensors", text)
    with pytest.raises(SessionFormatError) as caught:
        read_document(path)
    message = f"{path}: the session's document cannot be read: format_version is {reason}"
    assert str(caught.value).startswith(message)


def test_a_missing_version_is_refused() -> None:
    document = plain()
    del document["format_version"]
    with pytest.raises(SessionFormatError, match=r"format_version is None; .* not written by sega"):
        parse_document(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conditions": []}, "'conditions' is unknown; allowed in this version: 'branches'"),
        ({"recorded": 3}, "recorded: 3 is not a list"),
        ({"recorded": [3]}, r"recorded\[0\]: 3 is not an object"),
        ({"recorded": [{"predictions": {}}]}, r"recorded\[0\]: 'entry' is missing"),
        ({"branches": {}}, "conditions: {} is not a list"),
        (
            {"recorded": [{"entry": 0, "latents": [], "predictions": [{"condition": 1}]}]},
            "'condition' is unknown; allowed in this version: 'branch'",
        ),
        (
            {"recorded": [{"entry": 0, "latents": [], "predictions": [None]}]},
            r"recorded\[0\].predictions\[0\]: None is not an object",
        ),
    ],
)
def test_damaged_documents_of_version_1_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(SessionFormatError, match=reason):
        parse_document(json.dumps({**of_version_1(), **change}))


def test_names_of_version_1_are_refused_in_version_2() -> None:
    with pytest.raises(SessionFormatError, match="'branches' is unknown"):
        parse_document(json.dumps({**of_version_1(), "format_version": 2}))


# Hostile files.


def with_entry(**changes: Any) -> dict[str, Any]:
    """Return a header of one tensor, changed."""
    return {
        "__metadata__": {METADATA_KEY: dump_document(DOCUMENT)},
        "initial_latents": entry("F32", [1, 1, 2, 2], [0, 16]) | changes,
    }


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"../a": (1,)}, r"the tensor '\.\./a' is not in the document"),
        ({"a" * 10**6: (1,)}, r"the tensor 'a+\.\.\.a+' is not in the document"),
        ({"a\n\0": (1,)}, r"the tensor 'a\\n\\x00' is not in the document"),
        ({"": (1,)}, "the tensor '' is not in the document"),
        ({"render.9.latents": (1, 1, 1, 2, 2)}, "the tensor 'render.9.latents' is not in the doc"),
        ({"initial_latents": (1, 1, 2, 3)}, r"initial_latents is F32 \(1, 1, 2, 3\), and the"),
        ({"initial_latents": (1,) * 100_000}, r"initial_latents is F32 \(1, 1, 1, 1, \.\.\.\), "),
        ({"initial_latents": (0, 2**62)}, r"initial_latents is F32 \(0, 4611686018427387904\)"),
    ],
)
def test_tensors_must_be_those_of_the_document(
    tmp_path: Path, shapes: dict[str, Any], reason: str
) -> None:
    path = write_file(tmp_path / "a.safetensors", shapes={**SHAPES, **shapes})
    with pytest.raises(SessionFormatError, match=rf"is damaged: .*{reason}") as caught:
        read_document(path)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in SHAPES.items() if name != "render.1.latents"}
    path = write_file(tmp_path / "a.safetensors", shapes=shapes)
    with pytest.raises(SessionFormatError, match=r"the tensor 'render\.1\.latents' is missing"):
        read_document(path)


@pytest.mark.parametrize("dtype", ["F64", "F16", "BF16", "I32", "U8", "BOOL"])
def test_tensors_must_have_the_precision_of_the_model(tmp_path: Path, dtype: str) -> None:
    path = write_file(tmp_path / "a.safetensors", dtype=dtype)
    with pytest.raises(SessionFormatError, match=f"is {dtype} .* the document says 'float32'"):
        read_document(path)


@pytest.mark.parametrize(
    "header",
    [
        with_entry(dtype="F8_E4M3", shape=[16]),
        with_entry(dtype="C64", shape=[2]),
        with_entry(more=1),
        {"__metadata__": {}},
        {"__metadata__": None},
        {"__metadata__": {METADATA_KEY: dump_document(DOCUMENT), "more": ""}},
        {"__metadata__": {str(number): "" for number in range(101)}},
        {"__metadata__": {"x" * 10**6: ""}},
        {},
    ],
)
def test_other_hostile_headers_are_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(packed(header, b"\0" * 16 * ("initial_latents" in header)))
    with pytest.raises(SessionFormatError) as caught:
        read_document(path)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (0, 2**62), (2**62, 0), (1,) * 9, (-1, -1)])
def test_shapes_of_embeddings_that_readers_cannot_multiply(shape: tuple[int, ...]) -> None:
    text = dump_document(evolve(DOCUMENT, embeddings={DIGEST: shape}))
    with pytest.raises(SessionFormatError, match=f"the embeddings '{DIGEST}' have the shape"):
        parse_document(text)


def test_digests_of_embeddings_are_digests() -> None:
    for digest in ("../a", "", "0123456789ABCDEF", "x" * 10**6):
        embeddings = {DIGEST: (1, 3, 4), digest: (1, 3, 4)}
        with pytest.raises(SessionFormatError, match="is not a tensor's name") as caught:
            parse_document(dump_document(evolve(DOCUMENT, embeddings=embeddings)))
        assert len(str(caught.value)) < 300


def test_cut_off_and_missing_files(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SessionFormatError, match="is no session, or a damaged one"):
        read_document(path)
    with pytest.raises(SessionFileError, match="cannot be read"):
        read_document(tmp_path / "none.safetensors")


@pytest.mark.parametrize("field", sorted(unstructure(DOCUMENT)))
def test_a_field_that_is_left_out_is_an_error(field: str) -> None:
    document = plain()
    del document[field]
    with pytest.raises(SessionFormatError, match=rf"'{field}' is missing|a field is left out"):
        parse_document(json.dumps(document))
