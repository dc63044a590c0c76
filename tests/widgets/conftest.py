"""Sessions with a fake model, and panels that render at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sega_widgets import EditPanel

from sega_session import EditSession

from .fakes import InlineWorker, Model, new_session


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def session(model: Model) -> EditSession:
    return new_session(model)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let panels render at once, on the caller's thread."""
    monkeypatch.setattr("sega_widgets.session_view.RenderWorker", InlineWorker)


@pytest.fixture
def panel(session: EditSession, inline: None, tmp_path: Path) -> Iterator[EditPanel]:
    panel = EditPanel(session, folder=tmp_path)
    yield panel
    panel.close()
