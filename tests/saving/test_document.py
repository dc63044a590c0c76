"""The document in a session file: versions, names of tensors, hostile headers."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from sega_session.errors import SessionFileError, SessionFormatError
from sega_session.files import StrictError, TensorRows, unstructure, write_tensors
from sega_session.files.safetensors_reader import TensorInfo
from sega_session.models.identity import ModelIdentity
from sega_session.saving import document as module
from sega_session.saving.document import DIGEST as DIGEST_NAME
from sega_session.saving.document import DOCUMENT as DOCUMENT_NAME
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
from sega_session.saving.tables import pack, unpack
from sega_session.saving.versions import (
    FORMAT_VERSION,
    MIGRATIONS,
    NEW_IN_CONCEPT,
    NEW_IN_DOCUMENT,
    NEW_IN_DOCUMENT_4,
    NEW_IN_SCENE,
    NEW_IN_SCENE_4,
    NEW_IN_STATE,
)
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
    """Return a document as JSON, with its version."""
    found: dict[str, Any] = json.loads(zlib.decompress(dump_document(document)))
    return {"format_version": FORMAT_VERSION, **found}


VERSION = {METADATA_KEY: json.dumps({"format_version": FORMAT_VERSION})}


def write_file(
    path: Path,
    shapes: Any = None,
    dtype: str = "F32",
    packed: bytes | None = None,
    metadata: Any = None,
) -> Path:
    """Write a session file of zeros; its digest is wrong, and only checked with the tensors."""
    tensors = {}
    for name, shape in (SHAPES if shapes is None else shapes).items():
        rows = TensorRows(dtype, shape, [])
        tensors[name] = evolve(rows, chunks=[bytes(rows.nbytes)])
    if packed is None:
        packed = dump_document(DOCUMENT)
    tensors[DOCUMENT_NAME] = TensorRows("U8", (len(packed),), [packed])
    tensors[DIGEST_NAME] = TensorRows("U8", (32,), [bytes(32)])
    with path.open("wb") as file:
        write_tensors(file, tensors, VERSION if metadata is None else metadata)
    return path


def test_a_document_comes_back(tmp_path: Path) -> None:
    assert parse_document(plain()) == DOCUMENT
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


def of_version_3(document: Document = DOCUMENT) -> dict[str, Any]:
    """Return a document as the third version wrote it."""
    found = plain(document)
    found["format_version"] = 3
    for key in NEW_IN_DOCUMENT_4:
        del found[key]
    for key in NEW_IN_SCENE_4:
        del found["scene"][key]
    return found


def of_version_2(document: Document = DOCUMENT) -> dict[str, Any]:
    """Return a document as the second version wrote it."""
    history = document.history
    found = of_version_3(document)
    found["format_version"] = 2
    for key in NEW_IN_DOCUMENT:
        del found[key]
    for key in NEW_IN_SCENE:
        del found["scene"][key]
    entries: list[Any] = unstructure(tuple(history.entries))
    for state in (member["state"] for member in entries):
        for key in NEW_IN_STATE:
            del state[key]
    for concept in (one for member in entries for one in member["state"]["concepts"]):
        for key in NEW_IN_CONCEPT:
            del concept[key]
    found["history"] = {
        "entries": entries,
        "current": history.current,
        "visited": list(history.visited),
        "branches": history.branches,
        "branch": history.branch,
    }
    return found


def of_version_1(document: Document = DOCUMENT) -> dict[str, Any]:
    """Return a document as the first version wrote it."""
    found = of_version_2(document)
    found["format_version"] = 1
    found["branches"] = found.pop("conditions")
    for render in found["recorded"]:
        for one in render["predictions"]:
            one["branch"] = one.pop("condition")
    return found


def test_older_versions_are_migrated() -> None:
    assert parse_document(of_version_1()) == DOCUMENT
    assert parse_document(of_version_2()) == DOCUMENT
    assert parse_document(of_version_3()) == DOCUMENT
    assert plain()["format_version"] == FORMAT_VERSION == 4
    # The history's branches are another thing, and stay.
    assert "branches" in of_version_1()["history"]


def test_labels_of_version_2_become_one_line() -> None:
    document = of_version_2()
    document["history"]["entries"][1]["label"] = "a\nhat added"
    assert parse_document(document).history[1].label == r"a\nhat added"
    document["history"]["entries"][1] = None
    with pytest.raises(StrictError, match="None is not an object"):
        parse_document(document)


def test_every_older_version_has_a_migration() -> None:
    assert sorted(MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_the_files_of_all_versions_say_the_same() -> None:
    first, *others = (
        # Each file has its own name, and the versions and digests of its day.
        evolve(one, session="", versions={}, model=DOCUMENT.model)
        for one in (
            read_document(DATA / f"session-v{version}.safetensors")
            for version in range(1, FORMAT_VERSION + 1)
        )
    )
    assert first.conditions == ("uncond", "prompt:a portrait", "prompt:hat", "prompt:smile")
    assert others == [first] * (FORMAT_VERSION - 1)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (5, "5; this release reads versions 1 to 4. Read it with a newer sega-session: pip inst"),
        (0, "0; this release reads versions 1 to 4. The document was not written by sega-session."),
        (-1, "-1; this release reads versions 1 to 4. The document was not written by"),
        (True, "True; this release reads versions 1 to 4. The document was not written by"),
        ("2", "'2'; this release reads versions 1 to 4. The document was not written by"),
        (2.0, "2.0; this release reads versions 1 to 4. The document was not written by"),
        (None, "None; this release reads versions 1 to 4. The document was not written by"),
    ],
)
def test_other_versions_are_refused(tmp_path: Path, version: Any, reason: str) -> None:
    metadata = {METADATA_KEY: json.dumps({"format_version": version})}
    path = write_file(tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(SessionFormatError) as caught:
        read_document(path)
    message = f"{path}: the session's document cannot be read: format_version is {reason}"
    assert str(caught.value).startswith(message)


def test_a_missing_version_is_refused() -> None:
    document = plain()
    del document["format_version"]
    with pytest.raises(StrictError, match=r"format_version is None; .* not written by sega"):
        parse_document(document)


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
        (
            {"recorded": [{"entry": 0, "latents": [], "predictions": [3]}]},
            r"recorded\[0\].predictions\[0\]: 3 is not an object",
        ),
    ],
)
def test_damaged_documents_of_version_1_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(StrictError, match=reason):
        parse_document({**of_version_1(), **change})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (3, "history: 3 is not an object"),
        ({"entries": 3}, "history.entries: 3 is not a list"),
        ({"entries": []}, "visited has 2 values for 0 entries"),
        ({"visited": [None]}, "visited has 1 values for 2 entries"),
        ({"current": 2}, "the history is at entry 2 of 2"),
        ({"more": 2}, "history: 'more' is unknown"),
    ],
)
def test_damaged_histories_of_version_2_are_refused(change: Any, reason: str) -> None:
    document = of_version_2()
    document["history"] = {**document["history"], **change} if change != 3 else change
    with pytest.raises(StrictError, match=reason):
        parse_document(document)
    document = of_version_2()
    del document["history"]["entries"][1]["state"]["concepts"][0]["scale"]
    with pytest.raises(StrictError, match="history: a field is left out"):
        parse_document(document)


def test_names_of_version_1_are_refused_in_version_2() -> None:
    with pytest.raises(StrictError, match="'branches' is unknown"):
        parse_document({**of_version_1(), "format_version": 2})


# Tables.


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        (("concepts", "scale"), [], "history.concepts: the lists differ in length: .*'scale': 0"),
        (("concepts", "scale"), [-1.0], "scale is -1.0; allowed: a finite number, at least 0"),
        (("concepts", "name"), ["\ud800"], r"history.concepts.name\[0\]: .* half a character"),
        (("states", "concepts"), [[], [1]], "concept 1 is named, and there are 1"),
        (("states", "concepts"), [[], [-1]], "concept -1 is named, and there are 1"),
        (("states", "concepts"), [[], [0, 0]], "two concepts of one name"),
        (("states", "momentum_beta"), [0.4], "history.states: the lists differ in length"),
        (("entries", "state"), [0, 2], "state 2 is named, and there are 2"),
        (("entries", "parent"), [None, 1], "history entry 0 was left for 1, which is no"),
        (("entries", "parent"), [None, True], r"history.entries.parent\[1\]: True is not an int"),
        (("entries", "visited"), [None, 0], "history entry 1 was left for 0, which is no child"),
        (("current",), 7, "the history is at entry 7 of 2"),
        (("branches",), {"a": 9}, "branch 'a' is at entry 9 of 2"),
        (("branch",), "a", "there is no branch 'a'"),
        (("more",), "a", "history: 'more' is unknown"),
    ],
)
def test_damaged_tables_are_refused(keys: tuple[str, ...], value: Any, reason: str) -> None:
    document = plain()
    table = document["history"]
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    with pytest.raises(StrictError, match=reason):
        parse_document(document)
    del table[keys[-1]]
    if keys != ("more",):
        with pytest.raises(StrictError, match=f"'{keys[-1]}' is missing"):
            parse_document(document)


def test_entries_share_states_and_concepts() -> None:
    hat, cap = Concept(name="hat", prompt="hat"), Concept(name="cap", prompt="cap")
    history = History()
    for _ in range(50):
        history = history.commit(EditState(concepts=(hat,)))
        # Equal values are shared too, not only the same objects.
        history = history.commit(EditState(concepts=(Concept(name="hat", prompt="hat"), cap)))
    tables = pack(history)
    assert tables.concepts.name == ("hat", "cap")
    assert tables.states.concepts == ((), (0,), (0, 1))
    assert tables.entries.state == (0, *[1, 2] * 50)
    assert unpack(tables) == history


def test_a_damaged_or_long_document_is_refused(tmp_path: Path) -> None:
    packed = dump_document(DOCUMENT)
    zeros = zlib.compress(b" " * (module.MAX_DOCUMENT_BYTES + 1))
    assert len(zeros) < 40_000
    for content, reason in {
        b"": "its compressed bytes are not complete",
        b"text": "it cannot be decompressed",
        packed[:-1]: "its compressed bytes are not complete, or are too many",
        packed + b"x": "its compressed bytes are not complete, or are too many",
        zeros: "it has more than 33554432 bytes, the most that is read",
        zlib.compress(b"[]"): r"\[\] is not an object",
        zlib.compress(b"{}"): "'concepts' is missing|None is not an object",
        zlib.compress(b"[" * 500_001): "it has 500001 colons and opening brackets",
        zlib.compress(b"," * 4_000_001): "it has 4000001 commas, colons and opening brackets",
    }.items():
        path = write_file(tmp_path / "a.safetensors", packed=content)
        with pytest.raises(SessionFormatError, match=f"document cannot be read: {reason}"):
            read_document(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [("I8", (4,), r"I8 \(4,\)"), ("U8", (2, 2), r"U8 \(2, 2\)"), ("U8", (5,), r"U8 \(5,\)")],
)
def test_the_documents_tensor_holds_bytes(dtype: str, shape: tuple[int, ...], kind: str) -> None:
    file: Any = SimpleNamespace(tensors={"document": TensorInfo(dtype, shape, 0)})
    with pytest.raises(StrictError, match=f"its tensor is {kind}; allowed: U8, up to 4"):
        module._read_bytes(file, "document", 4)  # noqa: SLF001


def test_a_file_ends_in_its_digest(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"a_name"'))
    with pytest.raises(SessionFormatError, match="it does not end in its digest"):
        read_document(path)


def test_a_limit_is_named_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, value, reason in [
        ("MAX_DOCUMENT_BYTES", 100, r"it has \d+ bytes; allowed: 100"),
        ("MAX_DOCUMENT_VALUES", 100, r"it has \d+ commas, colons and opening brackets; .*: 100"),
        ("MAX_CONCEPTS", 0, "a state has more than 0 concepts"),
        ("MAX_CALLS", 1, "num_inference_steps is 2, not 1 to 1"),
        ("MAX_RECORDED_CALLS", 3, "2 renders of 2 calls; allowed: 3 calls in all"),
        ("MAX_TENSORS", 9, "8 tensors; allowed: 7"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            with pytest.raises(SessionFileError, match=f"exceeds a limit .*: {reason}") as caught:
                dump_document(DOCUMENT)
        assert "2 history entries and 2 renders" in str(caught.value)
        assert "damaged" not in str(caught.value)


# Hostile files.


def with_entry(**changes: Any) -> dict[str, Any]:
    """Return a header of one tensor, changed."""
    return {
        "__metadata__": {METADATA_KEY: json.dumps(of_version_2())},
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
        ({"initial_latents": (1,) * 8}, r"initial_latents is F32 \(1, 1, 1, 1, \.\.\.\), "),
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
        {"__metadata__": {METADATA_KEY: json.dumps(of_version_2()), "more": ""}},
        {"__metadata__": VERSION},
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


def test_empty_tensors_have_bounded_sizes(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.safetensors", shapes={**SHAPES, "initial_latents": (0, 2**62)})
    with pytest.raises(SessionFormatError, match=r"\(0, 4611686018427387904\) is not up to 8 s"):
        read_document(path)


@pytest.mark.parametrize("shape", [(), (0, 2**62), (2**62, 0), (1,) * 9, (-1, -1)])
def test_shapes_of_embeddings_that_readers_cannot_multiply(shape: tuple[int, ...]) -> None:
    document = plain(evolve(DOCUMENT, embeddings={DIGEST: shape}))
    with pytest.raises(StrictError, match=f"the embeddings '{DIGEST}' have the shape"):
        parse_document(document)


def test_embeddings_of_eight_dimensions_are_read() -> None:
    document = evolve(DOCUMENT, embeddings={DIGEST: (1,) * 8})
    assert parse_document(plain(document)) == document


def test_digests_of_embeddings_are_digests() -> None:
    for digest in ("../a", "", "0123456789ABCDEF", "x" * 10**6):
        embeddings = {DIGEST: (1, 3, 4), digest: (1, 3, 4)}
        with pytest.raises(StrictError, match="is not a tensor's name") as caught:
            parse_document(plain(evolve(DOCUMENT, embeddings=embeddings)))
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
    with pytest.raises(StrictError, match=rf"'{field}' is missing|a field is left out|None is not"):
        parse_document(document)
