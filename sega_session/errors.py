"""Define every exception and warning that sega-session raises.

SegaSessionError                     the base class of all errors
├── InvalidValueError                a value is outside its allowed range (also a ValueError)
│   ├── DuplicateConceptError        another concept has this name
│   ├── UnknownConceptError          no concept has this name
│   └── UnknownPresetError           a checkpoint recommends nothing for it (also a KeyError)
├── CheckpointError                  a checkpoint is missing or cannot be read
├── FixedSettingError                a session's attribute was assigned to (also an AttributeError)
├── HistoryError                     the history has no such entry, or cannot be moved now
├── ModelMismatchError               a session file was made with another model
│   └── ModelChangedError            a session's model was changed since it began
├── NotFiniteError                   a render overflowed
├── OutOfMemoryError                 a render does not fit the device (also a MemoryError)
├── ScriptError                      a script is not valid, or an operation of it failed
├── SessionFileError                 a session file cannot be read or written (also an OSError)
├── SessionFormatError               a file is not a session, or is damaged
└── UnsupportedPipelineError         a pipeline, or a model in it, is not supported

SegaSessionWarning                   the base class of all warnings (a UserWarning)
├── AutosaveWarning                  an edit could not be saved or recovered
├── IncompleteWarning                not all images that were asked for were rendered
├── NoEffectWarning                  a setting cannot change the image
└── PromptTruncatedWarning           a prompt is longer than the text encoder's limit

Messages follow one pattern: the value, what is allowed, what to do next.
"""

from __future__ import annotations

import inspect
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches


def printable(text: str) -> str:
    """Return text for a terminal: in one line, and without characters that control how it shows.

    Line breaks, escape sequences and marks that reverse the direction of writing become escapes, as
    `repr` writes them. Names and prompts may come from a file that a stranger wrote.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


class SegaSessionError(Exception):
    """The base class of every error that this package raises."""

    def __str__(self) -> str:
        return printable(super().__str__())


class InvalidValueError(SegaSessionError, ValueError):
    """A value is outside its allowed range or has the wrong type.

    Attributes:
        what: the name of the offending value, e.g. ``"threshold"``.
        value: the value that was given.
        allowed: the allowed values, in words.
    """

    def __init__(self, what: str, value: object, allowed: str, hint: str = "") -> None:
        self.what, self.value, self.allowed = what, value, allowed
        message = f"{what} is {shorten(value)}; allowed: {allowed}."
        super().__init__(f"{message} {hint}" if hint else message)


class DuplicateConceptError(InvalidValueError):
    """Another concept in the session has this name."""

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
        known = tuple(known)
        names = ", ".join(repr(n) for n in known)
        super().__init__(
            "name",
            name,
            f"one of {names}" if names else "no name, since the session has no concepts",
            suggest(name, known) or "Add a concept with add(prompt).",
        )


class UnknownPresetError(InvalidValueError, KeyError):
    """A checkpoint recommends no settings for a concept."""

    def __init__(self, prompt: object, known: Iterable[str], hint: str) -> None:
        super().__init__("concept", prompt, f"one of {', '.join(map(repr, known))}", hint)

    def __str__(self) -> str:
        # A KeyError shows its message in quotes.
        return str(self.args[0])


class CheckpointError(SegaSessionError):
    """A checkpoint is missing, incomplete or unreadable."""


class FixedSettingError(SegaSessionError, AttributeError):
    """An attribute of a session was assigned to. Edits are made by its methods."""


class HistoryError(SegaSessionError, LookupError):
    """The history has no such entry, or cannot be moved now."""


class ModelMismatchError(SegaSessionError):
    """A session file was made with another model, scheduler or precision than the pipeline's.

    Attributes:
        found: what was found and what is allowed, without what to do next.
    """

    def __init__(self, found: str, hint: str = "") -> None:
        self.found = printable(found)
        super().__init__(f"{found} {hint}" if hint else found)


class ModelChangedError(ModelMismatchError):
    """A session's weights, adapters or scheduler were changed since it began.

    Attributes:
        changes: one line for each, such as ``unet: adapter 'x' added``.
    """

    def __init__(self, changes: tuple[str, ...]) -> None:
        self.changes = changes
        super().__init__(
            f"the session's model has changed: {'; '.join(changes)}; allowed: the model that its "
            "recorded predictions are from. Put it back (what was changed in place counts as "
            "changed for good), or call refresh_model(), which forgets what was recorded and keeps "
            "the history."
        )


class NotFiniteError(SegaSessionError, ArithmeticError):
    """A render's latents or images overflowed to infinity or NaN."""


class OutOfMemoryError(SegaSessionError, MemoryError):
    """A render ran out of memory with the smallest batch and an emptied cache.

    The session is unchanged. Predictions evaluated so far stay recorded within `cache_bytes`.
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
        message: the message without the places below, which precede it in the error's text.
        index: the number of the operation, counted from 0; None: the script as a whole.
        file: the script's file; None: the script was not read from one.
    """

    def __init__(self, message: str, index: int | None = None, file: object = None) -> None:
        self.message, self.index, self.file = message, index, file
        places = [] if file is None else [str(file)]
        places += [] if index is None else [f"operation {index}"]
        super().__init__(": ".join((*places, message)))


class SessionFileError(SegaSessionError, OSError):
    """A session file cannot be read or written. A failed write leaves the old file intact."""


class SessionFormatError(SegaSessionError, ValueError):
    """A file is not a session, or is damaged. Nothing of it was used."""


class UnsupportedPipelineError(SegaSessionError, TypeError):
    """The pipeline's class, or a model in it, is not supported."""


class SegaSessionWarning(UserWarning):
    """The base class of every warning that this package gives."""

    def __str__(self) -> str:
        return printable(super().__str__())


class AutosaveWarning(SegaSessionWarning):
    """An edit could not be written to the journal, or read from it."""


class IncompleteWarning(SegaSessionWarning):
    """Not all images that were asked for were rendered."""


class NoEffectWarning(SegaSessionWarning):
    """A setting cannot change the image."""


class PromptTruncatedWarning(SegaSessionWarning):
    """The end of a prompt is beyond the text encoder's limit and has no effect."""


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100
_short.maxlevel = 2
_short.maxlist = _short.maxtuple = _short.maxdict = 4


def shorten(value: object) -> str:
    """Return the repr of a value for a message, with large and deep parts cut."""
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no integers of more than 4,300 digits.
        return "a number too long to show"


def suggest(given: object, known: Iterable[str]) -> str:
    """Return "Did you mean 'glasses'?" for the known word nearest to the given one, or ""."""
    nearest = get_close_matches(given, list(known), n=1) if isinstance(given, str) else []
    return f"Did you mean {nearest[0]!r}?" if nearest else ""


_handler: ContextVar[Callable[[SegaSessionWarning], object] | None] = ContextVar(
    "handler", default=None
)


@contextmanager
def redirect_warnings(handler: Callable[[SegaSessionWarning], object]) -> Iterator[None]:
    """Call ``handler`` with this thread's warnings instead of issuing them with `warnings`.

    For user interfaces: `warnings.catch_warnings` is not safe while other threads run.
    """
    token = _handler.set(handler)
    try:
        yield
    finally:
        _handler.reset(token)


def warn_caller(message: str, category: type[SegaSessionWarning]) -> None:
    """Issue a warning at the line that called this package, or pass it to the set handler."""
    handler = _handler.get()
    if handler is not None:
        handler(category(message))
        return
    frame, level = inspect.currentframe(), 1
    while frame and str(frame.f_globals.get("__name__")).startswith("sega_session"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
