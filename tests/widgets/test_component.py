"""Messages of a page reach the methods of a widget."""

from __future__ import annotations

from typing import Any

import pytest
from anywidget import AnyWidget
from sega_widgets.component import Handler, handle_messages
from sega_widgets.guard import Guard
from sega_widgets.messages import Messages

from sega_session.errors import InvalidValueError

from .fakes import send


class Calls(list[dict[str, Any]]):
    """What a handler was called with."""

    def __call__(self, **values: Any) -> None:
        self.append(values)


class Errors(Messages):
    """Messages that keep the errors."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def error(self, error: BaseException) -> None:
        self.errors.append(error)


@pytest.fixture
def messages() -> Errors:
    return Errors()


def part(messages: Messages, **handlers: Handler) -> AnyWidget:
    widget = AnyWidget()
    handle_messages(widget, Guard(messages), handlers)
    return widget


def test_a_message_calls_the_handler_of_its_kind(messages: Errors) -> None:
    move, drop = Calls(), Calls()
    widget = part(messages, move=move, drop=drop)
    send(widget, {"kind": "move", "name": "glasses", "scale": 5})
    assert move == [{"name": "glasses", "scale": 5}]
    assert drop == []


def test_messages_of_other_kinds_are_ignored(messages: Errors) -> None:
    move = Calls()
    widget = part(messages, move=move)
    for content in ({"kind": "another"}, {"name": "glasses"}, {}):
        send(widget, content)
    assert (move, messages.errors) == ([], [])


def test_buffers_are_passed_where_there_are_any(messages: Errors) -> None:
    load = Calls()
    widget = part(messages, load=load)
    data = {"method": "custom", "content": {"kind": "load", "name": "me.jpg"}}
    message = {"content": {"data": data}, "buffers": [memoryview(b"pixels")]}
    widget.comm.handle_msg(message)
    assert load == [{"name": "me.jpg", "buffers": [memoryview(b"pixels")]}]


def test_errors_of_a_handler_are_shown(messages: Errors) -> None:
    error = InvalidValueError("scale", 99, "0 to 50")

    def fail() -> None:
        raise error

    send(part(messages, fail=fail), {"kind": "fail"})
    assert messages.errors == [error]


def test_a_message_with_unknown_values_is_shown_too(messages: Errors) -> None:
    def move(*, scale: float) -> None:
        raise AssertionError

    send(part(messages, move=move), {"kind": "move", "size": 5})
    assert [type(one) for one in messages.errors] == [TypeError]


def test_what_was_sent_is_not_changed(messages: Errors) -> None:
    content = {"kind": "move", "scale": 5}
    send(part(messages, move=Calls()), content)
    assert content == {"kind": "move", "scale": 5}


def test_messages_before_and_after_an_error_are_handled(messages: Errors) -> None:
    move = Calls()

    def fail() -> None:
        raise ZeroDivisionError

    widget = part(messages, move=move, fail=fail)
    for kind in ("move", "fail", "move"):
        send(widget, {"kind": kind})
    assert len(move) == 2
    assert [type(one) for one in messages.errors] == [ZeroDivisionError]
