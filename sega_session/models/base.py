"""The seam to a model: the protocols that a family implements, and the values that cross it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import attrs
import numpy as np
import torch
from attrs import field, frozen
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from ..errors import InvalidValueError, UnsupportedPipelineError
from ..state import Scene
from .text_guidance import classifier_free_guidance

OutputType: TypeAlias = Literal["pil", "np", "pt", "latent"]
"""The types of images that a render returns; see `EditSession.render`."""

ImageType: TypeAlias = "list[Image] | np.ndarray[Any, np.dtype[Any]] | Tensor"
"""A batch of images of any `OutputType`."""

Role: TypeAlias = Literal["prompt", "negative", "concept"]
"""The use of a text: for the image, the unconditional prediction, or a concept."""

LatentsShape: TypeAlias = tuple[int, int, int, int]
"""Images, channels, height and width of latents."""


@frozen(eq=False)
class Conditioning:
    """The tensors that one prediction is conditioned on.

    Attributes:
        tensors: by the name of the model's argument. Each has one row, used for all images, or one
            row per image.
    """

    tensors: Mapping[str, Tensor]


def _check_tensor(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Tensor):
        raise InvalidValueError(
            attribute.name,
            type(value).__name__,
            "a tensor",
            "Take it from the pipeline's own encode_prompt().",
        )


@frozen(eq=False)
class Embeddings:
    """The text encoders' output for a text, by the names that diffusers' pipelines have for it.

    Attributes:
        prompt_embeds: ``(1 or images, tokens, width)``, or without the first of these sizes.
        pooled_prompt_embeds: ``(1 or images, width)``; None: the family has none.

    Raises:
        InvalidValueError: something is no tensor.
    """

    prompt_embeds: Tensor = field(validator=_check_tensor)
    pooled_prompt_embeds: Tensor | None = field(
        default=None, validator=attrs.validators.optional(_check_tensor)
    )


@frozen(eq=False)
class Request:
    """One prediction to evaluate, for every image of a batch.

    Attributes:
        latents: ``(images, channels, height, width)``, scaled as the sampler asks.
        timestep: 0-dimensional, on the latents' device.
        conditioning: what the prediction is conditioned on.
    """

    latents: Tensor
    timestep: Tensor
    conditioning: Conditioning


@frozen(eq=False)
class Decoded:
    """Decoded images, and whether the safety checker flagged each; None: there is no checker."""

    images: ImageType
    nsfw_content_detected: list[bool] | None = None


@frozen
class ModelSpec:
    """Properties of a model that must not change during a session.

    Attributes:
        device: the device of latents and predictions.
        dtype: the precision of latents and predictions.
        default_size: height and width in pixels that the model was trained for; None: unknown.
        default_steps: the scheduler's steps of a session that names none.
        default_guidance_scale: the guidance scale of a session that names none.
        distilled: the model takes the guidance scale as an input and has no unconditional
            prediction. The image's prediction is the prompt's alone, and a concept is stated in
            the prompt's context and measured against the prompt.
        unguided_scale: the largest guidance scale that turns the prompt's guidance off; infinity:
            the model takes no guidance scale.
    """

    device: torch.device
    dtype: torch.dtype
    default_size: tuple[int, int] | None = None
    default_steps: int = 50
    default_guidance_scale: float = 7.5
    distilled: bool = False
    unguided_scale: float = 1.0


@frozen(eq=False)
class Origin:
    """The start of a render: initial noise, and the generators of further noise.

    Attributes:
        noise: standard normal, ``(images, channels, height, width)``, on the model's device.
        generators: one per image, for the noise that stochastic samplers add.
    """

    noise: Tensor
    generators: Sequence[torch.Generator]


class SamplerRun(Protocol):
    """One run of a sampler from noise to final latents, mutable and used once.

    Attributes:
        latents: the latents before the next model call, or the final ones.
    """

    latents: Tensor

    @property
    def timestep(self) -> Tensor:
        """The next call's timestep, 0-dimensional, on the latents' device."""

    def model_input(self, latents: Tensor) -> Tensor:
        """Scale latents for the next model call."""

    def step(self, prediction: Tensor) -> None:
        """Advance the latents by one model call, given its guided prediction."""

    def fork(self) -> Self:
        """Return an independent copy that will add the same noise."""


class Sampler(Protocol):
    """A sampling method that goes from noise to latents in a fixed number of model calls.

    Calls are counted from 0 by index: some schedulers repeat a timestep, or call the model more
    often than they have steps.
    """

    @property
    def calls(self) -> int:
        """The number of model calls of one run."""

    def start(self, origin: Origin) -> SamplerRun:
        """Start a run. Runs share no state."""

    def signal_and_noise(self, call: int) -> tuple[float, float]:
        """Return the shares of image and noise in a call's model input.

        ``model input = signal · image + noise · ε`` with signal² + noise² = 1. Return (1, 0) where
        the schedule is unknown or the model does not predict ε; estimates then interpolate the
        prediction itself. `add_noise` has the shares in the latents, which some samplers scale
        for the model.
        """

    def add_noise(self, image: Tensor, noise: Tensor, call: int) -> Tensor:
        """Return the latents before a call of a run whose final latents would be an image's.

        They are at the noise level of that call, in the scaling that the run's latents have there.
        At call 0 that is where `start` begins: there, noise dominates or is all that is left.

        Args:
            image: final latents, ``(images, channels, height, width)``.
            noise: standard normal, of the same shape, precision and device.
            call: the index of the call, from 0 to `calls` - 1.

        Raises:
            UnsupportedPipelineError: the sampler's noise levels are not known.
        """


@runtime_checkable
class DiffusionModel(Protocol):
    """A diffusion model as the engine sees it, without any state of a session.

    Implement it for a family of your own, and pass an instance where a pipeline is expected, or
    register the family's pipeline with ``as_model.register``. A class that inherits from this one
    has defaults for `guided`, `encode_embeddings`, `encode_image` and `progress_bar`.
    examples/own_model.py is a complete implementation.
    """

    @property
    @abstractmethod
    def spec(self) -> ModelSpec:
        """Device, precision and default size, as they are now."""

    @abstractmethod
    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return channels, height and width of the latents of an image of this size in pixels.

        Raises:
            InvalidValueError: the model cannot render this size.
        """

    @abstractmethod
    def sampler(self, steps: int, height: int, width: int, eta: float) -> Sampler:
        """Return a sampler for renders of this size.

        Args:
            steps: the scheduler's steps.
            eta: DDIM's noise, 0 to 1; other schedulers ignore it.

        Raises:
            InvalidValueError: the scheduler does not support that many steps.
        """

    @abstractmethod
    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """Return the conditioning on a text. Warn with PromptTruncatedWarning if it was cut.

        Args:
            prompt: the text. For a concept of a distilled model it is the whole text, the scene's
                prompt and the concept.
            role: what the text is for.
            scene: the size, ``clip_skip`` and, for distilled models, the guidance scale.

        Raises:
            InvalidValueError: the family does not support a setting of the scene.
        """

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """Return the conditioning on a user's embeddings, copied to the device.

        Raises:
            InvalidValueError: the shapes do not fit the model or the number of images.
        """
        raise InvalidValueError(
            "prompt_embeds",
            tuple(embeddings.prompt_embeds.shape),
            "none with this model",
            "Pass a prompt.",
        )

    @abstractmethod
    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """Return one prediction per request, in its latents' shape, from one model call."""

    def guided(
        self,
        uncond: Tensor | None,
        text: Tensor,
        scene: Scene,
        guidances: Sequence[Tensor],
    ) -> Tensor:
        """Combine predictions and the concepts' guidance into the prediction for the sampler.

        The default is `classifier_free_guidance`.

        Args:
            uncond: the unconditional prediction; None: it was not evaluated, because the prompt's
                guidance is off and no concept needs it, or because the model is distilled.
            text: the prediction conditioned on the prompt.
            scene: the guidance scale, where values up to the spec's ``unguided_scale`` turn the
                prompt's guidance off, and ``guidance_rescale``.
            guidances: the concepts' guidance and recorded guidance, added in this order.
        """
        return classifier_free_guidance(uncond, text, scene, guidances)

    @abstractmethod
    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """Decode final latents into images with values in [0, 1].

        Returns:
            PIL images, ``(images, height, width, 3)`` for "np", ``(images, 3, height, width)`` for
            "pt", or the latents themselves for "latent".

        Raises:
            NotFiniteError: the images overflowed.
        """

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Encode images into final latents, which `decode` turns back into them, nearly.

        The same images have the same latents: nothing is drawn. The default raises.

        Args:
            pixels: floating point, ``(images, 3, height, width)``, in [0, 1], on any device. The
                size is one that `latents_shape` accepts.

        Returns:
            ``(images, channels, height, width)`` as `latents_shape` says, in the spec's precision
            and on its device.

        Raises:
            NotFiniteError: the latents overflowed.
            UnsupportedPipelineError: the model does not encode images.
        """
        raise UnsupportedPipelineError(
            f"{type(self).__name__} does not encode images; allowed: a model with encode_image(), "
            "which every family of sega_session.models has. Implement it, or begin from a seed."
        )

    @abstractmethod
    def components(self) -> Mapping[str, Any]:
        """Return the parts that images depend on, by name: models, tokenizers, the "scheduler"."""

    def progress_bar(self, total: int) -> AbstractContextManager[Any]:
        """Return a tqdm bar over ``total`` model calls; the default shows nothing."""
        bar: AbstractContextManager[Any] = tqdm(total=total, disable=True)
        return bar
