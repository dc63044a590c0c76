"""What stock widgets lack for keys, clicks and screen readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anywidget import AnyWidget
from traitlets import Dict

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

  // The field that a person typed in last, until Enter.
  let typed = null;
  const type = (event) => {{ typed = event.target; }};

  function enterPressed(event) {{
    typed = null;
    const form = event.target.closest?.(".{FORM}");
    if (!form || !panel()?.contains(form) || event.target.tagName !== "INPUT") return;
    // Once the field has told its value; and once, however long the key is held.
    if (!event.repeat && !event.isComposing) setTimeout(() => form.querySelector("button").click());
  }}
  function key(event) {{
    if (event.key === "Enter") enterPressed(event);
    const undo = (event.ctrlKey || event.metaKey) && !event.altKey && /^z$/i.test(event.key);
    const target = event.target;
    if (!undo || !inside || !(target === document.body || panel()?.contains(target))) return;
    // What is being typed has an undo of its own.
    const field = target.matches("input, textarea") && !["range", "checkbox"].includes(target.type);
    if (target.isContentEditable || (field && (target.value || target === typed))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    model.send({{ step: event.shiftKey ? "redo" : "undo" }});
  }}
  function press(event) {{
    if (event.target.tagName !== "IMG" || !panel()?.contains(event.target)) return;
    event.target.closest(".{CHOICE}")?.querySelector("button")?.click();
  }}
  // What a screen reader could not tell of ipywidgets' controls: names, numbers, what is pressed.
  // And JupyterLab has a use of its own for the arrow keys that move a slider.
  function name() {{
    const all = (selector) => panel()?.querySelectorAll(selector) ?? [];
    // What is set to the same value counts as a change, too, and would call this again.
    const set = (part, key, value) => {{
      if (part.getAttribute(key) !== `${{value}}`) part.setAttribute(key, value);
    }};
    for (const image of all("img.widget-image")) {{
      const told = image.closest(".{CHOICE}")?.querySelector("button")
        ?? image.closest(".{PICTURE}")?.querySelector(".{CAPTION}");
      if (told) set(image, "alt", told.title);
    }}
    for (const slider of all(".widget-slider")) {{
      const [label, handle, number] = [".widget-label", ".noUi-handle", ".widget-readout"].map(
        (part) => slider.querySelector(part)
      );
      if (!label || !handle || !number) continue;
      set(handle, "aria-label", label.title);
      set(handle, "aria-valuetext", number.textContent);
      set(number, "aria-label", `${{label.textContent}}, as a number`);
      for (const part of [handle, number]) part.dataset.lmSuppressShortcuts = "true";
    }}
    for (const box of all(".widget-checkbox input")) {{
      const of = box.closest(".widget-hbox")?.querySelector(".widget-slider .widget-label");
      if (of) set(box, "aria-label", `${{of.textContent}} on`);
    }}
    for (const field of all(".widget-inline-hbox > input, .widget-inline-hbox > select")) {{
      const label = field.parentElement.querySelector(".widget-label");
      if (label) set(field, "title", label.title || model.get("tips")[label.textContent] || "");
    }}
    for (const button of all(".widget-toggle-button, .widget-toggle-buttons button")) {{
      set(button, "aria-pressed", button.classList.contains("mod-active"));
    }}
  }}
  const changes = new MutationObserver(name);
  let gone = false;
  function watch() {{
    if (gone) return;
    if (!panel()) return void requestAnimationFrame(watch);
    panel().tabIndex = -1;  // So that a click on a picture gives the panel the focus.
    const told = {{ attributes: true, attributeFilter: ["title", "class"] }};
    changes.observe(panel(), {{ childList: true, subtree: true, ...told }});
    name();
  }}
  requestAnimationFrame(watch);
  model.on("change:tips", name);
  // Before the page's own shortcuts, which would undo in the notebook.
  const listeners = {{
    keydown: key, input: type, focusin: enter, pointerdown: enter, click: press
  }};
  for (const kind in listeners) window.addEventListener(kind, listeners[kind], true);
  return () => {{
    gone = true;
    changes.disconnect();
    model.off("change:tips", name);
    for (const kind in listeners) window.removeEventListener(kind, listeners[kind], true);
  }};
}}
export default {{ render }};
"""

_CSS = f"""
.{PANEL}:focus {{ outline: none; }}
.{PANEL} .widget-checkbox input {{ align-self: center; margin: 0 4px 0 0; }}
.{CHOICE} img {{ cursor: pointer; }}
.{CHOICE}.widget-hbox button {{ text-align: left; padding: 0 0.8em; }}
"""


class Access(AnyWidget):
    """Undo by Ctrl+Z and redo by Ctrl+Shift+Z, Enter, clicks on pictures, names of sliders.

    It shows nothing, and a front end that cannot run it leaves the rest of a panel as it is.

    Args:
        step: called with "undo" or "redo" when its keys are pressed while the panel has the focus.

    Attributes:
        tips: tooltips of fields by their labels; text fields and lists of ipywidgets lose them.
    """

    _esm = _ESM
    _css = _CSS

    tips = Dict().tag(sync=True)

    def __init__(self, step: Callable[[str], object]) -> None:
        super().__init__()
        self._step = step
        self.on_msg(self._pressed)

    def _pressed(self, _: object, content: Any, __: object) -> None:
        self._step(content["step"])
