"""Loading checkpoints: the embedded one, and any other in diffusers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from ..errors import CheckpointError, InvalidValueError, suggest
from ..state.fields import check_path
from .quiet import DiffusionPipeline, without_bars

AVATARS = Path(__file__).resolve().parents[1] / "avatars" / "checkpoint"
"""The directory of the embedded checkpoint."""


def load_avatars(
    *, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> Any:
    """Load the embedded checkpoint as a `diffusers.StableDiffusionPipeline`.

    It renders cartoon portraits of 128x128 pixels ("a portrait of a person with curly hair"), and
    loads in a second. Arguments and errors are those of `load_pipeline`.
    """
    return load_pipeline(AVATARS, device=device, dtype=dtype)


def load_pipeline(
    name_or_path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    variant: str | None = None,
) -> Any:
    """Load a checkpoint in diffusers' layout from a directory or the Hugging Face hub.

    Nothing is printed, except bars of downloads.

    Args:
        name_or_path: a directory that holds ``model_index.json``, or a hub id ("owner/name").
        device: where the models go; None: "cuda" if there is one, else "cpu".
        dtype: the models' precision, or its name, "float16" for example; None: float16 on CUDA,
            else float32.
        variant: the files to read where a checkpoint has several, "fp16" for example; None: those
            without a variant in their names.

    Returns:
        The pipeline that the checkpoint declares.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        InvalidValueError: this machine has no such device, or torch no such precision.
    """
    device = _device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        dtype = "float16" if device.type == "cuda" else "float32"
    precision = _dtype(dtype)
    path = _path(name_or_path)
    source = str(name_or_path if path is None else path)
    try:
        with without_bars():
            pipeline = DiffusionPipeline.from_pretrained(source, dtype=precision, variant=variant)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(". ")
        hub = (
            ', or a hub id such as "stable-diffusion-v1-5/stable-diffusion-v1-5" that this machine '
            "can reach"
            if path is None
            else ""
        )
        raise CheckpointError(
            f"checkpoint {source!r} cannot be loaded: {reason}. Give a directory with "
            f"model_index.json and all the files it names, undamaged{hub}."
        ) from error
    return pipeline.to(device)


def load_quietly(
    model: str | None = None, device: str | None = None, dtype: str | None = None
) -> Any:
    """Load a pipeline without the progress bars and advice of transformers and diffusers.

    The libraries stay silent afterwards, in the whole process.

    Args:
        model: a directory or a hub id, as for `load_pipeline`; None: the embedded checkpoint.
        device: where the models go, for example "cuda:1"; None: "cuda" if there is one, else "cpu".
        dtype: the name of the models' precision in torch, for example "float16"; None: float16 on
            CUDA, else float32.

    Returns:
        The pipeline that the checkpoint declares, with its progress bar turned off.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        InvalidValueError: this machine has no such device, or torch no such precision.
    """
    for library in (transformers, diffusers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    pipeline = load_pipeline(model or AVATARS, device=device, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _path(name_or_path: str | Path) -> Path | None:
    """Return the directory that is meant; None: it can only be a hub id.

    Raises:
        CheckpointError: there is no such directory.
    """
    path = check_path("name_or_path", name_or_path).expanduser()
    if path.is_dir():
        return path
    # A hub id is a name, or an owner and a name.
    looks_like_a_path = (
        isinstance(name_or_path, Path)
        or path.exists()
        or len(path.parts) > 2
        or path.parts[:1] in (("/",), ("..",))
        or name_or_path.startswith((".", "~"))
        or (len(path.parts) == 2 and path.parent.is_dir())
    )
    if not looks_like_a_path:
        return None
    parent = path.absolute().parent
    names = [one.name for one in parent.iterdir() if one.is_dir()] if parent.is_dir() else []
    problem = "is not a directory" if path.exists() else "does not exist"
    raise CheckpointError(
        f"checkpoint {str(name_or_path)!r} {problem}; allowed: a directory with model_index.json. "
        f"{suggest(path.name, names) or 'Check the path.'}"
    )


def _dtype(given: str | torch.dtype) -> torch.dtype:
    """Return a floating-point precision, given itself or its name."""
    found = getattr(torch, given, None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise InvalidValueError("dtype", given, 'a floating-point type of torch, or "float16"')
    return found


def _device(name: str | torch.device) -> torch.device:
    """Return a device, once a tensor could be created there."""
    try:
        return torch.empty(0, device=name).device
    # Without CUDA support torch.cuda asserts; other refusals are RuntimeErrors.
    except (RuntimeError, AssertionError) as error:
        cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
        found = ["cpu", *(f"cuda:{index}" for index in range(cuda))]
        raise InvalidValueError(
            "device",
            str(name),
            f"one that this machine has: {', '.join(found)}",
            "" if cuda else f"torch {torch.__version__} finds no CUDA device here.",
        ) from error
