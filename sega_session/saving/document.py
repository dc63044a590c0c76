"""The JSON document in a session file, which describes everything but the tensors' numbers.

FORMAT.md describes the file.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from ..errors import SessionFileError, SessionFormatError, shorten
from ..files import (
    MAX_TENSORS,
    StrictError,
    TensorFile,
    check_bounds,
    check_version,
    dump,
    open_tensors,
    parse,
    structure,
    unstructure,
)
from ..models import ModelIdentity
from ..state import BatchPlan, History, Scene
from .tables import HistoryTables, pack, unpack
from .versions import FORMAT_VERSION, MIGRATIONS

METADATA_KEY = "sega_session"
"""The key in the metadata of the safetensors file under which its format version is."""

DOCUMENT = "document"
"""The name of the compressed document among a file's tensors."""

DIGEST = "sha256"
"""The name of the file's digest among its tensors: of all bytes before it, since it comes last."""

DIGEST_BYTES = 32

INITIAL_LATENTS = "initial_latents"
"""The name of the initial latents among a file's tensors."""

SEM_GUIDANCE = "sem_guidance"
"""The name of recorded guidance that the session was given, among a file's tensors."""

PHOTOGRAPH = "photograph.pixels"
PHOTOGRAPH_LATENTS = "photograph.latents"
PHOTOGRAPH_RESIDUALS = "photograph.residuals"
"""The names of a photograph's compressed pixels and of its inversion, among a file's tensors."""

POOLED = ".pooled"
"""What follows a digest where a name means the pooled embeddings."""


def embedding_name(digest: str) -> str:
    """Return the name of the tensor with the embeddings that have a digest.

    Args:
        digest: the digest, followed by `POOLED` for the pooled ones.
    """
    return f"embedding.{digest}"


def mask_name(digest: str) -> str:
    """Return the name of the tensor with the compressed pixels of a mask."""
    return f"mask.{digest}"


def latents_name(entry: int | str) -> str:
    """Return the name of the tensor with the latents of an entry's render."""
    return f"render.{entry}.latents"


def prediction_name(entry: int | str, condition: int | str) -> str:
    """Return the name of the tensor with the predictions of an entry's render.

    Args:
        entry: the number of the history's entry.
        condition: the index into `Document.conditions`.
    """
    return f"render.{entry}.prediction.{condition}"


TENSOR_NAMES = re.compile(
    "|".join(
        (
            INITIAL_LATENTS,
            SEM_GUIDANCE,
            PHOTOGRAPH,
            PHOTOGRAPH_LATENTS,
            PHOTOGRAPH_RESIDUALS,
            embedding_name(f"[0-9a-f]{{16}}({POOLED})?"),
            mask_name("[0-9a-f]{16}"),
            latents_name("[0-9]{1,6}"),
            prediction_name("[0-9]{1,6}", "[0-9]{1,4}"),
        )
    ).replace(".", r"\.")
)
"""The names that tensors in a session file may have."""

MAX_CALLS = 10_000
MAX_CONCEPTS = 256
MAX_RANK = 8
MAX_RECORDED_CALLS = 2**19
"""Limits that bound the time a hostile file takes. 10,000 renders of 50 calls are within them."""

MAX_DOCUMENT_BYTES = 32 * 2**20
MAX_DOCUMENT_VALUES = 4 * 10**6
MAX_DOCUMENT_PARTS = 5 * 10**5
"""Limits of the document, before it is compressed; see `check_bounds`. Histories of 150,000 entries
of five concepts are within them."""

