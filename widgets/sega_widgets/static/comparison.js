// The handle between two images on top of each other, and their labels.

import { h, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Return a handle over two images, moved by mouse, touch and keys, and the labels of both.
 *
 * The handle is a range input, which has arrow keys, Home, End, focus and what screen readers need.
 *
 * @param {(position: number) => void} move called with the new position, from 0 to 1
 * @param {AbortSignal} signal
 */
export function createDivider(move, signal) {
  const range = h("input", {
    type: "range",
    min: "0",
    max: "1",
    step: "0.01",
    // JupyterLab uses the arrow keys itself unless the focused element asks it not to.
    "data-lm-suppress-shortcuts": "true",
    oninput: () => move(range.valueAsNumber),
  });
  const knob = h("div", { class: "sega-divider-knob" }, icon("swap"));
  const grip = h("div", { class: "sega-divider-grip" }, knob);
  const before = h("span", { class: "sega-chip sega-divider-before" });
  const after = h("span", { class: "sega-chip sega-divider-after" });
  const element = h("div", { class: "sega-divider" }, range, grip, before, after);

  /** @param {PointerEvent} event */
  const follow = (event) => {
    const box = element.getBoundingClientRect();
    move(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  };

  /**
   * Move the handle while an element is dragged.
   *
   * @param {HTMLElement} target
   * @param {() => boolean} [allowed]
   */
  function drag(target, allowed = () => true) {
    let dragging = false;
    /** @param {PointerEvent} event */
    const begin = (event) => {
      const control = /** @type {Element} */ (event.target).closest("button, select");
      if (event.button || !event.isPrimary || control || !allowed()) return;
      event.stopPropagation();
      dragging = true;
      target.setPointerCapture(event.pointerId);
      follow(event);
    };
    target.addEventListener("pointerdown", begin, { signal });
    target.addEventListener("pointermove", (event) => dragging && follow(event), { signal });
    const end = () => {
      dragging = false;
    };
    for (const one of ["pointerup", "pointercancel"]) target.addEventListener(one, end, { signal });
  }
  drag(grip);

  /**
   * Show a position and the two labels.
   *
   * @param {number} position
   * @param {string} left
   * @param {string} right
   */
  function show(position, left, right) {
    range.value = `${position}`;
    element.style.setProperty("--sega-position", `${position * 100}%`);
    before.textContent = before.title = left;
    after.textContent = after.title = right;
    before.classList.toggle("sega-faded", position < 0.1);
    after.classList.toggle("sega-faded", position > 0.9);
    setAttribute(range, "aria-label", `${left} or ${right}`);
    setAttribute(range, "aria-valuetext", `${Math.round(position * 100)}% ${left}`);
  }

  return { element, drag, show };
}
