"""Checkpoints in one file, in the layout of their first authors: told apart, and loaded."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_DEFAULT_PIPELINE_PATHS,
    SingleFileComponentError,
    infer_diffusers_model_type,
)
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from .hub import hub_answers
from .quiet import DiffusionPipeline, without_bars, without_notices

INDEX = "model_index.json"
"""The file that names the parts of a checkpoint in diffusers' layout."""

SUFFIX = ".safetensors"
"""The end of the names of files that can be loaded."""

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
"""The ends of the names of files that torch pickled."""

PIPELINES = {
    "v1": "StableDiffusionPipeline",
    "v2": "StableDiffusionPipeline",
    "xl_base": "StableDiffusionXLPipeline",
    "playground-v2-5": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "sd35_medium": "StableDiffusion3Pipeline",
    "sd35_large": "StableDiffusion3Pipeline",
    "flux-dev": "FluxPipeline",
    "flux-schnell": "FluxPipeline",
}
"""The class of the pipeline of each kind of text-to-image checkpoint, as diffusers names kinds."""

UNET = "model.diffusion_model.input_blocks.0.0.weight"
"""A tensor of every U-Net; diffusers takes a file of unknown tensors for Stable Diffusion 1."""

LORA = ("lora_", "hada_w", "lokr_w", ".lora.", "dora_scale")
"""Parts of the names of tensors that only a LoRA, or its kin, has."""

INVERSION = ("emb_params", "clip_l", "clip_g")
"""The names of the tensors of a textual inversion; others are named after its word, "<cat>"."""

PREFIXES = {
    "AutoencoderKL": ("first_stage_model.", "vae."),
    "CLIPTextModel": ("cond_stage_model.", "conditioner.", "text_encoders.clip"),
    "CLIPTextModelWithProjection": ("conditioner.", "text_encoders.clip"),
    "T5EncoderModel": ("text_encoders.t5xxl.",),
}
"""The beginnings of the names of a part's tensors in a file, by the class of the part."""

CONFIGS = ["*.json", "*.txt", "*.model"]
"""The files of a published checkpoint that are not weights."""

FAILURES = (
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RuntimeError,
    SafetensorError,
    SingleFileComponentError,
)
"""The errors of diffusers and transformers, which check few of the tensors that they need."""

MISFIT = "You set `ignore_mismatched_sizes`"
"""The beginning of transformers' error about shapes, which points to a log for the rest."""


def load_file(
    path: Path, precision: Callable[[str], torch.dtype], config: Path | None, token: str | None
) -> Any:
    """Load a pipeline from one file, without a safety checker.

    Args:
        path: a ``.safetensors`` file.
        precision: returns the models' precision, given the name of the pipeline's class.
        config: a directory in diffusers' layout with the configs of such a checkpoint, and the
            weights of those parts that the file lacks; None: the configs that were published for
            its kind, from the hub.
        token: the hub's token, for kinds whose configs are not public.

    Raises:
        CheckpointError: the file is no checkpoint, is damaged or lacks parts, or no configs of its
            kind are there.
    """
    shapes = _read_shapes(path)
    _check_is_checkpoint(path, shapes)
    if config is None:
        kind = _kind(path, shapes)
        name, folder = PIPELINES[kind], _published_config(path, kind, token)
    else:
        name, folder = _class_name(config), config
    dtype = precision(name)
    try:
        with without_notices(), without_bars():
            parts = _missing_parts(folder, shapes, dtype)
            pipeline = getattr(diffusers, name).from_single_file(
                str(path), config=str(folder), dtype=dtype, local_files_only=True, **parts
            )
    except NotImplementedError as error:  # Weights without values cannot be moved.
        raise _cannot_load(path, f"it lacks tensors of a {name}") from error
    except FAILURES as error:
        reason = f"its tensors do not fit a {name}: {reason_of(error)}"
        raise _cannot_load(path, reason) from error
    if (missing := missing_tensor(pipeline)) is not None:
        raise _cannot_load(path, missing)
    return pipeline


def missing_tensor(pipeline: Any) -> str | None:
    """Return which tensor of a pipeline was given no values, if there is one."""
    for part, network in pipeline.components.items():
        tensors = network.named_parameters() if isinstance(network, torch.nn.Module) else ()
        for tensor, value in tensors:
            if value.is_meta:
                return _lacks(part, tensor)
    return None


def check_none_missing(part: str, found: Mapping[str, Any]) -> None:
    """Raise ValueError if transformers' or diffusers' report on a part has missing tensors.

    transformers gives them random values, and only logs it.
    """
    if found["missing_keys"]:
        raise ValueError(_lacks(part, min(found["missing_keys"])))


def _lacks(part: str, tensor: str) -> str:
    return f"it lacks the {part}'s {tensor}"


def reason_of(error: Exception, hidden: str | None = None) -> str:
    """Return a library's error in one short line.

    Args:
        error: the error.
        hidden: a word that is not to be shown; None: there is none.
    """
    if str(error).startswith(MISFIT):
        return "a tensor has another shape than the config of its model says"
    sentence = re.split(r"\n|\. If you want to", str(error), maxsplit=1)[0]
    reason = textwrap.shorten(sentence, 200, placeholder=" ...").rstrip(". ")
    return re.sub(rf"(?<!\w){re.escape(hidden)}(?!\w)", "...", reason) if hidden else reason


