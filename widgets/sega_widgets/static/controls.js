// Buttons and menus that all parts use.

import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("./icons.js").IconName} IconName */

/**
 * Return a button with an icon and a label, or with an icon alone, whose label is its tooltip.
 *
 * @param {object} options
 * @param {string} options.label the text; read by screen readers where it is not shown
 * @param {IconName} [options.icon]
 * @param {boolean} [options.bare] true: only the icon is shown
 * @param {string} [options.title] the tooltip; the label where only the icon is shown
 * @param {string} [options.kind] "primary", "danger" or none
 * @param {boolean} [options.pressed] for a button that stays pressed
 * @param {(event: MouseEvent) => void} options.click
 * @returns {HTMLButtonElement}
 */
export function button({ label, icon: name, bare = false, title, kind, pressed, click }) {
  const classes = ["sega-button", kind && `sega-${kind}`, bare && "sega-bare"]
    .filter(Boolean)
    .join(" ");
  return h(
    "button",
    {
      type: "button",
      class: classes,
      title: title ?? (bare ? label : ""),
      "aria-label": bare ? label : null,
      "aria-pressed": pressed,
      onclick: click,
    },
    name && icon(name),
    !bare && h("span", {}, label),
  );
}

/**
 * Set whether a button is pressed, for its look and for screen readers.
 *
 * @param {HTMLButtonElement} element
 * @param {boolean} pressed
 */
export function press(element, pressed) {
  setAttribute(element, "aria-pressed", pressed);
}

/**
 * Return a button and the box that it opens below itself, on top of what is there.
 *
 * A click elsewhere, Escape, or leaving it by Tab closes it; nothing around it moves.
 *
 * @param {HTMLButtonElement} opener
 * @param {HTMLElement} content
 * @param {string} label
 * @returns {{ element: HTMLElement, close: () => void }}
 */
export function popover(opener, content, label) {
  const box = h(
    "div",
    { class: "sega-popover", role: "dialog", "aria-label": label, hidden: true },
    content,
  );
  const element = h("div", { class: "sega-popover-place" }, opener, box);
  const close = () => {
    box.hidden = true;
    setAttribute(opener, "aria-expanded", false);
  };
  setAttribute(opener, "aria-expanded", false);
  setAttribute(opener, "aria-haspopup", "dialog");
  opener.addEventListener("click", () => {
    box.hidden = !box.hidden;
    setAttribute(opener, "aria-expanded", !box.hidden);
    if (!box.hidden) {
      const first = /** @type {HTMLElement | null} */ (
        box.querySelector("input, button, select, textarea")
      );
      first?.focus();
    }
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || box.hidden) return;
    event.stopPropagation();
    close();
    opener.focus();
  });
  element.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !element.contains(/** @type {Node} */ (event.relatedTarget)))
      close();
  });
  // A press elsewhere moves the focus to nothing, which `focusout` does not tell from a page's.
  const pressed = (/** @type {PointerEvent} */ event) => {
    if (!element.isConnected) document.removeEventListener("pointerdown", pressed, true);
    else if (!event.composedPath().includes(element)) close();
  };
  document.addEventListener("pointerdown", pressed, true);
  return { element, close };
}
