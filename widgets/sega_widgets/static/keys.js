// The keys of the panel around this part, and the sheet that lists them.

import { button } from "./controls.js";
import { h, send } from "./dom.js";

/** @typedef {import("./dom.js").Model} Model */

/** The CSS class of the panel, as in keys.py. */
const PANEL = ".sega-panel";

/** Parts that have steps of their own, such as strokes, and therefore keys of their own for them. */
const OWN_UNDO = "[data-sega-own-undo]";

const TEXTLESS = new Set([
  "button",
  "checkbox",
  "color",
  "file",
  "radio",
  "range",
  "reset",
  "submit",
]);

const MAC = { Mod: "⌘", Ctrl: "⌃", Shift: "⇧", Alt: "⌥" };
const OTHERS = { Mod: "Ctrl" };

/**
 * Return what a key asks for, or null.
 *
 * @param {{ key: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean }} event
 * @returns {"undo" | "redo" | "save" | "help" | null}
 */
export function meaning({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const letter = key.toLowerCase();
  if (key === "?" && !ctrlKey && !metaKey && !altKey) return "help";
  if (altKey || !(ctrlKey || metaKey)) return null;
  if (letter === "z") return shiftKey ? "redo" : "undo";
  // Command and Y is the browser's own on a Mac.
  if (letter === "y" && !metaKey && !shiftKey) return "redo";
  return letter === "s" && !shiftKey ? "save" : null;
}

/**
 * Return the choices of a text such as "Mod+Shift+Z or Ctrl+Y", each the names of its keys.
 *
 * @param {string} text
 * @param {boolean} mac
 * @returns {string[][]}
 */
export function readKeys(text, mac) {
  /** @type {Record<string, string>} */
  const names = mac ? MAC : OTHERS;
  return text
    .split(" or ")
    .map((one) => (one === "+" ? [one] : one.split("+").map((key) => names[key] ?? key)));
}

/**
 * Return whether an element takes typed text.
 *
 * @param {Element} element
 */
function isField(element) {
  if (element.matches("textarea") || /** @type {HTMLElement} */ (element).isContentEditable)
    return true;
  return element.matches("input") && !TEXTLESS.has(/** @type {HTMLInputElement} */ (element).type);
}

/**
 * Return the sheet that lists keys.
 *
 * @param {Record<string, Record<string, string>>} shortcuts
 * @returns {HTMLDialogElement}
 */
function createSheet(shortcuts) {
  const mac = navigator.platform.startsWith("Mac");
  const choice = (/** @type {string[]} */ keys) =>
    h("span", { class: "sega-keys-choice" }, ...keys.map((one) => h("kbd", {}, one)));
  const item = ([what, keys] = ["", ""]) =>
    h(
      "div",
      { class: "sega-keys-item" },
      h("dt", {}, what),
      h("dd", {}, ...readKeys(keys, mac).map(choice)),
    );
  const groups = Object.entries(shortcuts).map(([title, keys]) =>
    h("section", {}, h("h3", {}, title), h("dl", {}, ...Object.entries(keys).map(item))),
  );
  const sheet = h("dialog", { class: "sega-keys-sheet", "aria-label": "Keys" });
  sheet.append(
    h(
      "header",
      { class: "sega-keys-head" },
      h("h2", {}, "Keys"),
      button({ label: "Close", icon: "close", bare: true, click: () => sheet.close() }),
    ),
    h("div", { class: "sega-keys-groups" }, ...groups),
  );
  // A press beside the sheet is a press on the dialog itself.
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet) sheet.close();
  });
  return sheet;
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-keys");
  const sheet = createSheet(model.get("shortcuts"));
  const open = () => sheet.showModal();
  el.append(button({ label: "Keys (?)", icon: "keyboard", bare: true, click: open }), sheet);
  /** @returns {HTMLElement | null} */
  const panel = () => el.closest(PANEL);

  // Whether the last focus or press was inside the panel. The page itself gets the focus when the
  // focused control is removed, for example when undo removes a slider.
  let inside = false;
  /** @param {Event} event */
  const noteFocus = (event) => {
    inside = panel()?.contains(/** @type {Node} */ (event.target)) ?? false;
  };

  // The field with text that the user typed since the last Enter.
  /** @type {EventTarget | null} */
  let typed = null;
  /** @param {Event} event */
  const noteInput = (event) => {
    typed = event.target;
  };

  /**
   * Return whether a key belongs to the element that has the focus, not to the panel.
   *
   * @param {HTMLElement} target
   * @param {string} step
   */
  const isItsOwn = (target, step) => {
    if (step === "save") return false;
    if (step === "help") return isField(target);
    if (target.closest(OWN_UNDO)) return true;
    const field = /** @type {HTMLInputElement} */ (target);
    return isField(target) && (field.isContentEditable || field.value !== "" || target === typed);
  };

  /** @param {KeyboardEvent} event */
  const handleKey = (event) => {
    if (event.key === "Enter") typed = null;
    const step = meaning(event);
    const target = /** @type {HTMLElement} */ (event.target);
    if (!step || !inside || event.isComposing) return;
    if (target !== document.body && !panel()?.contains(target)) return;
    if (isItsOwn(target, step)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (panel()?.querySelector("dialog[open]")) return;
    if (step === "help") return open();
    if (step === "save" && event.repeat) return;
    if (step === "save" && isField(target)) {
      // A field sends its text when it loses the focus, which must come before saving.
      target.blur();
      target.focus();
    }
    send(model, "step", { name: step });
  };

  // Where the page has keys of its own, they must not act on it while the panel has the focus:
  // in JupyterLab, X cuts the cell. A click on an image gives the panel itself the focus.
  const prepare = () => {
    const found = panel();
    if (!found) {
      if (!signal.aborted && !el.isConnected) requestAnimationFrame(prepare);
      return;
    }
    found.tabIndex = -1;
    found.dataset.lmSuppressShortcuts = "true";
  };
  prepare();

  // The capture phase comes before the page's own keys, which would undo in the notebook.
  const options = { capture: true, signal };
  window.addEventListener("keydown", handleKey, options);
  window.addEventListener("input", noteInput, options);
  window.addEventListener("focusin", noteFocus, options);
  window.addEventListener("pointerdown", noteFocus, options);
}

export default { render };
