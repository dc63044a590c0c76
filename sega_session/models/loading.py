"""Loading checkpoints: the embedded one, and any other in diffusers' layout or in one file."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import diffusers
import torch
import transformers
from transformers import PreTrainedModel

from ..errors import CheckpointError, InvalidValueError, suggest
from ..state.fields import check_path
from .checkpoint_files import (
    FAILURES,
    INDEX,
    PICKLES,
    SUFFIX,
    check_none_missing,
    load_file,
    missing_tensor,
    reason_of,
)
from .hub import class_on_hub, hub_answers
from .quiet import DiffusionPipeline, without_bars, without_notices

Precision: TypeAlias = Callable[[str], torch.dtype]
"""Returns the precision to load a pipeline in, given the name of its class."""

WITH_UNETS = (
    "StableDiffusionPipeline",
    "SemanticStableDiffusionPipeline",
    "LatentConsistencyModelPipeline",
    "StableDiffusionXLPipeline",
)
"""Pipelines that are usually run in float16. Transformers overflow in it."""

AVATARS = Path(__file__).resolve().parents[1] / "avatars" / "checkpoint"
"""The directory of the embedded checkpoint."""

PORTRAIT = AVATARS.parent / "portrait.jpg"
"""A portrait to begin a session from, drawn and not rendered by the embedded checkpoint."""


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
    revision: str | None = None,
    token: str | None = None,
    config: str | Path | None = None,
) -> Any:
    """Load a checkpoint from a directory, from one file, or from the Hugging Face hub.

    Nothing is printed, except bars of downloads. A pipeline from one file has no safety checker.

    Args:
        name_or_path: a directory in diffusers' layout, with ``model_index.json``; a
            ``.safetensors`` file in the layout of the model's authors, as most are shared (Stable
            Diffusion 1 to 3.5, SDXL, FLUX); or a hub id ("owner/name").
        device: where the models go; None: "cuda" if there is one, else "cpu".
        dtype: the models' precision, or its name, "float16" for example; None: on CUDA float16 for
            U-Nets (Stable Diffusion 1, 2 and XL) and bfloat16 for transformers, else float32.
        variant: the files to read where a checkpoint has several, "fp16" for example; None: those
            without a variant in their names.
        revision: the branch, tag or commit of a checkpoint on the hub; None: its main branch.
        token: the hub's token for what is not public; None: the one that this machine is logged in
            with, if any.
        config: for a file, a directory in diffusers' layout with the configs of such a checkpoint,
            and the weights of those parts that the file lacks, as FLUX's lack text encoders; None:
            the published configs of its kind, from the hub.

    Returns:
        The pipeline that the checkpoint declares.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        InvalidValueError: this machine has no such device, torch no such precision, or an argument
            is not for this kind of checkpoint.
    """
    device = _device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    precision = partial(_precision, device, None if dtype is None else _dtype(dtype))
    path = _path(name_or_path)
    _check_arguments(path, variant, revision, token, config)
    if path is not None and path.is_file():
        folder = None if config is None else check_path("config", config).expanduser()
        return load_file(path, precision, folder, token).to(device)
    if path is None:
        return _load_from_hub(str(name_or_path), precision, variant, revision, token).to(device)
    return _load_directory(path, precision, variant).to(device)


def load_quietly(
    model: str | None = None, device: str | None = None, dtype: str | None = None
) -> Any:
    """Load a pipeline without the progress bars and advice of transformers and diffusers.

    The libraries stay silent afterwards, in the whole process.

    Args:
        model: a directory, a file or a hub id, as for `load_pipeline`; None: the embedded
            checkpoint.
        device: where the models go, for example "cuda:1"; None: "cuda" if there is one, else "cpu".
        dtype: the name of the models' precision in torch, for example "float16"; None: that of
            `load_pipeline`.

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


def _precision(device: torch.device, given: torch.dtype | None, pipeline: str) -> torch.dtype:
    """Return the given precision, or that in which a class of pipelines is usually run."""
    if given is not None:
        return given
    if device.type != "cuda":
        return torch.float32
    return torch.float16 if pipeline in WITH_UNETS else torch.bfloat16