COMPRESSION = 1
"""The level of zlib: higher ones take several times as long, and save a tenth of the size."""

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""The precisions that a session may have, by their names in safetensors files."""


@frozen
class Predictions:
    """The recorded predictions for one condition along a render.

    Attributes:
        condition: the index into `Document.conditions`.
        calls: the model calls, in the order of the tensor's rows.
    """

    condition: int
    calls: tuple[int, ...]


@frozen
class Recorded:
    """The tensors of a render that no render listed before it has.

    Attributes:
        entry: the number of the history's entry that was rendered.
        latents: the model calls before which the latents are recorded, in the order of the rows of
            `latents_name`'s tensor; the number of calls stands for the final latents.
        predictions: the recorded predictions, each in the tensor of `prediction_name`.
    """

    entry: int
    latents: tuple[int, ...]
    predictions: tuple[Predictions, ...]


@frozen(kw_only=True)
class Description:
    """All of a document but the history.

    Attributes:
        session: a random name, new for every file written, by which a journal refers to its file.
        scene: the prompt, the seeds and the settings of the session.
        latents_shape: the sizes (seeds, channels, height, width) of the latents.
        calls: the number of model calls of a render.
        batch_plan: how predictions are batched.
        latents_given: the initial latents were given by the user, not made from the seeds.
        guidance_calls: the number of calls for which recorded guidance was given; 0 if none was.
        embeddings: the shapes of the embeddings that define concepts or take the place of prompts,
            by digest, the pooled ones under the digest and `POOLED`.
        masks: by digest, the bytes of a mask's compressed pixels, and its sizes: 1 or the number of
            images, height and width.
        photograph: the bytes of the photographs' compressed pixels, and their sizes: images,
            height, width and 3; empty if there are none.
        model: the identity of the model.
        versions: the versions of the packages that wrote the file, for information.
        conditions: the conditions that predictions are recorded for: "uncond", "prompt:<text>" or
            "embedding:<digest>".
        recorded: the recorded renders.
        start: the number of the entry from whose exact render the approximate modes start, or None.
    """

    session: str
    scene: Scene
    latents_shape: tuple[int, ...]
    calls: int
    batch_plan: BatchPlan
    latents_given: bool
    guidance_calls: int = 0
    embeddings: Mapping[str, tuple[int, ...]] = field(factory=dict)
    masks: Mapping[str, tuple[int, ...]] = field(factory=dict)
    photograph: tuple[int, ...] = ()
    model: ModelIdentity
    versions: Mapping[str, str]
    conditions: tuple[str, ...] = ()
    recorded: tuple[Recorded, ...] = ()
    start: int | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor in the file, by name."""
        found = {INITIAL_LATENTS: self.latents_shape}
        if self.guidance_calls:
            found[SEM_GUIDANCE] = (self.guidance_calls, *self.latents_shape)
        found |= {embedding_name(digest): shape for digest, shape in self.embeddings.items()}
        found |= {mask_name(digest): sizes[:1] for digest, sizes in self.masks.items()}
        if self.photograph:
            found[PHOTOGRAPH] = self.photograph[:1]
            found[PHOTOGRAPH_LATENTS] = (self.calls + 1, *self.latents_shape)
            found[PHOTOGRAPH_RESIDUALS] = (self.calls, *self.latents_shape)
        for render in self.recorded:
            if render.latents:
                found[latents_name(render.entry)] = (len(render.latents), *self.latents_shape)
            for one in render.predictions:
                name = prediction_name(render.entry, one.condition)
                found[name] = (len(one.calls), *self.latents_shape)
        return found


@frozen(kw_only=True)
class Document(Description):
    """The description of a session in its file.

    Attributes:
        history: the entries, the current one, and the branches.
    """

    history: History


def dump_document(document: Document) -> bytes:
    """Return a document as compressed JSON of the current format version.

    Raises:
        SessionFileError: the document, or what it describes, exceeds a limit of this module, which
            the message names; readers would refuse it.
    """
    described = {one.name: getattr(document, one.name) for one in attrs.fields(Description)}
    text = dump({**described, "history": pack(document.history)})
    raw = text.encode()
    try:
        for problem in _exceeded(document):
            raise StrictError(problem)
        if len(raw) > MAX_DOCUMENT_BYTES:
            raise StrictError(f"it has {len(raw)} bytes; allowed: {MAX_DOCUMENT_BYTES}")
        check_bounds(text, MAX_DOCUMENT_VALUES, MAX_DOCUMENT_PARTS)
    except StrictError as error:
        raise SessionFileError(
            f"the session cannot be written: its document, with {len(document.history)} history "
            f"entries and {len(document.recorded)} renders, exceeds a limit of session files: "
            f'{error}. Pass include="base" if the renders are too many; continue in a new session '
            "if the entries are."
        ) from None
    return zlib.compress(raw, COMPRESSION)


def parse_document(plain: Any) -> Document:
    """Read a document from its parsed JSON, migrating it if its format version is older.

    Raises:
        StrictError: it is not a consistent document; the message says where.
    """
    plain = check_version(plain, FORMAT_VERSION, MIGRATIONS)
    tables = structure(plain.pop("history", None), HistoryTables, ("history",))
    described = structure(plain, Description)
    # All fields are always written, so a default filled in here would hide a loss.
    if unstructure(described) != plain:
        raise StrictError("a field is left out")
    fields = {one.name: getattr(described, one.name) for one in attrs.fields(Description)}
    document = Document(history=unpack(tables), **fields)
    for problem in _problems(document):
        raise StrictError(problem)
    return document


