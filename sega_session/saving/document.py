"""The JSON document in a session file: everything but the tensors. FORMAT.md describes both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from .. import files as strict
from ..errors import SessionFormatError
from ..files import StrictError, parse, read_header, structure
from ..state import History, Scene

FORMAT_VERSION = 1

METADATA_KEY = "sega_session"
"""The document's key in the metadata of the safetensors file."""

TENSOR_NAMES = re.compile(
    r"initial_latents|sem_guidance|embedding\.[0-9a-f]{16}"
    r"|render\.\d{1,6}\.latents|render\.\d{1,6}\.prediction\.\d{1,4}"
)
"""What tensors in a session file may be called."""


@frozen
class Model:
    """What a session's pictures depend on beside its scene.

    Attributes:
        digest: of all components.
        components: a digest of each, by name.
        dtype: the precision of latents and predictions, "float16" for example.
        sampler: the scheduler's class.
    """

    digest: str
    components: Mapping[str, str]
    dtype: str
    sampler: str


@frozen
class Predictions:
    """What was predicted for one branch along a render, and is in the file.

    Attributes:
        branch: its number in `Document.branches`.
        calls: the model calls, in the order of the tensor's rows.
    """

    branch: int
    calls: tuple[int, ...]


@frozen
class Recorded:
    """A render's tensors, as far as no render listed before has them.

    Attributes:
        entry: the history's entry that it draws; the tensors are ``render.<entry>.latents`` and
            ``render.<entry>.prediction.<branch>``.
        latents: the calls before which the latents were; the number of calls for the final ones.
    """

    entry: int
    latents: tuple[int, ...]
    predictions: tuple[Predictions, ...]


@frozen(kw_only=True)
class Document:
    """Everything in a session file but the tensors.

    Attributes:
        session: a number of its own for every file written, so that a journal knows its file.
        latents_shape: seeds, channels, height and width of the latents.
        calls: model calls of a render.
        latents_given: the initial latents were given, not drawn from the seeds.
        guidance_calls: how many calls of recorded guidance the session was given; 0: none.
        embeddings: the shapes of the embeddings that define concepts, by digest.
        branches: what predictions are conditioned on: "uncond", "prompt:" and a text,
            "embedding:" and a digest, "guidance".
        start: the entry whose exact render the approximate modes start from, if there is one.
        versions: of the packages that the file was written with, for information.
    """

    format_version: int = FORMAT_VERSION
    session: str
    scene: Scene
    latents_shape: tuple[int, ...]
    calls: int
    batch_plan: Literal["together", "canonical"]
    latents_given: bool
    guidance_calls: int = 0
    embeddings: Mapping[str, tuple[int, ...]] = field(factory=dict)
    model: Model
    versions: Mapping[str, str]
    history: History
    branches: tuple[str, ...] = ()
    recorded: tuple[Recorded, ...] = ()
    start: int | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors that the document speaks of, and their shapes, by name."""
        found = {"initial_latents": self.latents_shape}
        if self.guidance_calls:
            found["sem_guidance"] = (self.guidance_calls, *self.latents_shape)
        found |= {f"embedding.{digest}": shape for digest, shape in self.embeddings.items()}
        for render in self.recorded:
            if render.latents:
                name = f"render.{render.entry}.latents"
                found[name] = (len(render.latents), *self.latents_shape)
            for one in render.predictions:
                name = f"render.{render.entry}.prediction.{one.branch}"
                found[name] = (len(one.calls), *self.latents_shape)
        return found


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By version: what turns a document of that version into the next one's."""


