"""Errors and warnings of user actions become messages."""

from __future__ import annotations

import pytest
from sega_widgets.guard import Guard, edit
from sega_widgets.messages import Messages

from sega_session import EditSession
from sega_session.errors import InvalidValueError, PromptTruncatedWarning, warn_caller

from .fakes import Model


def texts(guard: Guard) -> list[str]:
    return [one["text"] for one in guard.messages.toasts]


def test_an_error_is_shown_until_the_next_action(session: EditSession) -> None:
    guard = Guard(Messages())
    guard.run(lambda: session.add("glasses", scale=-1))
    assert texts(guard) == ["Choose another scale"]
    assert guard.messages.toasts[0]["detail"].startswith("scale is -1.0; allowed")
    guard.run(lambda: session.add("glasses", warmup=1))
    assert texts(guard) == []
    assert "glasses" in session


def test_a_defect_is_shown_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    guard = Guard(Messages())
    guard.run(broken)
    assert guard.messages.toasts[0]["detail"] == "RuntimeError: broken"
    assert "a defect in sega_widgets" in caplog.text


def test_a_warning_is_a_message(session: EditSession, model: Model) -> None:
    model.on_encode = lambda prompt: warn_caller("the end does not fit", PromptTruncatedWarning)
    guard = Guard(Messages())
    guard.run(lambda: session.add("a very long concept", warmup=1))
    assert [one["kind"] for one in guard.messages.toasts] == ["warning"]
    assert guard.messages.toasts[0]["detail"] == "the end does not fit"
    assert "a very long concept" in session


def test_a_refused_edit_refreshes_and_is_no_change(session: EditSession) -> None:
    calls: list[object] = []

    def refresh() -> None:
        calls.append("refresh")

    with pytest.raises(InvalidValueError, match="scale is -1"):
        edit(session, lambda: session.add("hat", scale=-1), refresh, calls.append)
    edit(session, lambda: session.add("hat", warmup=1), refresh, calls.append, moving=True)
    edit(session, lambda: None, refresh, calls.append)
    assert calls == ["refresh", "refresh", True, "refresh"]
