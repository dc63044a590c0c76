"""Messages are one printable line, whatever a value in them holds."""

from __future__ import annotations

import pytest

from sega_session import EditSession
from sega_session.errors import (
    InvalidValueError,
    ModelMismatchError,
    NoEffectWarning,
    ScriptError,
    SegaSessionError,
    SessionFileError,
    UnknownConceptError,
    printable,
)
from sega_session.testing import FakeModel

HOSTILE = "a\x1b[2J\x9b31m\u202eb\u2066\r\n\u2028\x07\udc80"
SHOWN = r"a\x1b[2J\x9b31m\u202eb\u2066\r\n\u2028\x07\udc80"


def test_printable() -> None:
    assert printable(HOSTILE) == SHOWN
    for text in ("", "a red hat", "é 猫 😀 “quoted” \\ '"):
        assert printable(text) == text


@pytest.mark.parametrize(
    "error",
    [
        SegaSessionError(HOSTILE),
        SessionFileError(HOSTILE),
        ModelMismatchError(HOSTILE),
        ScriptError(HOSTILE, 3, f"{HOSTILE}.json"),
        InvalidValueError(HOSTILE, 3, HOSTILE, HOSTILE),
        UnknownConceptError(HOSTILE, [HOSTILE]),
        NoEffectWarning(HOSTILE),
    ],
)
def test_messages_are_printable(error: Exception) -> None:
    assert str(error).isprintable()
    assert SHOWN in str(error)


def test_a_history_prints_no_control_characters() -> None:
    session = EditSession(FakeModel(), "x", num_inference_steps=4)
    session.add(HOSTILE[:-1], warmup=1)
    session.update(HOSTILE[:-1], name="b")
    assert str(session.history).replace("\n", "").isprintable()
    assert len(str(session.history).splitlines()) == 3
