"""The JSON document in a session file, which describes everything but the tensors' numbers.

FORMAT.md describes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from attrs import field, frozen

from ..errors import SessionFormatError
from ..files import (
    StrictError,
    check_version,
    dump,
    parse,
    read_header,
    shorten,
    structure,
    unstructure,
)
from ..models import ModelIdentity
from ..state import BatchPlan, History, Scene
from .versions import FORMAT_VERSION, MIGRATIONS

METADATA_KEY = "sega_session"
"""The document's key in the metadata of the safetensors file."""

INITIAL_LATENTS = "initial_latents"
"""The name of the initial latents among a file's tensors."""

SEM_GUIDANCE = "sem_guidance"
"""The name of recorded guidance that the session was given, among a file's tensors."""


def embedding_name(digest: str) -> str:
    """Return the name of the tensor with the embeddings that have a digest."""
    return f"embedding.{digest}"


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
            embedding_name("[0-9a-f]{16}"),
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
class Document:
    """The description of a session in its file.

    Attributes:
        session: a random name, new for every file written, by which a journal refers to its file.
        scene: the prompt, the seeds and the settings of the session.
        latents_shape: the sizes (seeds, channels, height, width) of the latents.
        calls: the number of model calls of a render.
        batch_plan: how predictions are batched.
        latents_given: the initial latents were given by the user, not made from the seeds.
        guidance_calls: the number of calls for which recorded guidance was given; 0 if none was.
        embeddings: the shapes of the embeddings that define concepts, by digest.
        model: the identity of the model.
        versions: the versions of the packages that wrote the file, for information.
        history: the entries, the current one, and the branches.
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
    model: ModelIdentity
    versions: Mapping[str, str]
    history: History
    conditions: tuple[str, ...] = ()
    recorded: tuple[Recorded, ...] = ()
    start: int | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor in the file, by name."""
        found = {INITIAL_LATENTS: self.latents_shape}
        if self.guidance_calls:
            found[SEM_GUIDANCE] = (self.guidance_calls, *self.latents_shape)
        found |= {embedding_name(digest): shape for digest, shape in self.embeddings.items()}
        for render in self.recorded:
            if render.latents:
                found[latents_name(render.entry)] = (len(render.latents), *self.latents_shape)
            for one in render.predictions:
                name = prediction_name(render.entry, one.condition)
                found[name] = (len(one.calls), *self.latents_shape)
        return found


def dump_document(document: Document) -> str:
    """Return a document as JSON of the current format version."""
    return dump({"format_version": FORMAT_VERSION, **unstructure(document)})


def parse_document(text: str) -> Document:
    """Read a document from its JSON, migrating it if its format version is older.

    Raises:
        SessionFormatError: the text is not a consistent document; the message says where.
    """
    try:
        plain = check_version(parse(text), FORMAT_VERSION, MIGRATIONS)
        document = structure(plain, Document)
        # All fields are always written, so a default filled in here would hide a loss.
        if unstructure(document) != plain:
            raise StrictError("a field is left out")
        for problem in _problems(document):
            raise StrictError(problem)
    except StrictError as error:
        raise SessionFormatError(f"the session's document cannot be read: {error}.") from None
    return document


def read_document(path: Path) -> Document:
    """Read the document of a session file, and check it against the file's tensors.

    The bytes of the tensors are not read.

    Raises:
        SessionFormatError: the file is not a session file, or it is damaged.
        SessionFileError: the file cannot be read.
    """
    header = read_header(path)
    if set(header.metadata) != {METADATA_KEY}:
        raise SessionFormatError(
            f"{path} has the metadata {shorten(sorted(header.metadata))}; allowed: "
            f"{METADATA_KEY!r} alone. Pass a file that sega-session wrote."
        )
    try:
        document = parse_document(header.metadata[METADATA_KEY])
    except SessionFormatError as error:
        raise SessionFormatError(f"{path}: {error}") from None
    shapes = document.shapes()
    for name in sorted(shapes.keys() ^ header.tensors.keys()):
        state = "missing" if name in shapes else "not in the document"
        raise SessionFormatError(f"{path} is damaged: the tensor {shorten(name)} is {state}.")
    for name, info in header.tensors.items():
        if DTYPES.get(info.dtype) != document.model.dtype or info.shape != shapes[name]:
            raise SessionFormatError(
                f"{path} is damaged: the tensor {name} is {info.dtype} {shorten(info.shape)}, and "
                f"the document says {shorten(document.model.dtype)} {shorten(shapes[name])}."
            )
    return document


def _problems(document: Document) -> Iterator[str]:
    """Yield contradictions between values that are valid each on its own."""
    shape, calls, entries = document.latents_shape, document.calls, len(document.history)
    scene = document.scene
    yield from document.history.problems()
    concepts = {concept for entry in document.history for concept in entry.state}
    missing = {one.embedding for one in concepts} - {None, *document.embeddings}
    if missing:
        yield f"the embeddings {shorten(sorted(map(str, missing))[0])} are missing"
    for digest, sizes in document.embeddings.items():
        # Readers multiply the sizes of empty tensors too, in 64 bits.
        if not 1 <= len(sizes) <= MAX_RANK or min(sizes) < 1:
            yield f"the embeddings {shorten(digest)} have the shape {shorten(sizes)}"
    if any(len(entry.state.concepts) > MAX_CONCEPTS for entry in document.history):
        yield f"a state has more than {MAX_CONCEPTS} concepts"
    if len(shape) != 4 or min(shape) < 1 or shape[0] != len(scene.seeds):
        yield f"latents_shape {shorten(shape)} is not that of {len(scene.seeds)} images"
    for name, value in (("num_inference_steps", scene.num_inference_steps), ("calls", calls)):
        if not 1 <= value <= MAX_CALLS:
            yield f"{name} is {shorten(value)}, not 1 to {MAX_CALLS}"
    if document.start is not None and document.start not in range(entries):
        yield f"start is entry {shorten(document.start)}, and there are {entries}"
    yield from _problems_of_recorded(document)
    for name in document.shapes():
        if not TENSOR_NAMES.fullmatch(name):
            yield f"{shorten(name)} is not a tensor's name"


def _problems_of_recorded(document: Document) -> Iterator[str]:
    calls, entries = document.calls, len(document.history)
    if calls * len(document.recorded) > MAX_RECORDED_CALLS:
        yield f"{len(document.recorded)} renders of {calls} calls are more than are read"
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
