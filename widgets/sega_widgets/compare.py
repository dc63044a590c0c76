"""Two pictures, one over the other, and a handle between them."""

from __future__ import annotations

from anywidget import AnyWidget
from traitlets import Bytes, Float, Unicode

# The handle is a plain range input: the arrow keys, Home and End, focus and screen readers
# come with it.
_ESM = """
function render({ model, el }) {
  el.classList.add("sega-compare");
  el.innerHTML = `
    <div class="sega-pictures">
      <img class="sega-before"><img class="sega-after"><div class="sega-line"></div>
    </div>
    <input type="range" min="0" max="1" step="0.01">
    <div class="sega-labels"><span></span><span></span></div>`;
  const [before, after] = el.querySelectorAll("img");
  const [left, right] = el.querySelectorAll("span");
  const pictures = el.querySelector(".sega-pictures");
  const handle = el.querySelector("input");
  // JupyterLab has a use of its own for arrow keys, and looks at the focused element first.
  handle.dataset.lmSuppressShortcuts = "true";

  function load(image, name) {
    const url = URL.createObjectURL(new Blob([model.get(name)], { type: "image/png" }));
    const old = image.src;
    image.src = url;
    if (old) URL.revokeObjectURL(old);
  }
  function words() {
    left.textContent = before.alt = model.get("before_label");
    right.textContent = after.alt = model.get("after_label");
    handle.setAttribute("aria-label", `${left.textContent} or ${right.textContent}`);
    handle.title = "Drag, or use the arrow keys: how much is shown of each picture";
  }
  function place() {
    const position = model.get("position");
    handle.value = position;
    handle.setAttribute("aria-valuetext", `${Math.round(position * 100)} % ${left.textContent}`);
    el.style.setProperty("--sega-position", `${position * 100}%`);
  }
  function move(position) {
    model.set("position", Math.min(1, Math.max(0, position)));
    model.save_changes();
  }
  function point(event) {
    if (event.buttons & 1) {
      const box = pictures.getBoundingClientRect();
      move((event.clientX - box.left) / box.width);
    }
  }
  const loadBefore = () => load(before, "before");
  const loadAfter = () => load(after, "after");
  handle.addEventListener("input", () => move(handle.valueAsNumber));
  pictures.addEventListener("pointerdown", (event) => {
    pictures.setPointerCapture(event.pointerId);
    point(event);
  });
  pictures.addEventListener("pointermove", point);
  model.on("change:before", loadBefore);
  model.on("change:after", loadAfter);
  model.on("change:before_label change:after_label", words);
  model.on("change:position", place);
  loadBefore();
  loadAfter();
  words();
  place();
  return () => {
    model.off("change:before", loadBefore);
    model.off("change:after", loadAfter);
    model.off("change:before_label change:after_label", words);
    model.off("change:position", place);
    for (const image of [before, after]) URL.revokeObjectURL(image.src);
  };
}
export default { render };
"""

# JupyterLab's colours where it sets them; elsewhere the page's own text colour fits its theme.
_CSS = """
.sega-compare { color: var(--jp-ui-font-color1, inherit); max-width: 100%; }
.sega-compare .sega-pictures {
  position: relative; cursor: ew-resize; touch-action: none; user-select: none;
}
.sega-compare img { display: block; width: 100%; pointer-events: none; }
.sega-compare .sega-after {
  position: absolute; inset: 0; clip-path: inset(0 0 0 var(--sega-position));
}
.sega-compare .sega-line {
  position: absolute; inset: 0 auto 0 var(--sega-position); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 2px 1px rgba(0, 0, 0, 0.6); pointer-events: none;
}
.sega-compare input { width: 100%; margin: 4px 0; accent-color: var(--jp-brand-color1, #0072b2); }
.sega-compare .sega-labels { display: flex; justify-content: space-between; gap: 1em; }
"""


class CompareView(AnyWidget):
    """Compares two pictures: drag the handle, or move it with the arrow keys.

    Attributes:
        before, after: the pictures, as the bytes of PNG files.
        before_label, after_label: what they are, shown below them and read to who cannot see.
        position: where the handle is, from 0 (all of ``after``) to 1 (all of ``before``).
    """

    _esm = _ESM
    _css = _CSS

    before = Bytes().tag(sync=True)
    after = Bytes().tag(sync=True)
    before_label = Unicode("before").tag(sync=True)
    after_label = Unicode("after").tag(sync=True)
    position = Float(0.5, min=0.0, max=1.0).tag(sync=True)
