"""The command `info`: the contents of session files and images, for people and as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ..errors import printable
from ..files import unstructure
from ..saving import Document, read_document, read_provenance
from ..state import EditState, History, Scene
from .opening import is_image
from .output import about

CONTENTS_VERSION = 1
"""The format version of `contents`. Keys may be added without another; none is renamed."""


def info(
    file: Path, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> None:
    """Print the contents of a session file or an image: scene, concepts, history, sizes.

    Parameters
    ----------
    file
        A file that a session was saved to, or a PNG file that a render was saved to.
    as_json
        Print one JSON object for programs, whose keys stay the same.
    """
    with about(file):
        if as_json:
            # Characters that control a terminal are escaped.
            sys.stdout.write(json.dumps(contents(file), indent=2) + "\n")
        else:
            Console().print(describe(file))


def contents(file: Path) -> dict[str, Any]:
    """Return the contents of a session's file or of an image; no model is needed.

    Returns:
        - ``format_version``: 1; ``kind``: "session" or "image"; ``file``, ``bytes``: path and size;
        - ``scene``: the fields of `Scene`;
        - ``state``: the fields of the current `EditState`, with those of each `Concept`;
        - ``history``: ``current``, the id of an entry; ``branch``, the current one or null;
          ``branches``, the id of the entry that each ends at, by name; ``entries``, each with
          ``id``, ``parent``, ``label`` and ``state``;
        - ``sampler``: the scheduler; ``model``: ``digest``, and of a session ``dtype``;
        - of a session, ``versions`` of the packages that wrote it, and ``recorded``, the numbers of
          ``renders`` and ``evaluations``;
        - of an image, ``image``: its ``index`` of ``count`` in its batch, counted from 0, its
          ``mode``, whether it is ``exact``, and ``given``, the tensors it was made with that it
          does not hold.

    Raises:
        SessionFormatError, SessionFileError: the file cannot be read.
    """
    if is_image(file):
        made, index = read_provenance(file)
        scene, history = made.scene, History().commit(made.state, "from an image")
        own: dict[str, Any] = {
            "sampler": made.sampler,
            "model": {"digest": made.model},
            "image": {
                "index": index,
                "count": len(scene.seeds),
                "mode": made.mode,
                "exact": made.mode == "exact",
                "given": [*made.given],
            },
        }
    else:
        document = read_document(file)
        scene, history = document.scene, document.history
        renders, evaluations = _recorded(document)
        own = {
            "sampler": document.model.sampler,
            "model": {"digest": document.model.digest, "dtype": document.model.dtype},
            "versions": {**document.versions},
            "recorded": {"renders": renders, "evaluations": evaluations},
        }
    return {
        "format_version": CONTENTS_VERSION,
        "kind": "image" if is_image(file) else "session",
        "file": str(file),
        "bytes": file.stat().st_size,
        "scene": unstructure(scene),
        "state": unstructure(history.state),
        "history": {
            "current": history.current,
            "branch": history.branch,
            "branches": {**history.branches},
            "entries": [unstructure(entry) for entry in history],
        },
        **own,
    }


def describe(file: Path) -> Group:
    """Return the contents of a session's file or of an image for printing; no model is needed.

    Raises:
        SessionFormatError, SessionFileError: the file cannot be read.
    """
    if is_image(file):
        made, index = read_provenance(file)
        own = {
            "image": f"{index + 1} of {len(made.scene.seeds)}, {made.mode}",
            "model": made.model[:12],
            "made with": ", ".join(made.given),
        }
        return _describe(file, made.scene, made.sampler, made.state, own)
    document = read_document(file)
    renders, evaluations = _recorded(document)
    own = {
        "model": f"{document.model.digest[:12]}, {document.model.dtype}",
        "written with": ", ".join(f"{name} {one}" for name, one in document.versions.items()),
        "recorded": f"{renders} render{'' if renders == 1 else 's'}, {evaluations} evaluations",
    }
    history = document.history
    found = _describe(file, document.scene, document.model.sampler, history.state, own)
    return Group(found, Text(str(history)))


def _describe(
    file: Path, scene: Scene, sampler: str, state: EditState, own: dict[str, str]
) -> Group:
    """Return a scene, a state, and what else a file holds, for printing."""
    rows = {
        "prompt": scene.prompt,
        "negative prompt": scene.negative_prompt,
        "seeds": ", ".join(map(str, scene.seeds)),
        "size": f"{scene.width} x {scene.height}",
        "steps": f"{scene.num_inference_steps} ({sampler})",
        "guidance scale": f"{scene.guidance_scale:g}",
        "guidance rescale": f"{scene.guidance_rescale:g}" if scene.guidance_rescale else "",
        "clip skip": "" if scene.clip_skip is None else str(scene.clip_skip),
        "photograph": ""
        if scene.photograph is None
        else f"{scene.photograph}, skip {scene.skip:g}",
        "momentum": f"{state.momentum_scale:g}, beta {state.momentum_beta:g}",
        **own,
        "file": f"{file.stat().st_size / 1e6:.2f} MB",
    }
    facts = Table.grid(padding=(0, 2))
    for what, value in rows.items():
        if value:
            facts.add_row(Text(what, style="dim"), Text(printable(value)))
    if not state.concepts:
        return Group(facts)
    concepts = Table("concept", "scale", "threshold", "warm-up", "", title_justify="left")
    for one in state:
        flags = [] if one.opposite is None else [f"against {printable(one.opposite)}"]
        flags += [] if one.mask is None else [f"in {one.mask.share:.0%} of the image"]
        flags += ["inverted"] * one.inverted + ["disabled"] * (not one.enabled)
        concepts.add_row(
            *(Text(printable(one.name)), f"{one.scale:g}", f"{one.threshold:g}", str(one.warmup)),
            Text(", ".join(flags)),
        )
    return Group(facts, concepts)


def _recorded(document: Document) -> tuple[int, int]:
    """Return the numbers of recorded renders and of recorded evaluations."""
    renders = sum(document.calls in one.latents for one in document.recorded)
    predictions = sum(len(run.calls) for one in document.recorded for run in one.predictions)
    return renders, predictions * len(document.scene.seeds)
