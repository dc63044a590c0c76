// The place of a picture: zoom by wheel, pinch and double click, pan by drag.

import { h } from "./dom.js";
import { FIT, boxOf, closeZoom, confine, fitScale, panBy, seenOf, zoomAt } from "./zoom.js";

/**
 * @typedef {import("./zoom.js").Box} Box
 * @typedef {import("./zoom.js").Point} Point
 * @typedef {import("./zoom.js").Size} Size
 */

/** @type {Box} */
const NOWHERE = { x: 0, y: 0, width: 1, height: 1 };
/** The zoom of one press of a button or a key. */
const STEP = 1.5;
/** The pixels of the page that an arrow key moves an image. */
const PAN = 48;
/** The zoom by a turn of the wheel by one pixel, as a logarithm. */
const TURN = 0.0025;

/**
 * Return a place for a picture.
 *
 * @param {object} options
 * @param {HTMLElement} options.content what is zoomed; as large as the image
 * @param {HTMLElement} options.overlay what lies over the part of the image that is seen
 * @param {Size} options.size the image's
 * @param {() => void} options.changed called when the place or the view has changed
 * @param {AbortSignal} options.signal
 */
export function createStage({ content, overlay, size, changed, signal }) {
  const element = h("div", { class: "sega-stage", role: "group", tabIndex: 0 }, content, overlay);
  let view = FIT;
  let enabled = true;
  /** Where the whole image is, and the part of it that is seen. */
  let boxes = { box: NOWHERE, seen: NOWHERE };
  /** @type {Size} */
  let place = { width: 0, height: 0 };
  /** The pointers that are down. @type {Map<number, Point>} */
  const pointers = new Map();

  const middle = () => ({ x: place.width / 2, y: place.height / 2 });
  const zoomed = () => view.zoom > 1.001;
  /** @param {import("./zoom.js").View} next */
  function set(next) {
    view = next;
    if (!place.width || !place.height) return;
    const box = boxOf(view, size, place);
    const seen = seenOf(box, place);
    boxes = { box, seen };
    put(content, box);
    put(overlay, seen);
    element.classList.toggle("sega-zoomed", zoomed());
    changed();
  }
  /**
   * @param {number} factor
   * @param {Point} [point]
   */
  const zoomBy = (factor, point = middle()) => {
    set(zoomAt(view, view.zoom * factor, point, size, place));
  };
  /** @param {Point} by */
  const pan = (by) => set(panBy(view, by, size, place));
  const fit = () => set(FIT);

  /** @param {MouseEvent} event */
  function pointOf(event) {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  /** @param {Event} event */
  function onControl(event) {
    return Boolean(/** @type {Element} */ (event.target).closest("button, select, input"));
  }

  /** @param {WheelEvent} event */
  function onWheel(event) {
    if (!enabled || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    // A pinch on a touchpad comes as small turns, a wheel in steps of about a hundred pixels.
    const turn = Math.max(-150, Math.min(150, event.deltaY)) * (event.deltaMode ? 40 : 1);
    zoomBy(Math.exp(-turn * TURN), pointOf(event));
  }
  /** @param {MouseEvent} event */
  function onDoubleClick(event) {
    if (!enabled || onControl(event)) return;
    if (zoomed()) fit();
    else set(zoomAt(view, closeZoom(size, place), pointOf(event), size, place));
  }
  /** @param {PointerEvent} event */
  function onDown(event) {
    if (!enabled || event.button || onControl(event)) return;
    pointers.set(event.pointerId, pointOf(event));
    if (zoomed() || pointers.size > 1) element.setPointerCapture(event.pointerId);
  }
  /** @param {PointerEvent} event */
  function onMove(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = pointOf(event);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (other) {
      zoomBy(distance(now, other) / Math.max(1, distance(before, other)), {
        x: (now.x + other.x) / 2,
        y: (now.y + other.y) / 2,
      });
      pan({ x: (now.x - before.x) / 2, y: (now.y - before.y) / 2 });
    } else if (zoomed()) {
      element.classList.add("sega-panning");
      pan({ x: now.x - before.x, y: now.y - before.y });
    }
  }
  /** @param {PointerEvent} event */
  function onUp(event) {
    pointers.delete(event.pointerId);
    if (!pointers.size) element.classList.remove("sega-panning");
  }
  element.addEventListener("wheel", onWheel, { signal, passive: false });
  element.addEventListener("dblclick", onDoubleClick, { signal });
  element.addEventListener("pointerdown", onDown, { signal });
  element.addEventListener("pointermove", onMove, { signal });
  for (const one of ["pointerup", "pointercancel", "pointerleave"]) {
    element.addEventListener(one, /** @type {EventListener} */ (onUp), { signal });
  }
  const observer = new ResizeObserver(() => {
    place = { width: element.clientWidth, height: element.clientHeight };
    if (place.width && place.height) set(confine(view, size, place));
  });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());

  return {
    element,
    fit,
    pan,
    zoomed,
    zoomIn: () => zoomBy(STEP),
    zoomOut: () => zoomBy(1 / STEP),
    /** Return how many per cent of its own pixels the image has on the page. */
    percent: () => (place.width ? Math.round(100 * fitScale(size, place) * view.zoom) : 100),
    boxes: () => boxes,
    /** Return the size of the whole place. */
    place: () => place,
    /** @param {boolean} value */
    enable: (value) => {
      enabled = value;
      if (!value) fit();
    },
  };
}

/**
 * How the arrow keys move an image.
 *
 * @type {Record<string, Point>}
 */
export const ARROWS = {
  ArrowLeft: { x: PAN, y: 0 },
  ArrowRight: { x: -PAN, y: 0 },
  ArrowUp: { x: 0, y: PAN },
  ArrowDown: { x: 0, y: -PAN },
};

/**
 * @param {HTMLElement} part
 * @param {Box} box
 */
function put(part, box) {
  part.style.left = `${box.x}px`;
  part.style.top = `${box.y}px`;
  part.style.width = `${box.width}px`;
  part.style.height = `${box.height}px`;
}

/**
 * @param {Point} a
 * @param {Point} b
 */
function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
