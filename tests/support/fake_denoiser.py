"""A denoiser without a model: predictions are arithmetic, so most tests need no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from tqdm import tqdm

from sega_session.models import Conditioning, Decoded, ModelInput, OutputType
from sega_session.models.schedulers import fresh_scheduler
from tests.support.pipelines import SCHEDULERS


class FakeDenoiser:
    """Predicts each branch as the latents times a number that its conditioning holds.

    On the "meta" device tensors have no values, so anything that reads one, any copy to the host
    among it, fails at once.
    """

    dtype = torch.float32
    pipeline = None

    def __init__(self, scheduler: str = "DDIM", device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.scheduler = scheduler

    def fresh_scheduler(self, num_inference_steps: int) -> Any:
        return fresh_scheduler(SCHEDULERS[self.scheduler](), num_inference_steps)

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

    def components(self) -> dict[str, Any]:
        return {"scheduler": SCHEDULERS[self.scheduler]()}


class FakeFamily(FakeDenoiser):
    """What a session needs beyond a render: sizes, and a progress bar that shows nothing."""

    def default_size(self) -> tuple[int, int]:
        return 16, 16

    def latents_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 4, height // 2, width // 2

    def condition(self, embeds: Tensor, batch: int) -> Conditioning:
        return Conditioning(embeds.reshape(-1, 1, 1))

    def progress_bar(self, total: int) -> Any:
        return tqdm(total=total, disable=True)


def use_fake(monkeypatch: pytest.MonkeyPatch, scheduler: str = "DDIM") -> None:
    """Let sessions draw with a `FakeFamily`, whatever pipeline they are given."""
    for module in ("session", "session_saving"):
        monkeypatch.setattr(f"sega_session.{module}.denoiser_for", lambda _: FakeFamily(scheduler))
