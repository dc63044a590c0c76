"""Sessions with a fake model, and panels that render at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sega_widgets import EditPanel

from sega_session import EditSession

from .fakes import HandTimer, InlineWorker, Model, new_session


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def session(model: Model) -> EditSession:
    return new_session(model)


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[HandTimer]:
    """Return the timers that wait; none rings by itself."""
    waiting: list[HandTimer] = []
    monkeypatch.setattr(HandTimer, "waiting", waiting, raising=False)
    monkeypatch.setattr("sega_widgets.debouncer.Timer", HandTimer)
    return waiting


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch, timers: list[HandTimer]) -> None:
    """Let panels render at once, on the caller's thread."""
    monkeypatch.setattr("sega_widgets.session_view.RenderWorker", InlineWorker)


@pytest.fixture
def panel(session: EditSession, inline: None) -> Iterator[EditPanel]:
    panel = EditPanel(session)
    yield panel
    panel.close()
