"""Load the model of a command; the options that all such commands share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console

Device = Annotated[
    str | None,
    Parameter(help='The device of the model, "cpu" or "cuda". Default: CUDA if there is any.'),
]
DType = Annotated[
    Literal["float32", "float16", "bfloat16"] | None,
    Parameter(
        help="The model's precision. Default: on CUDA float16, "
        "or bfloat16 for transformers; else float32."
    ),
]


def load_with_status(
    console: Console, model: str | None, device: str | None, dtype: str | None
) -> Any:
    """Load a pipeline behind a status line; see `sega_session.models.load_quietly`.

    Args:
        console: shows a status meanwhile.
        model: a checkpoint: a directory in diffusers' layout, a .safetensors file or a hub id;
            None: the embedded one.
        device: "cpu" or "cuda"; None: CUDA if there is any.
        dtype: the name of a precision, "float16" for example; None: see `load_pipeline`.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        InvalidValueError: this machine has no such device.
    """
    with console.status("Loading the model"):
        # Imported here, since torch and diffusers take seconds that `--help` does not need.
        # transformers comes first, since diffusers makes it log a message about torchvision.
        import transformers

        transformers.logging.set_verbosity_error()
        from ..models import load_quietly

        return load_quietly(model, device, dtype)
