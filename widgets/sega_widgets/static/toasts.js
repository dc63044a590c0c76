// Messages near the lower end of the panel: notes leave, errors stay.

import { button } from "./controls.js";
import { follow, h, reconcile, send } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {import("./icons.js").IconName} IconName
 * @typedef {{ id: number, kind: string, text: string, detail: string, label: string }} Toast
 */

/** @type {Record<string, IconName>} */
const ICONS = { note: "check", offer: "check", warning: "warning", error: "warning" };

/**
 * Return the milliseconds that a message stays; null: until it is dismissed.
 *
 * @param {string} kind
 * @returns {number | null}
 */
export function patience(kind) {
  return { note: 6000, offer: 10000 }[kind] ?? null;
}

/**
 * Call a function after a time in which neither the pointer nor the focus was in an element.
 *
 * @param {HTMLElement} element
 * @param {number} milliseconds
 * @param {() => void} call not called once the element has left the page
 */
function whenLeftAlone(element, milliseconds, call) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const stop = () => clearTimeout(timer);
  const start = () => {
    stop();
    timer = setTimeout(() => {
      if (!element.isConnected) return;
      if (element.matches(":hover, :focus-within")) start();
      else call();
    }, milliseconds);
  };
  element.addEventListener("pointerenter", stop);
  element.addEventListener("focusin", stop);
  element.addEventListener("pointerleave", start);
  element.addEventListener("focusout", start);
  start();
}

/**
 * Show the messages of the trait `toasts` at the end of an element.
 *
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {AbortSignal} signal
 */
export function showToasts(model, el, signal) {
  // A live region is announced only if it was there before its text.
  const alerts = h("div", { class: "sega-toasts-live", role: "alert", "aria-atomic": "false" });
  const notes = h("div", { class: "sega-toasts-live", role: "status", "aria-atomic": "false" });
  const stack = h("div", { class: "sega-toasts-stack" }, alerts, notes);
  const place = h("div", { class: "sega-toasts" }, stack);
  el.append(place);

  // Messages lie upon the panel; alone on a page there is nothing to lie upon.
  const observer = new ResizeObserver(() => {
    place.classList.remove("sega-toasts-alone");
    const around = /** @type {HTMLElement | null} */ (
      el.closest(".sega-panel") ?? el.parentElement
    );
    const alone = (around?.offsetHeight ?? 0) < stack.offsetHeight;
    place.classList.toggle("sega-toasts-alone", alone);
  });
  observer.observe(stack);
  signal.addEventListener("abort", () => observer.disconnect());

  /** @type {Set<number>} */
  const gone = new Set();
  /** @param {Toast} toast @param {string} kind */
  const leave = ({ id }, kind) => {
    // It leaves the page at once, even if the kernel is busy.
    gone.add(id);
    update();
    send(model, kind, { id });
  };

  /** @param {Toast} toast */
  const create = (toast) => {
    const { kind, text, detail, label } = toast;
    const dismiss = () => leave(toast, "dismiss_toast");
    const element = h(
      "div",
      { class: `sega-toast sega-toast-${kind}` },
      icon(ICONS[kind] ?? "warning"),
      h(
        "div",
        { class: "sega-toast-text" },
        h("p", { class: "sega-toast-title" }, text),
        detail && h("p", { class: "sega-toast-detail" }, detail),
      ),
      label && button({ label, click: () => leave(toast, "press_toast") }),
      button({ label: "Dismiss", icon: "close", bare: true, click: dismiss }),
    );
    const time = patience(kind);
    if (time !== null) whenLeftAlone(element, time, dismiss);
    return element;
  };

  const update = () => {
    /** @type {Toast[]} */
    const toasts = model.get("toasts").filter((/** @type {Toast} */ one) => !gone.has(one.id));
    const isError = (/** @type {Toast} */ one) => one.kind === "error";
    for (const [region, shown] of /** @type {[HTMLElement, Toast[]][]} */ ([
      [alerts, toasts.filter(isError)],
      [notes, toasts.filter((one) => !isError(one))],
    ])) {
      reconcile(
        region,
        shown,
        (one) => `${one.id}`,
        create,
        () => {},
      );
    }
  };
  follow(model, ["toasts"], signal, update);
}
