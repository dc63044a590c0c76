// The messages of a panel.

import { showToasts } from "./toasts.js";

/** @param {{ model: import("./dom.js").Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-messages");
  showToasts(model, el, signal);
}

export default { render };
