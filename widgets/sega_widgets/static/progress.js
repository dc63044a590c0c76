// The progress line below the image.

import { button } from "./controls.js";
import { follow, h, send, setAttribute } from "./dom.js";

/** @typedef {import("./dom.js").Model} Model */

const PATIENCE = 1000;

/**
 * Return a function that tells screen readers when a long render begins and ends.
 *
 * Short ones and each step of long ones are left out: nobody could listen to them.
 *
 * @param {(text: string) => void} say
 * @returns {(state: string, text: string) => void} called with every change
 */
export function announcer(say) {
  /** @type {ReturnType<typeof setTimeout> | null} */
  let timer = null;
  let told = false;
  const forget = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
  };
  return (state, text) => {
    if (state === "busy") {
      timer ??= setTimeout(() => {
        told = true;
        say("Rendering");
      }, PATIENCE);
      return;
    }
    forget();
    if (told || state === "stopped") say(state === "further" ? "Exact" : text);
    told = false;
  };
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-progress");
  const fill = h("div", { class: "sega-progress-fill" });
  const marks = h("div", {});
  const bar = h(
    "div",
    {
      class: "sega-progress-bar",
      role: "progressbar",
      "aria-label": "Rendering",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    },
    fill,
    marks,
  );
  const text = h("span", { class: "sega-progress-text sega-number" });
  const cancel = button({
    label: "Cancel",
    icon: "stop",
    title: "Stop rendering; your edits stay",
    click: () => send(model, "cancel"),
  });
  const again = button({
    label: "Render",
    icon: "play",
    kind: "primary",
    title: "Render the image of your edits",
    click: () => send(model, "render"),
  });
  const line = h("div", { class: "sega-progress-line", tabIndex: -1 }, text, cancel, again);
  const status = h("div", { class: "sega-visually-hidden", role: "status" });
  el.append(bar, line, status);

  const announce = announcer((words) => {
    status.textContent = words;
  });
  let before = 0;
  follow(model, ["fraction", "state"], signal, () => {
    const fraction = /** @type {number | null} */ (model.get("fraction"));
    const state = model.get("state");
    const busy = state === "busy" || state === "further";
    // The bar grows smoothly, and begins anew at once.
    fill.style.transitionDuration = fraction === null || fraction < before ? "0s" : "";
    before = fraction ?? 0;
    fill.style.setProperty("--sega-fraction", `${busy ? (fraction ?? 1) : 0}`);
    el.dataset.state = state;
    fill.classList.toggle("sega-progress-unknown", busy && fraction === null);
    const percent = busy && fraction !== null ? Math.round(fraction * 100) : null;
    setAttribute(bar, "aria-valuenow", percent);
    setAttribute(bar, "aria-hidden", busy ? null : "true");
    offer(busy ? cancel : state === "stopped" ? again : null);
  });
  follow(model, ["marks"], signal, () => {
    const places = /** @type {number[]} */ (model.get("marks"));
    const mark = (/** @type {number} */ one) =>
      h("div", { class: "sega-progress-mark", style: `left: ${one * 100}%` });
    marks.replaceChildren(...places.map(mark));
  });
  follow(model, ["state", "text"], signal, () => {
    const words = /** @type {string} */ (model.get("text"));
    const [first, ...others] = words.split(" · ");
    text.replaceChildren(h("strong", {}, first), ...others.map((one) => ` · ${one}`));
    text.title = words;
    announce(model.get("state"), words);
  });
  signal.addEventListener("abort", () => announce("idle", ""));

  /**
   * Show one of the buttons, or none. The focus stays at their place.
   *
   * @param {HTMLButtonElement | null} shown
   */
  function offer(shown) {
    const focused = [cancel, again, line].some((one) => one.matches(":focus"));
    for (const one of [cancel, again]) one.hidden = one !== shown;
    if (focused) (shown ?? line).focus({ preventScroll: true });
  }
}

export default { render };
