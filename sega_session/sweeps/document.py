"""A sweep's file in TOML: read it, with the scripts and masks that it names, within bounds."""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias

from .. import files as strict
from ..errors import ScriptError, SegaSessionError, shorten
from ..scripts import Script, path_inside
from ..state import MASK_PREFIX, read_mask
from .edits import edits_of

MAX_BYTES = MAX_MASK_BYTES = 4 * 2**20
"""The size of the largest file that is read, and of the largest mask."""

MAX_VALUES, MAX_PARTS = 10**6, 250_000
"""The most values in a file, and the most of them that hold others; see `check_bounds`."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{100}}")
"""A key of a hundred parts. tomllib needs memory for the square of their number."""

Place: TypeAlias = tuple[str | int, ...]
"""The keys and indices that lead to a value."""

SCRIPT, OPERATIONS, STEPS = "script", "operations", "num_inference_steps"
EDIT_KEYS = ("name", OPERATIONS, SCRIPT)


def read_document(path: Path) -> dict[str, Any]:
    """Return what a sweep's file describes, as values for `strict_json.structure`.

    An edit's script is replaced by its operations, a mask's file by its content, and a range of
    seeds by a list of them.

    Raises:
        StrictError: the file is not TOML or exceeds a limit, or a file that it names cannot be
            used; has the place.
        SessionFileError: the file cannot be read.
    """
    document = _parse(strict.read_regular(path, MAX_BYTES))
    read = cache(partial(_read_mask, path.parent))
    edits, scene = document.get("edits"), document.get("scene")
    steps = scene.get(STEPS) if isinstance(scene, dict) else None
    if isinstance(edits, list):
        places = (("edits", index) for index in range(len(edits)))
        document["edits"] = [
            _resolved(edit, path.parent, read, steps, place) if isinstance(edit, dict) else edit
            for edit, place in zip(edits, places, strict=True)
        ]
    return document


def _parse(content: bytes) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig")
        strict.check_bounds(text, MAX_VALUES, MAX_PARTS)
        if _LONG_KEY.search(text):
            raise strict.StrictError("a key has a hundred parts or more, joined by dots")
        return tomllib.loads(text)
    except RecursionError:
        problem = "values are nested too deep; allowed: some hundred levels"
        raise strict.StrictError(problem) from None
    except UnicodeDecodeError as error:
        problem = f"the file is not UTF-8: {error.reason}, byte {error.start}"
        raise strict.StrictError(problem) from None
    except strict.StrictError:
        raise
    except ValueError as error:  # TOMLDecodeError, or Python's limit on digits
        raise strict.StrictError(f"the file is not TOML: {error}") from None


def _resolved(
    edit: dict[str, Any], folder: Path, read: Callable[[str], str], steps: Any, place: Place
) -> dict[str, Any]:
    """Return an edit with the operations of its script and the contents of its masks.

    Args:
        edit: the edit, as in the file.
        folder: the folder that it names files in.
        read: returns a mask as text.
        steps: the steps of the sweep's scenes; None: the file does not say.
        place: of the edit in the file.

    Raises:
        StrictError: a key is unknown, or a script or a mask cannot be used.
    """
    for key in edit:
        if key not in EDIT_KEYS:
            problem = f"{shorten(key)} is unknown; allowed: {', '.join(EDIT_KEYS)}"
            raise strict.StrictError(problem, place)
    if SCRIPT in edit and OPERATIONS in edit:
        raise strict.StrictError(f"allowed: {OPERATIONS!r} or {SCRIPT!r}, not both", place)
    resolved = dict(edit)
    script = resolved.pop(SCRIPT, None)
    try:
        if isinstance(script, str):
            found = Script.load(path_inside(folder, script, SCRIPT))
            _check_steps(found, steps)
            resolved[OPERATIONS] = strict.unstructure(edits_of(found), omit_defaults=True)
        elif script is not None:
            raise strict.StrictError(f"{shorten(script)} is not text", (*place, SCRIPT))
        return {key: _with_masks(value, read) for key, value in resolved.items()}
    except SegaSessionError as error:
        raise strict.StrictError(str(error).removesuffix("."), place) from error


def _check_steps(script: Script, steps: Any) -> None:
    """Raise ScriptError if the warm-ups of a script count another number of steps."""
    own = script.scene.num_inference_steps
    if own not in (None, steps):
        given = "the scene of the sweep does not say" if steps is None else f"the sweep has {steps}"
        raise ScriptError(
            f"{SCRIPT} was made for {own} steps, which its warm-ups count, and {given}; allowed: "
            f"the same number. Write {STEPS} = {own} under [scene], or change the script."
        )


def _with_masks(value: Any, read: Callable[[str], str]) -> Any:
    """Return operations, or a part of them, in which masks are text instead of files."""
    if isinstance(value, list):
        return [_with_masks(one, read) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: read(one) if key == "mask" and isinstance(one, str) else _with_masks(one, read)
        for key, one in value.items()
    }


def _read_mask(folder: Path, mask: str) -> str:
    """Return a mask as text, given as that or as the name of a PNG file in a folder.

    Raises:
        SegaSessionError: there is no such file, or it is no mask.
    """
    text = mask
    if not mask.startswith(MASK_PREFIX):
        content = strict.read_regular(path_inside(folder, mask, "mask"), MAX_MASK_BYTES)
        text = MASK_PREFIX + base64.b64encode(content).decode()
    read_mask(text, 1, 1, 1)
    return text
