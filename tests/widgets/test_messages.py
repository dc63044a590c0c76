"""Messages: what they say, and how long they stay."""

from __future__ import annotations

import pytest
from ipywidgets import Widget
from sega_widgets.guard import Guard
from sega_widgets.history_view import HistoryView
from sega_widgets.messages import MOST, SAID, Messages

from sega_session import EditSession, errors
from sega_session.errors import (
    DuplicateConceptError,
    InvalidValueError,
    NoEffectWarning,
    OutOfMemoryError,
    SegaSessionError,
)

from .fakes import send


def shown(messages: Messages) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["text"], one["detail"]) for one in messages.toasts]


def press(widget: Widget, toast: dict[str, object], kind: str = "press_toast") -> None:
    send(widget, {"kind": kind, "id": toast["id"]})


@pytest.mark.parametrize(
    ("error", "kind", "text", "detail"),
    [
        (
            InvalidValueError("name", "a", "a name that no other branch has"),
            "error",
            "Choose another name",
            "name is 'a'; allowed: a name that no other branch has.",
        ),
        (
            InvalidValueError("num_inference_steps", 0, "more"),
            "error",
            "Choose another number of steps",
            "num_inference_steps is 0; allowed: more.",
        ),
        (
            InvalidValueError("momentum_scale", 2, "less"),
            "error",
            "Choose another momentum scale",
            "momentum_scale is 2; allowed: less.",
        ),
        (
            DuplicateConceptError("hat"),
            "error",
            "There is a concept of this name already",
            str(DuplicateConceptError("hat")),
        ),
        (
            OutOfMemoryError("cuda", "decoding"),
            "error",
            "There is not enough memory for this image",
            str(OutOfMemoryError("cuda", "decoding")),
        ),
        (SegaSessionError("no <b>"), "error", "This was not done", "no <b>"),
        (RuntimeError("broken"), "error", "Something went wrong", "RuntimeError: broken"),
        (
            NoEffectWarning("scale is 0"),
            "warning",
            "This does not change the image",
            "scale is 0",
        ),
    ],
)
def test_an_error_is_said_in_the_panels_words(
    error: BaseException, kind: str, text: str, detail: str
) -> None:
    messages = Messages()
    messages.error(error)
    assert shown(messages) == [(kind, text, detail)]


def test_every_error_has_words_of_its_own() -> None:
    kinds = {one for one in vars(errors).values() if isinstance(one, type)}
    kinds = {one for one in kinds if issubclass(one, Exception)}
    said = [kind for kind, _ in SAID]
    assert {*said} == kinds - {InvalidValueError}
    assert len({words for _, words in SAID}) == len(said)
    # The first that fits counts, so a general kind comes after its special ones.
    for number, kind in enumerate(said):
        assert not any(issubclass(later, kind) for later in said[number + 1 :])


def test_notes_outlast_the_next_action_and_errors_do_not() -> None:
    messages = Messages()
    messages.note("saved")
    messages.error(NoEffectWarning("scale is 0"))
    messages.error(SegaSessionError("no"))
    assert [kind for kind, _, _ in shown(messages)] == ["note", "warning", "error"]
    messages.clear()
    assert shown(messages) == [("note", "saved", "")]


def test_a_message_that_is_repeated_is_announced_again_but_shown_once() -> None:
    messages = Messages()
    messages.note("saved")
    messages.note("written")
    first = messages.toasts[0]["id"]
    messages.note("saved")
    assert [one["text"] for one in messages.toasts] == ["written", "saved"]
    assert messages.toasts[1]["id"] != first


def test_old_messages_make_room() -> None:
    messages = Messages()
    for number in range(MOST + 2):
        messages.note(f"note {number}")
    assert [one["text"] for one in messages.toasts] == ["note 2", "note 3", "note 4"]


def test_a_message_is_dismissed() -> None:
    messages = Messages()
    messages.note("saved")
    messages.note("written")
    press(messages, messages.toasts[0], "dismiss_toast")
    assert [one["text"] for one in messages.toasts] == ["written"]
    press(messages, {"id": 99}, "dismiss_toast")
    press(messages, messages.toasts[0], "of another version")
    assert [one["text"] for one in messages.toasts] == ["written"]


def test_an_offer_is_taken_once() -> None:
    messages, done = Messages(), list[str]()
    messages.offer("“glasses” removed", "Undo", lambda: done.append("undone"))
    offer = messages.toasts[0]
    assert (offer["kind"], offer["label"]) == ("offer", "Undo")
    press(messages, offer)
    press(messages, offer)
    assert done == ["undone"]
    assert messages.toasts == []


def test_another_action_takes_an_offer_back() -> None:
    guard, done = Guard(Messages()), list[str]()
    guard.run(lambda: guard.offer("“glasses” removed", "Undo", lambda: done.append("undone")))
    offer = guard.messages.toasts[0]
    guard.run(lambda: None)
    assert guard.messages.toasts == []
    press(guard.messages, offer)
    assert done == []


def test_the_action_of_an_offer_is_guarded() -> None:
    def fail() -> None:
        raise SegaSessionError("too late")

    guard = Guard(Messages())
    guard.offer("“glasses” removed", "Undo", fail)
    press(guard.messages, guard.messages.toasts[0])
    assert shown(guard.messages) == [("error", "This was not done", "too late")]


def test_an_action_that_is_not_guarded_fails_in_a_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = Messages()
    messages.offer("removed", "Undo", lambda: 1 / 0)
    press(messages, messages.toasts[0])
    assert messages.toasts[0]["detail"] == "ZeroDivisionError: division by zero"
    assert "the action of a message failed" in caplog.text


def test_a_part_without_a_panel_shows_messages_itself(session: EditSession) -> None:
    history = HistoryView(session, lambda moving: None)
    session.branch("main")
    history.refresh()
    send(history, {"kind": "name", "entry": 0, "name": "main"})
    assert history.toasts is not None
    assert [one["text"] for one in history.toasts] == ["Choose another name"]
    press(history, history.toasts[0], "dismiss_toast")
    assert history.toasts == []
    assert HistoryView(session, lambda moving: None, Guard(Messages())).toasts is None