def read_document(path: Path) -> Document:
    """Read the document of a session file, and check it against the file's tensors.

    The bytes of the other tensors are not read.

    Raises:
        SessionFormatError: the file is not a session file, or it is damaged.
        SessionFileError: the file cannot be read.
    """
    with open_tensors(path) as file:
        return document_of(file, path)[0]


def document_of(file: TensorFile, path: Path) -> tuple[Document, bytes]:
    """Return the document of an open session file, and its bytes as they are in the file.

    Older versions have no bytes of their own: their document is in the header.

    Args:
        file: the file.
        path: its path, for messages. Raises: as `read_document` does.
    """
    if set(file.metadata) != {METADATA_KEY}:
        raise SessionFormatError(
            f"{path} has the metadata {shorten(sorted(file.metadata))}; allowed: "
            f"{METADATA_KEY!r} alone. Pass a file that sega-session wrote."
        )
    packed = b""
    try:
        plain = parse(file.metadata[METADATA_KEY])
        has_document = DOCUMENT in file.tensors
        if type(plain) is dict and plain.keys() == {"format_version"} and has_document:
            packed = _read_bytes(file, DOCUMENT, MAX_DOCUMENT_BYTES)
            inner = parse(
                _inflate(packed),
                max_values=MAX_DOCUMENT_VALUES,
                max_parts=MAX_DOCUMENT_PARTS,
            )
            if type(inner) is not dict:
                raise StrictError(f"{shorten(inner)} is not an object")
            plain = {**inner, **plain}
        document = parse_document(plain)
    except StrictError as error:
        raise SessionFormatError(
            f"{path}: the session's document cannot be read: {error}."
        ) from None
    types = {name: (info.dtype, info.shape) for name, info in file.tensors.items()}
    if packed:
        for name in (DOCUMENT, DIGEST):
            types.pop(name, None)
        _check_digest_info(file, path)
    check_tensors(document, types, f"{path} is damaged")
    return document, packed


def check_tensors(
    document: Document, types: Mapping[str, tuple[str, tuple[int, ...]]], wrong: str
) -> None:
    """Raise SessionFormatError unless the types of a file's tensors are what a document says.

    Args:
        document: the file's document.
        types: the format's name of the type, and the shape, of each tensor, by name.
        wrong: how the message begins.
    """
    shapes = document.shapes()
    for name in sorted(shapes.keys() ^ types.keys()):
        state = "missing" if name in shapes else "not in the document"
        raise SessionFormatError(f"{wrong}: the tensor {shorten(name)} is {state}.")
    packed = {PHOTOGRAPH, *map(mask_name, document.masks)}
    for name, (dtype, shape) in types.items():
        right = dtype == "U8" if name in packed else DTYPES.get(dtype) == document.model.dtype
        if not right or shape != shapes[name]:
            raise SessionFormatError(
                f"{wrong}: the tensor {name} is {dtype} {shorten(shape)}, and "
                f"the document says {shorten(document.model.dtype)} {shorten(shapes[name])}."
            )


def _check_digest_info(file: TensorFile, path: Path) -> None:
    """Raise SessionFormatError unless a file ends in its digest."""
    *_, last = file.tensors
    info = file.tensors[last]
    if (last, info.dtype, info.shape) != (DIGEST, "U8", (DIGEST_BYTES,)):
        raise SessionFormatError(f"{path} is damaged: it does not end in its digest.")


def _read_bytes(file: TensorFile, name: str, max_bytes: int) -> bytes:
    info = file.tensors[name]
    if info.dtype != "U8" or len(info.shape) != 1 or info.nbytes > max_bytes:
        kind = f"{info.dtype} {shorten(info.shape)}"
        raise StrictError(f"its tensor is {kind}; allowed: U8, up to {max_bytes}")
    content = bytearray(info.nbytes)
    file.read_into(name, memoryview(content))
    return bytes(content)


