"""`FakeModel`: a model without networks, for tests of sessions and of code that uses them.

>>> model = FakeModel()
>>> session = EditSession(model, "a portrait")
>>> session.add("glasses")
>>> session.render(output_type="latent").evaluations == model.rows
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .errors import InvalidValueError
from .models import (
    Conditioning,
    Decoded,
    DiffusionModel,
    Embeddings,
    ModelSpec,
    OutputType,
    Request,
    Role,
    SchedulerSampler,
    collate,
    copy_embeddings,
)
from .state import Scene

CHANNELS, FACTOR = 4, 2
"""Latents have 4 channels, and half the image's height and width."""


class FakeModel(DiffusionModel):
    """A `DiffusionModel` whose predictions are arithmetic.

    A prediction is the latents times a number computed from the text, plus a fraction of the
    timestep. On the "meta" device tensors have no values, so code that reads a value fails.

    Args:
        scheduler: a diffusers scheduler; None: DDIM with Stable Diffusion's noise schedule.
        device: the device of latents and predictions.
        dtype: the precision of latents and predictions.
        distilled: see `ModelSpec.distilled`.
        on_evaluate: called with the requests before each model call; may raise.

    Attributes:
        calls: model calls so far.
        rows: predictions evaluated so far, counted per image.
        encoded: the texts encoded so far, in order.
    """

    def __init__(
        self,
        scheduler: Any = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        distilled: bool = False,
        on_evaluate: Callable[[Sequence[Request]], object] | None = None,
    ) -> None:
        self.calls = 0
        self.rows = 0
        self.encoded: list[str] = []
        self.on_evaluate = on_evaluate
        self._scheduler = scheduler or DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )
        self._spec = ModelSpec(torch.device(device), dtype, (16, 16), distilled=distilled)

    @property
    def spec(self) -> ModelSpec:
        """See `DiffusionModel.spec`; the default size is 16 x 16 pixels."""
        return self._spec

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """See `DiffusionModel.latents_shape`; sizes are multiples of 2."""
        for what, pixels in (("height", height), ("width", width)):
            if pixels % FACTOR:
                raise InvalidValueError(what, pixels, f"a multiple of {FACTOR} pixels")
        return CHANNELS, height // FACTOR, width // FACTOR

    def sampler(self, steps: int, height: int, width: int, eta: float) -> SchedulerSampler:
        """See `DiffusionModel.sampler`."""
        return SchedulerSampler(self._scheduler, steps, eta)

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_prompt`."""
        self.encoded.append(prompt)
        factor = (sum(map(ord, prompt)) + (role == "negative")) % 17 / 17
        return Conditioning({"factor": torch.full((1, 1, 1), factor, device=self._spec.device)})

    def encode_embeddings(self, embeddings: Embeddings, scene: Scene) -> Conditioning:
        """See `DiffusionModel.encode_embeddings`; the shape is ``(1 or images, 1, 1)``."""
        embeds, images = embeddings.prompt_embeds, len(scene.seeds)
        return Conditioning({"factor": copy_embeddings(embeds, images, 1, 1, self._spec)})

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        """See `DiffusionModel.evaluate`."""
        if self.on_evaluate is not None:
            self.on_evaluate(requests)
        batch = collate(requests)
        self.calls += 1
        self.rows += len(batch.latents)
        factors = batch.tensors["factor"][..., None]
        predictions = batch.latents * factors + batch.timesteps[:, None, None, None] / 1000
        return torch.split(predictions.to(batch.latents.dtype), batch.sizes)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        """See `DiffusionModel.decode`; the first three channels are the image."""
        if output_type == "latent":
            return Decoded(latents)
        pixels = (latents[:, :3].float() / 4 + 0.5).clamp(0, 1)
        pixels = pixels.repeat_interleave(FACTOR, dim=2).repeat_interleave(FACTOR, dim=3)
        if output_type == "pt":
            return Decoded(pixels)
        arrays = pixels.permute(0, 2, 3, 1).cpu().numpy()
        if output_type == "np":
            return Decoded(arrays)
        return Decoded([Image.fromarray((one * 255).round().astype("uint8")) for one in arrays])

    def encode_image(self, pixels: Tensor) -> Tensor:
        """See `DiffusionModel.encode_image`: the inverse of `decode`; the fourth channel is 0."""
        blocks = avg_pool2d(pixels.to(self._spec.device, torch.float32), FACTOR)
        return pad((blocks - 0.5) * 4, (0, 0, 0, 0, 0, 1)).to(self._spec.dtype)

    def components(self) -> Mapping[str, Any]:
        """See `DiffusionModel.components`; there are no weights."""
        return {"scheduler": self._scheduler}
