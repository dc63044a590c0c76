"""The settings that a checkpoint recommends in a file beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import evolve, field, frozen

from .. import files as strict
from ..errors import CheckpointError, UnknownPresetError, suggest

PRESETS_FILE = "recommended.json"
"""The name of the file in a checkpoint's directory."""

PRESETS_VERSION = 2
"""The format version of that file. Version 1 is read too: it had no opposites."""

_MIGRATIONS: Mapping[int, strict.Migration] = MappingProxyType({1: dict})
"""Files of version 1 mean the same in version 2, so their fields are taken as they are."""


@frozen(kw_only=True)
class Preset:
    """Recommended settings of a concept, with the meanings of `Concept`.

    Attributes:
        scale: the strength, >= 0.
        threshold: the share of latent entries left alone, 0 <= threshold < 1.
        warmup: the first model call as a share of a render's model calls, 0 <= warmup < 1.
        inverted: steers away from the concept, to remove it from an image that shows it.
        opposite: the words that the concept is measured against; None: the unconditional
            prediction.
    """

    scale: float
    threshold: float
    warmup: float
    inverted: bool = False
    opposite: str | None = None

    def arguments(self, calls: int) -> dict[str, Any]:
        """Return the arguments of `EditSession.add` besides the prompt.

        Args:
            calls: the model calls of a render, which ``warmup`` is a share of.
        """
        return {
            "scale": self.scale,
            "threshold": self.threshold,
            "warmup": round(self.warmup * calls),
            "inverted": self.inverted,
            "opposite": self.opposite,
        }


class Presets(dict[str, Preset]):
    """Presets by the concept's prompt; a missing one raises UnknownPresetError."""

    def __missing__(self, prompt: str) -> Preset:
        raise UnknownPresetError(prompt, self, suggest(prompt, self))


@frozen(kw_only=True)
class Recommended:
    """The recommended scene of a checkpoint, and settings of concepts.

    Attributes:
        prompt, seed, guidance_scale: the scene of an image that shows the checkpoint well; a scale
            of None is the pipeline's default.
        concepts: settings by the concept's prompt.
        removals: settings by the concept's prompt, which remove something from an image that
            shows it: "no glasses" with the opposite "glasses". A removal without an opposite is
            inverted, and its prompt is what it removes.
        opposites: settings by the concept's prompt, which replace the opposite in an image that
            shows it: "smile" with the opposite "sad".
    """

    prompt: str
    seed: int
    guidance_scale: float | None
    concepts: Mapping[str, Preset] = field(converter=Presets)
    removals: Mapping[str, Preset] = field(converter=Presets)
    opposites: Mapping[str, Preset] = field(factory=dict, converter=Presets)


PUBLISHED = Recommended(
    prompt="a photo of the face of a woman",
    seed=21,
    guidance_scale=None,
    concepts={
        "glasses": Preset(scale=5, threshold=0.975, warmup=0.2),
        "beard": Preset(scale=5.4, threshold=0.96, warmup=0.2),
        "smile": Preset(scale=4, threshold=0.99, warmup=0.2),
    },
    removals={},
)
"""The scales and thresholds of the example in diffusers' documentation, for any checkpoint."""

PHOTO_PRESETS: Mapping[str, Preset] = Presets(
    {
        "face": Preset(scale=5, threshold=0.95, warmup=0.18),
        "object": Preset(scale=12, threshold=0.9, warmup=0.24),
        "style": Preset(scale=7, threshold=0.5, warmup=0.18),
    }
)
"""Settings for photographs by the kind of edit, for `EditSession.from_photo` with its defaults.

They are those of the demonstration of LEDITS++ (Brack et al., CVPR 2024, arXiv 2311.16711), which
counts warm-ups from the first call that is not skipped; here they are shares of all calls.
"""


def recommended_or_published(pipeline: Any) -> Recommended:
    """Return the recommendation of a pipeline's checkpoint, or else `PUBLISHED`.

    `PUBLISHED` is also returned if the recommendation lacks one of its concepts.

    Raises:
        CheckpointError: the checkpoint's file is damaged.
    """
    found = recommended(pipeline)
    if found is None or not PUBLISHED.concepts.keys() <= found.concepts.keys():
        return PUBLISHED
    return found


def recommended(pipeline: Any) -> Recommended | None:
    """Return the recommendation of a pipeline's checkpoint.

    Args:
        pipeline: a pipeline.

    Returns:
        None if the pipeline was not loaded from a directory, or the directory has no such file.

    Raises:
        CheckpointError: the file is damaged.
    """
    folder = getattr(getattr(pipeline, "config", None), "_name_or_path", None)
    path = Path(folder or "") / PRESETS_FILE
    if not folder or not path.is_file():
        return None
    return read_presets(path)


def read_presets(path: Path) -> Recommended:
    """Read a recommendation from its file. Raises CheckpointError."""
    try:
        document = strict.parse(path.read_bytes())
        fields = strict.check_version(document, PRESETS_VERSION, _MIGRATIONS)
        found = strict.structure(fields, Recommended)
        removals = {
            prompt: one if one.opposite is not None else evolve(one, inverted=True)
            for prompt, one in found.removals.items()
        }
        for prompt, one in found.opposites.items():
            if one.opposite is None:
                raise strict.StrictError("'opposite' is missing", ("opposites", prompt))
        return evolve(found, removals=removals)
    except (OSError, strict.StrictError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Restore the checkpoint, or remove this file: then "
            "nothing is recommended."
        ) from None
