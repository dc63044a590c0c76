"""The keys of a panel, and the sheet that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict

from .front_end import script, style

PANEL = "sega-panel"
"""The CSS class of the widget that the keys are for; it contains the `Keys`."""

SHORTCUTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "Everywhere": {
            "Undo": "Mod+Z",
            "Redo": "Mod+Shift+Z or Ctrl+Y",
            "Save": "Mod+S",
            "Show these keys": "?",
        },
        "Image": {
            "Hold to see the original": "O",
            "Larger, smaller": "+ or -",
            "Fit the image": "0",
            "Pixels or smooth": "P",
            "Full screen": "F",
            "Flip the comparison": "X",
        },
        "Sliders": {
            "One step": "← or →",
            "A fine step": "Shift+← or Shift+→",
            "A large step": "Page Up or Page Down",
            "Back to the start": "Double-click",
        },
        "Mask": {
            "Smaller or larger brush": "[ or ]",
            "Brush, eraser, box": "B or E or M",
            "Erase while held": "Alt",
        },
        "History": {
            "Another entry": "↑ or ↓",
            "Go to the entry": "Enter",
            "Fold or unfold a fork": "← or →",
            "Name or rename a branch": "F2",
            "Compare with the entry": "P",
        },
    }
)
"""What the sheet lists: groups, and in each what a key does, with the keys for it.

"+" joins keys, " or " separates choices, and Mod is Ctrl, or Command on a Mac.
"""


class Keys(AnyWidget):
    """A button that opens the list of keys, and the keys of the panel around it.

    The keys work while the last focus or press was inside the panel. A text field that has text
    keeps its own undo and redo.

    Args:
        step: called with "undo", "redo" or "save" when their keys are pressed.
        shortcuts: what the sheet lists; see `SHORTCUTS`.
    """

    _esm = script("keys")
    _css = style("panel", "keys")

    shortcuts = Dict().tag(sync=True)

    def __init__(
        self,
        step: Callable[[str], object],
        shortcuts: Mapping[str, Mapping[str, str]] = SHORTCUTS,
    ) -> None:
        super().__init__(shortcuts={group: dict(keys) for group, keys in shortcuts.items()})
        self._step = step
        self.on_msg(self._handle)

    def _handle(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("kind") == "step":
            self._step(content["name"])
