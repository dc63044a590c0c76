"""Every exception and warning that sega-session raises.

SegaSessionError                     catch this one to catch them all
├── InvalidValueError                a value outside its allowed range (also a ValueError)
│   ├── DuplicateConceptError        a concept's name is taken
│   └── UnknownConceptError          no concept has this name
├── CheckpointError                  a checkpoint is missing or cannot be read
├── HistoryError                     no such place in the history, or no way there now
├── ModelMismatchError               a session file was made with another model
├── NotFiniteError                   a render overflowed
├── OutOfMemoryError                 a render does not fit the device (also a MemoryError)
├── ScriptError                      a script is not valid, or a step of it failed
├── SessionFileError                 a session file cannot be read or written (also an OSError)
├── SessionFormatError               what a file holds is no session, or a damaged one
└── UnsupportedPipelineError         a pipeline class, or a model in it, that cannot be edited

SegaSessionWarning                   filter this one to filter them all (a UserWarning)
├── AutosaveWarning                  an edit could not be saved, or not be recovered
├── PromptTruncatedWarning           a prompt is longer than the text encoder reads
└── NoEffectWarning                  a setting that cannot change the picture

Messages follow one pattern: what the value is, what is allowed, what to do next.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class SegaSessionError(Exception):
    """The root of every error that this package raises on purpose."""


class InvalidValueError(SegaSessionError, ValueError):
    """A value lies outside its allowed range or has the wrong type.

    Attributes:
        what: the name of the offending value, e.g. ``"threshold"``.
        value: the value that was given.
        allowed: the allowed values, in words.
    """

    def __init__(self, what: str, value: object, allowed: str, hint: str = "") -> None:
        self.what, self.value, self.allowed = what, value, allowed
        message = f"{what} is {value!r}; allowed: {allowed}."
        super().__init__(f"{message} {hint}" if hint else message)


class DuplicateConceptError(InvalidValueError):
    """A concept with this name is in the session already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "name",
            name,
            "a name that no other concept has",
            f"Change that concept with update({name!r}, ...), or pass another name=.",
        )


class UnknownConceptError(InvalidValueError):
    """No concept in the session has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = ", ".join(repr(n) for n in known)
        super().__init__(
            "name",
            name,
            f"one of {names}" if names else "no name, since the session has no concepts",
            "Add a concept with add(prompt).",
        )


class CheckpointError(SegaSessionError):
    """A checkpoint is missing, incomplete or unreadable."""


class HistoryError(SegaSessionError, LookupError):
    """There is no such place in a session's history, or no way to it now."""


class ModelMismatchError(SegaSessionError):
    """A session file was made with another model, scheduler or precision than the pipeline's."""


class NotFiniteError(SegaSessionError, ArithmeticError):
    """A render's latents overflowed to infinity or NaN; there is no picture in them."""


class OutOfMemoryError(SegaSessionError, MemoryError):
    """A render ran out of memory, with the smallest batch and nothing left to clear from the cache.

    The session is as it was, and what was evaluated is recorded as far as `cache_bytes` allows.
    """

    def __init__(self, device: object, part: str) -> None:
        super().__init__(
            f"{device} has no memory left for {part}; allowed: what fits one image of this size. "
            "Lower height and width, use fewer seeds or cache_bytes, or load the pipeline in half "
            "precision; enable_model_cpu_offload() and enable_attention_slicing() on it help too."
        )


class ScriptError(SegaSessionError, ValueError):
    """A scripted edit history is not valid, or one of its operations failed.

    Attributes:
        index: the number of the operation, counted from 0; None: the script as a whole.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        self.index = index
        super().__init__(message if index is None else f"operation {index}: {message}")


class SessionFileError(SegaSessionError, OSError):
    """A session file cannot be read or written; on writing, the file before is unharmed."""


class SessionFormatError(SegaSessionError, ValueError):
    """What a file holds is not a session, or is damaged; nothing of it was used."""


class UnsupportedPipelineError(SegaSessionError, TypeError):
    """The pipeline's class, or the kind of a model in it, cannot be edited with SEGA here."""


class SegaSessionWarning(UserWarning):
    """The root of every warning that this package gives."""


class AutosaveWarning(SegaSessionWarning):
    """An edit could not be written to the journal, or not be read from it."""


class PromptTruncatedWarning(SegaSessionWarning):
    """The end of a prompt lies beyond the text encoder's limit and has no effect."""


class NoEffectWarning(SegaSessionWarning):
    """A concept's settings keep it from changing the picture."""


_hear: ContextVar[Callable[[SegaSessionWarning], object] | None] = ContextVar("hear", default=None)


@contextmanager
def hearing(hear: Callable[[SegaSessionWarning], object]) -> Iterator[None]:
    """Call ``hear`` with the warnings of this thread, instead of Python's `warnings`.

    For user interfaces: `warnings.catch_warnings` is not safe where other threads run.
    """
    token = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(token)


def warn_caller(message: str, category: type[SegaSessionWarning]) -> None:
    """Warn about the line that called into this package, or tell who is `hearing`."""
    hear = _hear.get()
    if hear is not None:
        hear(category(message))
        return
    frame, level = inspect.currentframe(), 1
    while frame and str(frame.f_globals.get("__name__")).startswith("sega_session"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
