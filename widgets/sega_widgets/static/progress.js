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
    { class: "sega-progress-bar", role: "progressbar", "aria-label": "Rendering", "aria-valuemin": "0", "aria-valuemax": "100" },
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
    setAttribute(bar, "aria-valuenow", busy && fraction !== null && Math.round(fraction * 100));
    bar.inert = !busy;
    show(cancel, busy);
    show(again, state === "stopped");
  });
  follow(model, ["marks"], signal, () => {
    const places = /** @type {number[]} */ (model.get("marks"));
    marks.replaceChildren(
      ...places.map((one) => h("div", { class: "sega-progress-mark", style: `left: ${one * 100}%` })),
    );
  });
  follow(model, ["state", "text"], signal, () => {
    text.textContent = model.get("text");
    text.title = model.get("text");
    announce(model.get("state"), model.get("text"));
  });
  signal.addEventListener("abort", () => announce("idle", ""));

  /**
   * Show or hide a button; the focus of a hidden one goes to the button in its place.
   *
   * @param {HTMLButtonElement} one
   * @param {boolean} shown
   */
  function show(one, shown) {
    if (one.hidden === !shown) return;
    const focused = one.matches(":focus");
    one.hidden = !shown;
    if (focused) line.focus();
    else if (shown && line.matches(":focus")) one.focus();
  }
}

export default { render };
