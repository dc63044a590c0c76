"""What a checkpoint recommends: a prompt, and settings of concepts, beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from .. import files as strict
from ..errors import CheckpointError
from ..files import StrictError

FILE = "recommended.json"

FORMAT_VERSION = 1


@frozen(kw_only=True)
class Preset:
    """Settings that suit a concept, with the meanings of `Concept`.

    Attributes:
        scale: strength.
        threshold: share of latent entries left alone.
        warmup: share of a render's model calls, 0 <= warmup < 1, after which it starts.
    """

    scale: float
    threshold: float
    warmup: float

    def arguments(self, calls: int) -> dict[str, Any]:
        """What `EditSession.add` takes beside the prompt, for renders of so many model calls."""
        return {
            "scale": self.scale,
            "threshold": self.threshold,
            "warmup": round(self.warmup * calls),
        }


@frozen(kw_only=True)
class Recommended:
    """Where to begin with a checkpoint.

    Attributes:
        prompt, seed, guidance_scale: of a picture that shows it well.
        concepts: settings by the concept's prompt.
        removals: settings by the concept's prompt, for steering away from it (``inverted=True``).
    """

    prompt: str
    seed: int
    guidance_scale: float
    concepts: Mapping[str, Preset]
    removals: Mapping[str, Preset]


def recommended(pipeline: Any) -> Recommended | None:
    """What the checkpoint of a pipeline recommends.

    Args:
        pipeline: one that was loaded from a directory.

    Returns:
        None where there is no such file, or the pipeline was not loaded from a directory.

    Raises:
        CheckpointError: the file is damaged.
    """
    folder = getattr(getattr(pipeline, "config", None), "_name_or_path", None)
    path = Path(folder or "") / FILE
    if not folder or not path.is_file():
        return None
    return read(path)


def read(path: Path) -> Recommended:
    """What a file recommends. Raises CheckpointError."""
    try:
        fields = strict.check_version(strict.parse(path.read_bytes()), FORMAT_VERSION)
        return strict.structure(fields, Recommended)
    except (OSError, StrictError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Restore the checkpoint, or remove this file: then "
            "nothing is recommended."
        ) from None
