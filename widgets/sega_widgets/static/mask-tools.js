// The controls of the mask editor that open, and its sliders.

import { button, popover } from "./controls.js";
import { h, setAttribute } from "./dom.js";
import { feathered, grown, shrunk } from "./brush.js";

/**
 * Return a button that opens fields for a box.
 *
 * @param {(sides: [number, number, number, number], erase: boolean) => void} add called with
 *   left, top, right and bottom in fractions of the image
 */
export function boxPopover(add) {
  const inputs = [25, 25, 75, 75].map((value) =>
    h("input", {
      type: "number",
      min: "0",
      max: "100",
      step: "any",
      required: true,
      value: `${value}`,
    }),
  );
  const fields = ["Left", "Top", "Right", "Bottom"].map((label, number) =>
    h("label", { class: "sega-field" }, h("span", {}, `${label}, %`), inputs[number]),
  );
  const use = (/** @type {boolean} */ erase) => {
    if (!inputs.every((one) => one.reportValidity())) return;
    const [left, top, right, bottom] = inputs.map((one) => one.valueAsNumber / 100);
    add([left, top, right, bottom], erase);
  };
  const enter = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) use(false);
  };
  const content = h(
    "div",
    { class: "sega-mask-sides", onkeydown: enter },
    ...fields,
    button({ label: "Erase", click: () => use(true) }),
    button({ label: "Paint", click: () => use(false) }),
  );
  const opener = button({ label: "Give its sides", click: () => {} });
  return popover(opener, content, "A box by its sides").element;
}

/**
 * Return a button that opens the changes of edges.
 *
 * @param {(move: typeof grown, pixels: number) => void} change
 */
export function edgePopover(change) {
  let pixels = 4;
  const amount = slider(
    "By",
    { min: 1, max: 32, step: 1, title: "How many pixels of the image" },
    (value) => {
      pixels = value;
      amount.show(pixels, `${pixels} px`);
    },
  );
  amount.show(pixels, `${pixels} px`);
  const moves = h(
    "div",
    { class: "sega-row" },
    button({
      label: "Grow",
      title: "Reach further to all sides",
      click: () => change(grown, pixels),
    }),
    button({
      label: "Shrink",
      title: "Reach less far to all sides",
      click: () => change(shrunk, pixels),
    }),
    button({ label: "Feather", title: "Soften the edges", click: () => change(feathered, pixels) }),
  );
  const content = h("div", { class: "sega-mask-edges" }, amount.element, moves);
  const opener = button({
    label: "Edges",
    title: "Grow, shrink or feather the mask",
    icon: "smooth",
    click: () => {},
  });
  return popover(opener, content, "Edges of the mask").element;
}

/**
 * Return a slider with its label and its value in words.
 *
 * @param {string} label
 * @param {{ min: number, max: number, step: number, title: string }} range
 * @param {(value: number) => void} moved
 */
export function slider(label, { min, max, step, title }, moved) {
  const input = h("input", {
    type: "range",
    min: `${min}`,
    max: `${max}`,
    step: `${step}`,
    title,
    "aria-label": label,
    oninput: () => moved(input.valueAsNumber),
  });
  const text = h("span", { class: "sega-number sega-mask-value", "aria-hidden": "true" });
  const element = h("label", { class: "sega-mask-slider" }, h("span", {}, label), input, text);
  /** @param {number} value @param {string} words */
  const show = (value, words) => {
    input.value = `${value}`;
    text.textContent = words;
    setAttribute(input, "aria-valuetext", words);
  };
  return { element, show };
}
