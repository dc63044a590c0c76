"""Fakes for a panel: a model, a worker, messages and a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import PIL.Image
from ipywidgets import Widget
from sega_widgets import EditPanel
from sega_widgets.messages import Messages
from sega_widgets.progress import Report
from sega_widgets.worker import More
from torch import Tensor

from sega_session import EditSession
from sega_session.errors import SegaSessionError
from sega_session.models import Conditioning, Decoded, OutputType, Role
from sega_session.state import Scene
from sega_session.testing import FakeModel


class Model(FakeModel):
    """A fake model whose images are grey.

    Attributes:
        on_encode: called with each prompt before it is encoded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_encode: Callable[[str], object] = lambda prompt: None

    def encode_prompt(self, prompt: str, role: Role, scene: Scene) -> Conditioning:
        self.on_encode(prompt)
        return super().encode_prompt(prompt, role, scene)

    def decode(self, latents: Tensor, output_type: OutputType) -> Decoded:
        if output_type != "pil":
            return Decoded(latents)
        grey = (latents.mean(dim=1) * 40 + 128).clamp(0, 255).byte().cpu().numpy()
        images = [PIL.Image.fromarray(one).resize((16, 16)).convert("RGB") for one in grey]
        return Decoded(images)


def new_session(model: Model, **arguments: Any) -> EditSession:
    """Begin a short session with a model."""
    return EditSession(model, "a cat", num_inference_steps=6, **arguments)


class InlineWorker:
    """A worker that renders at once on the caller's thread: a preview while moving, else exact."""

    def __init__(
        self,
        session: EditSession,
        *,
        show: Callable[[Any], object],
        progress: Callable[[Report], object],
        fail: Callable[[Exception], object],
        more: More,
        missing: object,
        lock: object,
    ) -> None:
        self.session, self.show, self.progress, self.fail = session, show, progress, fail
        self.more = more
        self.posts: list[bool] = []
        self.cancels = 0
        self.closed = False

    def post(self, *, moving: bool = False) -> None:
        self.posts.append(moving)
        try:
            self.show(self.session.render("preview" if moving else "exact"))
            if not moving:
                for show in self.more(lambda *_: None):
                    show()
        except SegaSessionError as error:
            self.fail(error)

    def cancel(self) -> None:
        self.cancels += 1

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Notes:
    """Messages that a test reads."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def clear(self) -> None:
        self.errors.clear()

    def error(self, error: BaseException) -> None:
        self.errors.append(error)

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.errors))


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def worker_of(panel: EditPanel) -> InlineWorker:
    found: Any = panel.view.worker
    assert isinstance(found, InlineWorker)
    return found


def add(panel: EditPanel, *names: str) -> None:
    """Add concepts as the page does after text was typed."""
    for name in names:
        send(panel.concepts, {"kind": "add", "text": name})


def said(messages: Messages) -> str:
    """Return what the messages that are shown say."""
    return "\n".join(f"{one['text']} {one['detail']}" for one in messages.toasts)


def send(widget: Widget, content: dict[str, Any]) -> None:
    """Deliver a message as a page sends it."""
    data = {"method": "custom", "content": content}
    widget.comm.handle_msg({"content": {"data": data}, "buffers": []})