def _cannot_load(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {str(path)!r} cannot be loaded: {reason}. Give a whole checkpoint, or pass "
        "config=, the folder of a whole one of its kind in diffusers' layout: parts that the file "
        "lacks are taken from there."
    )


def _read_shapes(path: Path) -> dict[str, Tensor]:
    """Return a tensor without values for each tensor of a file, by name."""
    what = f"checkpoint {str(path)!r}"
    if path.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{what} is a pickle, which can run any program when it is read; allowed: {SUFFIX} "
            f"files. Download the {SUFFIX} file instead, or convert it to safetensors."
        )
    # Of any other name diffusers would read a pickle.
    if path.suffix != SUFFIX:
        raise CheckpointError(
            f"{what} is a file of another kind; allowed: a {SUFFIX} file, or a directory with "
            f"{INDEX}. Download or convert it in one of these forms."
        )
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {
                name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names
            }
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{what} is damaged, or only a part of a file: {reason_of(error)}. Download it again."
        ) from error


def _check_is_checkpoint(path: Path, shapes: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError if a file is known to be something else."""
    whole = "allowed: a whole checkpoint"
    if any(part in name for name in shapes for part in LORA):
        raise CheckpointError(
            f"checkpoint {str(path)!r} is a LoRA, which changes a checkpoint; {whole}. Load the "
            "checkpoint that it is for, and then it with pipeline.load_lora_weights()."
        )
    if any(name in INVERSION or name.startswith("<") for name in shapes):
        raise CheckpointError(
            f"checkpoint {str(path)!r} is a textual inversion; {whole}. Load the checkpoint that "
            "it is for, and then it with pipeline.load_textual_inversion()."
        )
    above = path.absolute().parent.parent
    if (above / INDEX).is_file():
        raise CheckpointError(
            f"checkpoint {str(path)!r} is one part of a checkpoint in diffusers' layout; {whole}. "
            f"Give its folder, {str(above)!r}."
        )


def _kind(path: Path, shapes: Mapping[str, Tensor]) -> str:
    """Return a text-to-image checkpoint's kind, a key of `PIPELINES`."""
    try:
        kind: str = infer_diffusers_model_type(shapes)
    except FAILURES:
        # It compares shapes that only real checkpoints have.
        kind = "v1"
    if kind == "v1" and UNET not in shapes:
        first = ", ".join(repr(name[:40]) for name in sorted(shapes)[:2]) or "nothing"
        raise CheckpointError(
            f"checkpoint {str(path)!r} is no checkpoint that diffusers knows: it holds {first}; "
            "allowed: a text-to-image checkpoint in one file. Check that it is the right file."
        )
    if kind not in PIPELINES:
        raise CheckpointError(
            f"checkpoint {str(path)!r} is of the kind {kind!r}; allowed: text-to-image models, "
            f"{', '.join(PIPELINES)}. For another kind, pass config=, the folder of a checkpoint "
            "of that kind in diffusers' layout."
        )
    return kind


def _published_config(path: Path, kind: str, token: str | None) -> Path:
    """Return a directory with the configs that were published for a kind of checkpoint."""
    repository = DIFFUSERS_DEFAULT_PIPELINE_PATHS[kind]["pretrained_model_name_or_path"]
    answers = hub_answers(repository, None, token)
    try:
        found = snapshot_download(
            repository, allow_patterns=CONFIGS, token=token, local_files_only=not answers
        )
    except OSError as error:
        reason = reason_of(error) if answers else "the hub does not answer"
        raise CheckpointError(
            f"checkpoint {str(path)!r} needs the configs of {repository}, and {reason}. Pass "
            f"config=, a folder with the checkpoint's {INDEX} and configs, or go online once: they "
            "are kept."
        ) from error
    return Path(found)


def _class_name(config: Path) -> str:
    """Return the class of a pipeline that a directory in diffusers' layout is of."""
    try:
        found = DiffusionPipeline.load_config(str(config), local_files_only=True)["_class_name"]
    except (OSError, ValueError, LookupError) as error:
        raise CheckpointError(
            f"config {str(config)!r} is no folder with a readable {INDEX}; allowed: a directory in "
            "diffusers' layout. Save one with pipeline.save_pretrained(), or download one."
        ) from error
    if not hasattr(getattr(diffusers, str(found), None), "from_single_file"):
        raise CheckpointError(
            f"config {str(config)!r} is of a {found}, which diffusers loads from folders only; "
            f"allowed: configs of {', '.join(dict.fromkeys(PIPELINES.values()))} and their like."
        )
    return str(found)


def _missing_parts(
    config: Path, shapes: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """Load the parts that a file lacks from a directory in diffusers' layout, if they are there.

    Files of FLUX and Stable Diffusion 3 have often no text encoders, and some no VAE.
    """
    index = DiffusionPipeline.load_config(str(config), local_files_only=True)
    # The other entries are settings.
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list)}
    parts = {}
    for name, (library, kind) in entries.items():
        prefixes = PREFIXES.get(kind)
        absent = prefixes is not None and not any(one.startswith(prefixes) for one in shapes)
        if absent and any((config / name).glob(f"*{SUFFIX}")):
            part = getattr(transformers if library == "transformers" else diffusers, kind)
            parts[name], found = part.from_pretrained(
                str(config),
                subfolder=name,
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
            )
            check_none_missing(name, found)
    return parts
