"""Messages to the user of a panel: short notes that leave, and errors that stay."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict, List, dlink

from sega_session import errors

from .front_end import script, style

log = logging.getLogger(__name__)

MOST = 3
"""The most messages at a time; an older one makes room for a new one."""

SAID = (
    (errors.DuplicateConceptError, "There is a concept of this name already"),
    (errors.UnknownConceptError, "There is no such concept"),
    (errors.UnknownPresetError, "This model has no settings for that"),
    (errors.CheckpointError, "The model cannot be read"),
    (errors.FixedSettingError, "This is fixed for the whole session"),
    (errors.HistoryError, "The history cannot go there"),
    (errors.ModelChangedError, "The model has changed since the session began"),
    (errors.ModelMismatchError, "The file was made with another model"),
    (errors.NotFiniteError, "The image has overflowed: lower a strength"),
    (errors.OutOfMemoryError, "There is not enough memory for this image"),
    (errors.ScriptError, "The script cannot be run"),
    (errors.SessionFileError, "The file cannot be read or written"),
    (errors.SessionFormatError, "The file is no session, or is damaged"),
    (errors.UnsupportedPipelineError, "This model is not supported"),
    (errors.AutosaveWarning, "The last edits are not saved"),
    (errors.IncompleteWarning, "Not all images were rendered"),
    (errors.NoEffectWarning, "This does not change the image"),
    (errors.PromptTruncatedWarning, "The model reads only the beginning of this text"),
    (errors.SegaSessionError, "This was not done"),
    (errors.SegaSessionWarning, "Please note"),
)
"""The panel's words for each kind of error and warning; the first kind that fits counts."""

ARGUMENTS = {"num_inference_steps": "number of steps", "seeds": "seed"}
"""The panel's words for arguments whose own names are not words."""


class Messages(AnyWidget):
    """The last messages, shown near the lower end of the panel around them.

    A note leaves after some seconds, unless the pointer or the focus is on it. Warnings and errors
    stay until they are dismissed, or until `clear`. Screen readers announce all.

    Attributes:
        toasts: the messages that are shown, each a dict with ``id``, ``kind`` ("note", "offer",
            "warning" or "error"), ``text``, ``detail`` and ``label``, that of its button.
    """

    _esm = script("messages")
    _css = style("toasts")

    toasts = List(Dict()).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        # Any thread may have something to say.
        self._lock = threading.Lock()
        self._ids = count(1)
        self._actions: dict[int, Callable[[], object]] = {}
        self.on_msg(self._handle)

    def show_in(self, widget: AnyWidget) -> None:
        """Show the messages in a widget that is used without a panel.

        Args:
            widget: has the trait `toasts`, and shows it with `showToasts` of static/toasts.js.
        """
        dlink((self, "toasts"), (widget, "toasts"))
        widget.on_msg(self._handle)

    def clear(self) -> None:
        """Remove all but the notes, at the begin of another action."""
        self._keep(lambda one: one["kind"] == "note")

    def note(self, text: str) -> None:
        """Show that something was done."""
        self._add("note", text)

    def offer(self, text: str, label: str, action: Callable[[], object]) -> None:
        """Show that something was done, and a button; another action removes both.

        Args:
            text: a note, such as "“glasses” removed".
            label: the text of the button, such as "Undo".
            action: called when the button is pressed. `Guard.offer` guards it.
        """
        self._add("offer", text, label=label, action=action)

    def error(self, error: BaseException) -> None:
        """Show an error or a warning: the panel's words, then the error's own."""
        kind = "warning" if isinstance(error, errors.SegaSessionWarning) else "error"
        self._add(kind, *_say(error))

    def _add(
        self,
        kind: str,
        text: str,
        detail: str = "",
        label: str = "",
        action: Callable[[], object] | None = None,
    ) -> None:
        with self._lock:
            one = {"kind": kind, "text": text, "detail": detail, "label": label}
            # The same words again replace those that are there, so that they are announced again.
            others = [old for old in self.toasts if {**old, **one} != old][1 - MOST :]
            number = next(self._ids)
            if action is not None:
                self._actions[number] = action
            self._set([*others, {"id": number, **one}])

    def _keep(self, kept: Callable[[dict[str, Any]], bool]) -> None:
        with self._lock:
            self._set([one for one in self.toasts if kept(one)])

    def _set(self, toasts: list[dict[str, Any]]) -> None:
        self._actions = {
            one["id"]: self._actions[one["id"]] for one in toasts if one["id"] in self._actions
        }
        self.toasts = toasts

    def _handle(self, _: object, content: dict[str, Any], __: object) -> None:
        """Dismiss a message, or press its button; not guarded, which would clear the others."""
        kind = content.get("kind")
        if kind not in {"dismiss_toast", "press_toast"}:
            return
        number = content["id"]
        action = self._actions.get(number) if kind == "press_toast" else None
        self._keep(lambda one: one["id"] != number)
        if action is not None:
            try:
                action()
            except Exception as error:
                self.error(error)
                log.exception("the action of a message failed")


def _say(error: BaseException) -> tuple[str, str]:
    """Return an error in the panel's words, and in its own."""
    if type(error) is errors.InvalidValueError:
        what = ARGUMENTS.get(error.what, error.what.replace("_", " "))
        return f"Choose another {what}", str(error)
    for kind, words in SAID:
        if isinstance(error, kind):
            return words, str(error)
    return "Something went wrong", f"{type(error).__name__}: {error}"
