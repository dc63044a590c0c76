"""What stock widgets lack for keys, clicks and screen readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywidget import AnyWidget

PANEL = "sega-panel"
"""CSS class of the widget that keys and names are for; `Access` stands somewhere inside it."""

CHOICE = "sega-choice"
"""CSS class of a box with a picture and a button: a click on the picture presses the button."""

PICTURE = "sega-picture"
CAPTION = "sega-caption"
"""CSS classes of a box with pictures, and of what in it describes them in its tooltip."""

FORM = "sega-form"
"""CSS class of a box with fields and a button: Enter in a field presses the first button."""

_ESM = f"""
function render({{ model, el }}) {{
  const panel = () => el.closest(".{PANEL}");
  // Focus is lost to the page itself when what has it goes away, as undo lets a slider.
  let inside = false;
  const enter = (event) => {{ inside = panel()?.contains(event.target) ?? false; }};

  function key(event) {{
    const field = event.key === "Enter" && event.target.closest(".{FORM} input");
    // Once the field has told its value.
    if (field) setTimeout(() => field.closest(".{FORM}").querySelector("button").click());
    const undo = (event.ctrlKey || event.metaKey) && !event.altKey && /^z$/i.test(event.key);
    const target = event.target;
    if (!undo || !inside || !(target === document.body || panel()?.contains(target))) return;
    // What is being typed has an undo of its own.
    if (target.isContentEditable || (target.matches("input, textarea") && target.value
        && target.type !== "range" && target.type !== "checkbox")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    model.send({{ step: event.shiftKey ? "redo" : "undo" }});
  }}
  function press(event) {{
    if (event.target.tagName !== "IMG" || !panel()?.contains(event.target)) return;
    event.target.closest(".{CHOICE}")?.querySelector("button")?.click();
  }}
  // Sliders and pictures of ipywidgets have no name that a screen reader could tell, and JupyterLab
  // has a use of its own for the arrow keys that move a slider.
  function name() {{
    for (const image of panel()?.querySelectorAll("img.widget-image") ?? []) {{
      const told = image.closest(".{CHOICE}")?.querySelector("button")
        ?? image.closest(".{PICTURE}")?.querySelector(".{CAPTION}");
      if (told) image.alt = told.title;
    }}
    for (const part of panel()?.querySelectorAll(".noUi-handle, .widget-readout") ?? []) {{
      const label = part.closest(".widget-inline-hbox")?.querySelector(".widget-label");
      if (label) part.setAttribute("aria-label", label.title || label.textContent);
      part.dataset.lmSuppressShortcuts = "true";
    }}
  }}
  const changes = new MutationObserver(name);
  function watch() {{
    if (!panel()) return void requestAnimationFrame(watch);
    panel().tabIndex = -1;  // So that a click on a picture gives the panel the focus.
    const titles = {{ attributes: true, attributeFilter: ["title"] }};
    changes.observe(panel(), {{ childList: true, subtree: true, ...titles }});
    name();
  }}
  requestAnimationFrame(watch);
  // Before the page's own shortcuts, which would undo in the notebook.
  const listeners = {{ keydown: key, focusin: enter, pointerdown: enter, click: press }};
  for (const kind in listeners) window.addEventListener(kind, listeners[kind], true);
  return () => {{
    changes.disconnect();
    for (const kind in listeners) window.removeEventListener(kind, listeners[kind], true);
  }};
}}
export default {{ render }};
"""

_CSS = f"""
.{PANEL}:focus {{ outline: none; }}
.{CHOICE} img {{ cursor: pointer; }}
.{CHOICE}.widget-hbox button {{ text-align: left; padding: 0 0.8em; }}
"""


class Access(AnyWidget):
    """Undo by Ctrl+Z and redo by Ctrl+Shift+Z, Enter, clicks on pictures, names of sliders.

    It shows nothing, and a front end that cannot run it leaves the rest of a panel as it is.

    Args:
        undo, redo: called when the keys are pressed while the panel has the focus.
    """

    _esm = _ESM
    _css = _CSS

    def __init__(self, undo: Callable[[], object], redo: Callable[[], object]) -> None:
        super().__init__()
        self._steps = {"undo": undo, "redo": redo}
        self.on_msg(self._pressed)

    def _pressed(self, _: object, content: Any, __: object) -> None:
        self._steps[content["step"]]()