MAX_CALLS = 10_000
MAX_CONCEPTS = 256
MAX_RECORDED_CALLS = 2**19
"""Limits that keep a hostile file from taking long: 10,000 renders of 50 calls are read."""

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What safetensors calls the precisions that a session may have."""


def read_document(path: Path) -> Document:
    """What a session's file says of itself, without its tensors.

    Raises:
        SessionFormatError: it is no session's file, or it is damaged.
        SessionFileError: it cannot be read.
    """
    header = read_header(path)
    if set(header.metadata) != {METADATA_KEY}:
        raise SessionFormatError(
            f"{path} has the metadata {sorted(header.metadata)[:3]}; allowed: {METADATA_KEY!r} "
            "alone. Is this a file that sega-session wrote?"
        )
    try:
        document = parsed(header.metadata[METADATA_KEY])
    except SessionFormatError as error:
        raise SessionFormatError(f"{path}: {error}") from None
    shapes = document.shapes()
    for name in sorted(shapes.keys() ^ header.tensors.keys()):
        where = "missing" if name in shapes else "unknown to the document"
        raise SessionFormatError(f"{path} is damaged: the tensor {name} is {where}.")
    for name, info in header.tensors.items():
        if DTYPES.get(info.dtype) != document.model.dtype or info.shape != shapes[name]:
            raise SessionFormatError(
                f"{path} is damaged: the tensor {name} is {info.dtype} {info.shape}, and the "
                f"document says {document.model.dtype} {shapes[name]}."
            )
    return document


def parsed(text: str) -> Document:
    """A document from its JSON, brought to this version if it is older.

    Raises:
        SessionFormatError: anything about it is wrong; the message says where.
    """
    try:
        plain = parse(text)
        version = plain.get("format_version") if isinstance(plain, dict) else None
        if type(version) is not int or version < 1:
            raise SessionFormatError(
                f"format_version is {version!r:.40}; allowed: 1 to {FORMAT_VERSION}. Is this "
                "a file that sega-session wrote?"
            )
        if version > FORMAT_VERSION:
            raise SessionFormatError(
                f"format_version is {version}; this release reads up to {FORMAT_VERSION}. Read it "
                "with a newer sega-session: pip install --upgrade sega-session."
            )
        while version < FORMAT_VERSION:
            plain = MIGRATIONS[version](plain)
            version += 1
        document = structure(plain, Document)
        # Files are written whole: a default that is filled in would hide a loss.
        if strict.unstructure(document) != plain:
            raise StrictError("something that every document says is left out")
    except StrictError as error:
        raise SessionFormatError(f"the session's document is damaged: {error}.") from None
    for problem in _problems(document):
        raise SessionFormatError(f"the session's document is damaged: {problem}.")
    return document


def _problems(document: Document) -> list[str]:
    """What is wrong between values that are right each by itself."""
    shape, calls, entries = document.latents_shape, document.calls, len(document.history)
    scene = document.scene
    found = document.history.problems()
    concepts = {concept for entry in document.history for concept in entry.state}
    missing = {one.embedding for one in concepts} - {None, *document.embeddings}
    if missing:
        found.append(f"the embeddings {sorted(map(str, missing))[0]} are missing")
    if any(len(entry.state.concepts) > MAX_CONCEPTS for entry in document.history):
        found.append(f"a state has more than {MAX_CONCEPTS} concepts")
    if len(shape) != 4 or min(shape) < 1 or shape[0] != len(scene.seeds):
        found.append(f"latents_shape {shape} is not that of {len(scene.seeds)} images")
    for what, value in (("num_inference_steps", scene.num_inference_steps), ("calls", calls)):
        if not 1 <= value <= MAX_CALLS:
            found.append(f"{what} is {value}, not 1 to {MAX_CALLS}")
    if calls * len(document.recorded) > MAX_RECORDED_CALLS:
        found.append(f"{len(document.recorded)} renders of {calls} calls are more than are read")
    if document.start is not None and document.start not in range(entries):
        found.append(f"start is entry {document.start}, and there are {entries}")
    recorded = [render.entry for render in document.recorded]
    if len({*recorded}) < len(recorded) or any(one not in range(entries) for one in recorded):
        found.append("recorded entries are unknown, or there twice")
    return found + [problem for one in document.recorded for problem in _gaps(document, one)]


def _gaps(document: Document, render: Recorded) -> list[str]:
    """What is wrong with a recorded render."""
    found = []
    calls = document.calls
    runs = [(render.latents, calls + 1), *((one.calls, calls) for one in render.predictions)]
    for run, end in runs:
        if any(one >= other for one, other in pairwise(run)):
            found.append(f"calls of entry {render.entry} are not in order")
        elif run and not 0 <= run[0] <= run[-1] < end:
            found.append(f"calls of entry {render.entry} are not 0 to {end - 1}")
    branches = [one.branch for one in render.predictions]
    known = range(len(document.branches))
    if len({*branches}) < len(branches) or any(one not in known for one in branches):
        found.append(f"branches of entry {render.entry} are unknown, or there twice")
    return found
