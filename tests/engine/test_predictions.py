"""The sizes of the batches that predictions are evaluated in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from sega_session import EditSession, anchored
from sega_session.engine.recording import Recording
from sega_session.models import Request
from sega_session.sega import Guider, Trajectory
from sega_session.state import Concept, EditState, Scene
from sega_session.testing import FakeModel


class Counting(FakeModel):
    """A fake model that counts the rows of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        self.sizes.append(sum(len(one.latents) for one in requests))
        return super().evaluate(requests)


@pytest.mark.parametrize(
    ("seed", "sizes"),
    # Forty calls that only feed the momentum and the first that steers, for each image.
    [(1, [32, 9]), ([1, 2], [32, 32, 18]), (list(range(40)), [40] * 41)],
    ids=["one image", "two images", "forty images"],
)
def test_a_batch_over_calls_has_at_most_32_rows(seed: int | list[int], sizes: list[int]) -> None:
    model = Counting()
    session = EditSession(model, "a cat", seed=seed, num_inference_steps=42)
    session.render(output_type="latent")
    model.sizes.clear()
    session.add("hat", warmup=40)
    session.render(output_type="latent")
    # The last call has latents of its own.
    images = 1 if isinstance(seed, int) else len(seed)
    assert model.sizes == [*sizes, 3 * images]


def test_the_conditions_of_one_call_are_one_batch() -> None:
    model = Counting()
    session = EditSession(model, "a cat", num_inference_steps=5)
    for number in range(40):
        session.add(f"concept {number}", warmup=0)
    session.render(output_type="latent")
    assert model.sizes == [42] * 5


class Overwriting(FakeModel):
    """A fake model that returns views of one buffer, as compiled models with CUDA graphs do."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = torch.empty(32, 4, 8, 8)

    def evaluate(self, requests: Sequence[Request]) -> Sequence[Tensor]:
        # As in CUDA graphs, what was returned before is lost.
        self.buffer.fill_(torch.nan)
        found = super().evaluate(requests)
        sizes = [len(one) for one in found]
        return torch.split(self.buffer[: sum(sizes)].copy_(torch.cat(list(found))), sizes)


@pytest.mark.parametrize("batch_plan", ["together", "canonical"])
@pytest.mark.parametrize(
    "mode", ["exact", "replay", "preview", anchored(every=3), anchored(tolerance=0.01)], ids=str
)
@pytest.mark.parametrize("cache_bytes", [0, 2**26])
def test_a_model_may_overwrite_what_it_returned(
    mode: Any, batch_plan: Any, cache_bytes: int
) -> None:
    latents = []
    for model in (FakeModel(), Overwriting()):
        session = EditSession(
            model,
            "a cat",
            seed=[1, 2],
            num_inference_steps=20,
            batch_plan=batch_plan,
            cache_bytes=cache_bytes,
        )
        session.add("hat", warmup=10)
        session.render(output_type="latent")
        session.add("beard", warmup=8)
        latents.append(session.render(mode, output_type="latent").latents)
    assert torch.equal(*latents)


def test_estimates_from_different_renders_have_different_names() -> None:
    states = [EditState()]
    states += [EditState(concepts=(Concept(name="a", prompt=one),)) for one in ("hat", "cap")]
    guider = Guider(Scene(prompt="a cat", height=16, width=16))
    recordings = [Recording(Trajectory.of(state, 20), guider) for state in states]
    assert len({one.estimated_from("exact", "preview") for one in recordings}) == 3