def _load_directory(path: Path, precision: Precision, variant: str | None) -> Any:
    if not (path / INDEX).is_file():
        files = sorted(one.name for one in path.glob(f"*{SUFFIX}"))
        hint = f"Give its file {files[0]!r}." if files else "Check the path."
        if (path.absolute().parent / INDEX).is_file():
            hint = f"Give the folder above, {str(path.absolute().parent)!r}."
        raise CheckpointError(
            f"checkpoint {str(path)!r} is a directory without {INDEX}; allowed: one in diffusers' "
            f"layout, or a {SUFFIX} file. {hint}"
        )
    try:
        with without_notices(), without_bars():
            index = DiffusionPipeline.load_config(str(path), local_files_only=True)
            pipeline = DiffusionPipeline.from_pretrained(
                str(path),
                dtype=precision(index.get("_class_name", "")),
                variant=variant,
                local_files_only=True,
            )
            _check_is_whole(pipeline, variant)
            return pipeline
    except FAILURES as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r} cannot be loaded: {reason_of(error)}. Give a directory with "
            f"{INDEX} and all the files it names, undamaged."
        ) from error


def _load_from_hub(
    name: str, precision: Precision, variant: str | None, revision: str | None, token: str | None
) -> Any:
    answers = True
    try:
        answers = hub_answers(name, revision, token)
        access: dict[str, Any] = {
            "revision": revision,
            "token": token,
            "local_files_only": not answers,
        }
        with without_notices(), without_bars():
            pipeline = DiffusionPipeline.from_pretrained(
                name, dtype=precision(class_on_hub(name, INDEX, access)), variant=variant, **access
            )
            _check_is_whole(pipeline, variant)
            return pipeline
    except FAILURES as error:
        reason = reason_of(error, revision)
        if not answers and isinstance(error, OSError):
            reason = "the hub does not answer, and not all of it was downloaded before"
        raise CheckpointError(
            f"checkpoint {name!r} cannot be loaded: {reason}. Give a directory with {INDEX} and "
            f"all the files it names, a {SUFFIX} file, or a hub id such as "
            '"stable-diffusion-v1-5/stable-diffusion-v1-5" that this machine can reach.'
        ) from error


def _check_is_whole(pipeline: Any, variant: str | None) -> None:
    """Raise ValueError if the files of a pipeline lack a tensor."""
    if (missing := missing_tensor(pipeline)) is not None:
        raise ValueError(missing)
    for name, part in pipeline.components.items():
        # Quantized models cannot be read without their values.
        if not isinstance(part, PreTrainedModel) or hasattr(part.config, "quantization_config"):
            continue
        of_variant = variant is not None and any(Path(part.name_or_path).glob(f"*.{variant}.*"))
        _, found = type(part).from_pretrained(
            part.name_or_path,
            variant=variant if of_variant else None,
            device_map="meta",
            output_loading_info=True,
            local_files_only=True,
        )
        check_none_missing(name, found)


def _check_arguments(
    path: Path | None,
    variant: str | None,
    revision: str | None,
    token: str | None,
    config: str | Path | None,
) -> None:
    """Raise InvalidValueError if an argument is not for this kind of checkpoint."""
    is_file = path is not None and path.is_file()
    if path is not None and revision is not None:
        hint = "Leave it out, or give a hub id."
        raise InvalidValueError("revision", "not None", "None for what is on this machine", hint)
    if variant is not None and is_file:
        raise InvalidValueError("variant", variant, "None for one file", "Leave it out.")
    if config is not None and not is_file:
        raise InvalidValueError(
            "config", str(config), f"None, except for a {SUFFIX} file", "Leave it out."
        )
    # An error about the header that has the token would show it.
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise InvalidValueError(
            "token", "a text", "letters, digits and underscores", "Copy the whole token, alone."
        )


def _path(name_or_path: str | Path) -> Path | None:
    """Return the directory or file that is meant; None: it can only be a hub id.

    Raises:
        CheckpointError: there is no such directory or file.
    """
    path = check_path("name_or_path", name_or_path).expanduser()
    if path.is_dir() or path.is_file():
        return path
    # A hub id is a name, or an owner and a name.
    looks_like_a_path = (
        isinstance(name_or_path, Path)
        or path.exists()
        or len(path.parts) > 2
        or path.parts[:1] in (("/",), ("..",))
        or name_or_path.startswith((".", "~"))
        or path.suffix in (SUFFIX, *PICKLES)
        or (len(path.parts) == 2 and path.parent.is_dir())
    )
    if not looks_like_a_path:
        return None
    parent = path.absolute().parent
    names = [one.name for one in parent.iterdir()] if parent.is_dir() else []
    raise CheckpointError(
        f"checkpoint {str(name_or_path)!r}: no such file or folder; allowed: a directory with "
        f"{INDEX}, or a {SUFFIX} file. {suggest(path.name, names) or 'Check the path.'}"
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
