"""What the render loop asks of a model family: encode text, predict noise, decode latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from attrs import frozen
from PIL.Image import Image
from torch import Tensor

from ..errors import InvalidValueError

OutputType: TypeAlias = Literal["pil", "np", "pt", "latent"]
ImageType: TypeAlias = "list[Image] | np.ndarray[Any, np.dtype[Any]] | Tensor"


@frozen(eq=False)
class Conditioning:
    """What one branch is conditioned on.

    Attributes:
        prompt_embeds: the text encoder's output, ``(1, tokens, width)`` for all images or
            ``(batch, tokens, width)``, one row an image.
    """

    prompt_embeds: Tensor


@frozen(eq=False)
class ModelInput:
    """What one branch of one model call is evaluated on.

    Attributes:
        latents: ``(batch, channels, height, width)``, scaled as the scheduler asks.
        timestep: 0-dimensional, on the latents' device.
        conditioning: what the branch is conditioned on.
    """

    latents: Tensor
    timestep: Tensor
    conditioning: Conditioning

    def halves(self) -> tuple[ModelInput, ModelInput]:
        """The first images and the others, for ``batch`` of 2 or more."""
        middle = len(self.latents) // 2
        embeds = self.conditioning.prompt_embeds
        one_each = len(embeds) > 1
        first, second = (
            ModelInput(
                self.latents[part],
                self.timestep,
                Conditioning(embeds[part] if one_each else embeds),
            )
            for part in (slice(middle), slice(middle, None))
        )
        return first, second


@frozen(eq=False)
class Decoded:
    """Images, and what the pipeline's safety checker says of each (None: it has none)."""

    images: ImageType
    nsfw_content_detected: list[bool] | None


class Denoiser(Protocol):
    """A model family, seen from the render loop. An implementation holds no session's state."""

    @property
    def pipeline(self) -> Any:
        """What the models are taken from."""

    @property
    def device(self) -> torch.device:
        """Where latents and predictions live."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of latents and predictions."""

    def components(self) -> dict[str, Any]:
        """All that a picture depends on, by the pipeline's names: models, tokenizer, scheduler."""

    def progress_bar(self, total: int) -> Any:
        """The pipeline's own tqdm bar, as its ``set_progress_bar_config`` asks."""

    def default_size(self) -> tuple[int, int] | None:
        """Height and width in pixels that the model was trained for; None: it does not say."""

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of the latents of an image of ``height`` x ``width`` pixels.

        Raises:
            InvalidValueError: the model cannot draw this size.
        """

    def fresh_scheduler(self, num_inference_steps: int) -> Any:
        """A new scheduler with the pipeline's settings, its timesteps set, on the host.

        Raises:
            InvalidValueError: the scheduler cannot take that many steps.
        """

    def encode(self, prompt: str, *, negative: bool = False) -> Conditioning:
        """Conditioning on a text; warns with the text that did not fit."""

    def condition(self, embeds: Tensor, batch: int) -> Conditioning:
        """Conditioning on pre-computed embeddings.

        Raises:
            InvalidValueError: the shape does not fit the model or the batch.
        """

    def predict(self, inputs: Sequence[ModelInput]) -> tuple[Tensor, ...]:
        """One prediction for each input, of its latents' shape, all in one model call."""

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """Final latents -> images in [0, 1]: PIL images, ``(batch, height, width, 3)`` for "np",
        ``(batch, 3, height, width)`` for "pt", or the latents themselves for "latent"."""


def own(what: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy of a tensor that a user gave, on the session's device and in its precision.

    Raises:
        InvalidValueError: not real floating-point numbers, or not all of them finite.
    """
    if not tensor.is_floating_point():
        raise InvalidValueError(what, tensor.dtype, "floating-point numbers")
    if not bool(tensor.isfinite().all()):
        raise InvalidValueError(what, "not finite", "finite numbers")
    return tensor.detach().to(device, dtype, copy=True)
