// A notice that the kernel has ended.

import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @param {{ model: import("./dom.js").Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-kernel");
  const text = h("p");
  // An alert is announced when its text comes, so it is there before.
  const notice = h("div", { class: "sega-kernel-notice", role: "alert" });
  el.append(notice);
  // Jupyter tells models that their kernel is gone, and marks their views.
  const update = () => {
    const ended = el.closest(".jupyter-widgets-disconnected") !== null;
    if (ended === notice.childElementCount > 0) return;
    const kept = model.get("kept");
    text.textContent = `The kernel has ended. Run the cell again to go on${kept ? `; your work is kept in ${kept}.` : "."}`;
    notice.replaceChildren(...(ended ? [icon("warning"), text] : []));
  };
  const changed = () => queueMicrotask(update);
  const events = /** @type {any} */ (model);
  events.on("comm_live_update", changed);
  signal.addEventListener("abort", () => events.off("comm_live_update", changed));
  hideKept(model.get("key"), signal);
}

/**
 * Hide what stands in the panel's place where the panel cannot be shown; it is shown again later.
 *
 * @param {string} key
 * @param {AbortSignal} signal
 */
function hideKept(key, signal) {
  if (!key) return;
  const rule = h(
    "style",
    {},
    `[data-sega-kept="${CSS.escape(key)}"] { display: none !important; }`,
  );
  document.head.append(rule);
  signal.addEventListener("abort", () => rule.remove());
}

export default { render };
