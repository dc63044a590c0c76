"""A denoiser without a model: predictions are arithmetic, so most tests need no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sega_session.denoisers import Conditioning, Decoded, ModelInput, OutputType

from .pipelines import SCHEDULERS


class FakeDenoiser:
    """Predicts each branch as the latents times a number that its conditioning holds.

    On the "meta" device tensors have no values, so anything that reads one, any copy to the host
    among it, fails at once.
    """

    dtype = torch.float32

    def __init__(self, scheduler: str = "DDIM", device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.scheduler = scheduler

    def fresh_scheduler(self, num_inference_steps: int) -> Any:
        scheduler = SCHEDULERS[self.scheduler]()
        scheduler.set_timesteps(num_inference_steps)
        return scheduler

    def encode(self, prompt: str, *, negative: bool = False) -> Conditioning:
        factor = (sum(map(ord, prompt)) + negative) % 17 / 17
        return Conditioning(torch.full((1, 1, 1), factor, device=self.device))

    def predict(self, inputs: Sequence[ModelInput]) -> tuple[Tensor, ...]:
        return tuple(
            one.latents * one.conditioning.prompt_embeds[..., None] + one.timestep / 1000
            for one in inputs
        )

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        return Decoded(latents, None)
