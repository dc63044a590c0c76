// An image with a badge on it that says how exact it is; under it, the image to compare it with.

import { h, setAttribute, showImage } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {{ quality: string, label: string, short: string, error: string, tip: string }} Accuracy
 * @typedef {Accuracy & { alt: string }} Caption
 */

/** @type {Caption} */
const NO_CAPTION = { alt: "", quality: "missing", label: "", short: "", error: "", tip: "" };

/** Qualities that need no badge. */
const SILENT = ["exact", "missing"];

/**
 * Return a badge that says how exact an image is.
 *
 * An exact image has none; where it follows another, a check is seen for a moment.
 *
 * @param {boolean} small true: the short words
 */
export function createBadge(small) {
  const text = h("span", { class: "sega-badge-text" });
  const error = h("span", { class: "sega-badge-error sega-number" });
  const check = icon("check");
  const element = h("span", { class: "sega-badge", hidden: true }, check, text, error);
  let quality = "missing";

  /** @param {Accuracy} accuracy */
  function show(accuracy) {
    const refined = accuracy.quality === "exact" && !SILENT.includes(quality);
    const same = accuracy.quality === "exact" && quality === "exact";
    quality = accuracy.quality;
    text.textContent = small ? accuracy.short : accuracy.label;
    error.textContent = small ? "" : accuracy.error;
    setAttribute(element, "title", accuracy.tip);
    setAttribute(element, "data-quality", quality);
    if (!same) element.hidden = SILENT.includes(quality) && !refined;
  }

  return { element, show };
}

/**
 * Return a badge for an image that was made before the last edit.
 *
 * @param {string} label
 */
export function createEarlier(label) {
  const title = "Made before the last edit";
  return h("span", { class: "sega-badge sega-earlier", title, hidden: true }, label);
}

/**
 * Return an image, the one under it, and its badge.
 *
 * @param {AbortSignal} signal
 * @param {boolean} [small]
 */
export function createPicture(signal, small = false) {
  const reference = createImage("sega-picture-reference", signal);
  const image = createImage("sega-picture-image", signal);
  const badge = createBadge(small);
  const element = h("div", { class: "sega-picture" }, reference.element, image.element);

  /**
   * Show an image; none of its arguments if there is none yet.
   *
   * @param {DataView} [bytes]
   * @param {Caption} [caption]
   * @param {DataView} [other] the image to compare with
   * @param {string} [otherAlt]
   */
  function show(bytes, caption = NO_CAPTION, other = undefined, otherAlt = "") {
    image.show(bytes, caption.alt);
    reference.show(other, otherAlt);
    badge.show(caption);
    element.classList.toggle("sega-filled", Boolean(bytes?.byteLength));
  }

  return { element, badge: badge.element, show };
}

/**
 * @param {string} name
 * @param {AbortSignal} signal
 */
function createImage(name, signal) {
  // Decoded at once, so that no frame is empty between two images.
  const element = h("img", { class: name, decoding: "sync", draggable: false, hidden: true });
  /** @type {DataView | undefined} */
  let shown;
  signal.addEventListener("abort", () => showImage(element, null));

  /**
   * @param {DataView | undefined} bytes
   * @param {string} alt
   */
  function show(bytes, alt) {
    if (bytes !== shown) showImage(element, bytes ?? null);
    shown = bytes;
    element.hidden = !bytes?.byteLength;
    setAttribute(element, "alt", alt);
  }

  return { element, show };
}
