"""Errors and warnings of user actions become messages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sega_widgets import EditPanel
from sega_widgets.guard import Guard
from sega_widgets.messages import Messages

from sega_session.errors import PromptTruncatedWarning, SegaSessionError, warn_caller
from sega_session.models import Request

from .fakes import Model, add


def test_an_error_is_shown_and_the_panel_goes_on(panel: EditPanel, model: Model) -> None:
    def fail(requests: Sequence[Request]) -> None:
        raise SegaSessionError("no memory <left>; lower height")

    model.on_evaluate = fail
    add(panel, "glasses")
    assert "no memory &lt;left&gt;; lower height" in panel.messages.value
    assert 'role="alert"' in panel.messages.value
    model.on_evaluate = None
    panel.view.progress.render.click()
    assert panel.messages.value == ""
    assert panel.view.image.caption.text == "exact"
    panel.messages.error(RuntimeError("of another kind"))
    assert "RuntimeError: of another kind" in panel.messages.value


def test_a_defect_is_shown_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    guard = Guard(Messages())
    guard.run(broken)
    assert "RuntimeError: broken" in guard.messages.value
    assert "a defect in sega_widgets" in caplog.text


def test_actions_inside_an_update_are_ignored() -> None:
    guard, ran = Guard(Messages()), list[str]()
    with guard.updating():
        with guard.updating():
            guard.run(lambda: ran.append("inner"))
        guard.run(lambda: ran.append("outer"))
    guard.run(lambda: ran.append("after"))
    assert ran == ["after"]


def test_a_warning_is_a_message(panel: EditPanel, model: Model) -> None:
    model.on_encode = lambda prompt: warn_caller("the end does not fit", PromptTruncatedWarning)
    add(panel, "a very long concept")
    assert panel.messages.value == '<div role="status">the end does not fit</div>'
    assert len(panel.session.concepts) == 1
