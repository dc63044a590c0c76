"""One thread at a time on a model."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sega_session import EditSession
from sega_session.models import Conditioning, Request, Role
from sega_session.state import Scene
from sega_session.testing import FakeModel


class WatchedModel(FakeModel):
    """A fake model that tells when two threads are in it."""

    def __init__(self) -> None:
        super().__init__(on_evaluate=self._enter)
        self.overlaps = 0
        self.inside = 0
        self.evaluating = threading.Event()
        self.entering = threading.Event()

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        self.entering.set()
        self.overlaps += self.inside
        return super().encode_prompt(prompt, role, scene)

    def _enter(self, requests: Sequence[Request]) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        self.inside = 1
        self.evaluating.set()
        # An edit on the other thread wants to encode its prompt now.
        self.entering.wait(0.2)
        self.inside = 0


def test_prompts_are_encoded_between_model_calls_of_a_render() -> None:
    model = WatchedModel()
    session = EditSession(model, "a cat", num_inference_steps=6)
    model.entering.clear()
    calls: list[int] = []
    worker = threading.Thread(
        target=lambda: session.render(
            output_type="latent", callback_on_step_end=lambda _, call, *__: calls.append(call)
        )
    )
    worker.start()
    assert model.evaluating.wait(10)
    session.add("hat", warmup=1)
    encoded_after = len(calls)
    worker.join(10)
    assert model.overlaps == 0
    # The edit waited for a model call, not for the whole render.
    assert encoded_after < len(calls) == session.num_calls