def _inflate(packed: bytes) -> bytes:
    """Decompress a document, up to its limit."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(packed, MAX_DOCUMENT_BYTES + 1)
    except zlib.error as error:
        raise StrictError(f"it cannot be decompressed: {error}") from None
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise StrictError(f"it has more than {MAX_DOCUMENT_BYTES} bytes, the most that is read")
    if not inflater.eof or inflater.unused_data:
        raise StrictError("its compressed bytes are not complete, or are too many")
    return raw


def named_embeddings(scene: Scene, history: History) -> set[str]:
    """Return the digests of all embeddings that a scene and the concepts of a history name."""
    concepts = (concept for state in history.states() for concept in state)
    named = {scene.prompt_embedding, scene.negative_embedding, *(one.embedding for one in concepts)}
    return {digest for digest in named if digest is not None}


def named_masks(history: History) -> set[str]:
    """Return the digests of all masks that the states of a history name."""
    return {mask.digest for state in history.states() for mask in state.masks}


def _exceeded(document: Document) -> Iterator[str]:
    """Yield the limits that a document exceeds: those that sessions have not."""
    calls, steps = document.calls, document.scene.num_inference_steps
    if any(len(state.concepts) > MAX_CONCEPTS for state in document.history.states()):
        yield f"a state has more than {MAX_CONCEPTS} concepts"
    for name, value in (("num_inference_steps", steps), ("calls", calls)):
        if not 1 <= value <= MAX_CALLS:
            yield f"{name} is {shorten(value)}, not 1 to {MAX_CALLS}"
    if calls * len(document.recorded) > MAX_RECORDED_CALLS:
        yield (
            f"{len(document.recorded)} renders of {calls} calls; allowed: {MAX_RECORDED_CALLS} "
            "calls in all"
        )
    elif (tensors := len(document.shapes())) > MAX_TENSORS - 2:
        yield f"{tensors} tensors; allowed: {MAX_TENSORS - 2}"


def _problems(document: Document) -> Iterator[str]:
    """Yield contradictions between values that are valid each on its own."""
    shape, entries, scene = document.latents_shape, len(document.history), document.scene
    yield from document.history.problems()
    for digest in named_embeddings(scene, document.history) - document.embeddings.keys():
        yield f"the embeddings {shorten(digest)} are missing"
    for digest in named_masks(document.history) - document.masks.keys():
        yield f"the mask {shorten(digest)} is missing"
    for digest, sizes in document.masks.items():
        shapes = [(images, scene.height, scene.width) for images in (1, len(scene.seeds))]
        if not sizes or sizes[0] < 1 or sizes[1:] not in shapes:
            yield f"the mask {shorten(digest)} has the sizes {shorten(sizes)}"
    expected = (len(scene.seeds), scene.height, scene.width, 3)
    packed, *found = document.photograph or (0,)
    if (scene.photograph is None) != (not document.photograph):
        yield "the photograph is missing, or the scene names none"
    elif document.photograph and (packed < 1 or tuple(found) != expected):
        yield f"the photograph has the sizes {shorten(document.photograph)}"
    yield from _exceeded(document)
    for digest, sizes in document.embeddings.items():
        # Readers multiply the sizes of empty tensors too, in 64 bits.
        if not 1 <= len(sizes) <= MAX_RANK or min(sizes) < 1:
            yield f"the embeddings {shorten(digest)} have the shape {shorten(sizes)}"
    if len(shape) != 4 or min(shape) < 1 or shape[0] != len(scene.seeds):
        yield f"latents_shape {shorten(shape)} is not that of {len(scene.seeds)} images"
    if document.start is not None and document.start not in range(entries):
        yield f"start is entry {shorten(document.start)}, and there are {entries}"
    yield from _problems_of_recorded(document)
    for name in document.shapes():
        if not TENSOR_NAMES.fullmatch(name):
            yield f"{shorten(name)} is not a tensor's name"


def _problems_of_recorded(document: Document) -> Iterator[str]:
    entries = len(document.history)
    recorded = [render.entry for render in document.recorded]
    if len({*recorded}) < len(recorded) or any(one not in range(entries) for one in recorded):
        yield "recorded entries are unknown, or there twice"
    for render in document.recorded:
        yield from _problems_of_render(document, render)


def _problems_of_render(document: Document, render: Recorded) -> Iterator[str]:
    calls = document.calls
    runs = [(render.latents, calls + 1), *((one.calls, calls) for one in render.predictions)]
    for run, end in runs:
        if any(one >= other for one, other in pairwise(run)):
            yield f"calls of entry {render.entry} are not in order"
        elif run and not 0 <= run[0] <= run[-1] < end:
            yield f"calls of entry {render.entry} are not 0 to {end - 1}"
    conditions = [one.condition for one in render.predictions]
    known = range(len(document.conditions))
    if len({*conditions}) < len(conditions) or any(one not in known for one in conditions):
        yield f"conditions of entry {render.entry} are unknown, or there twice"
