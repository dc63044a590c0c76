// A slider with a number field beside it. What a user does at once, a drag or keys in quick
// succession, is one gesture: it has a number of its own, and an end.

import { h, setAttribute, throttle } from "./dom.js";

/** Milliseconds between two reports of a gesture. */
export const INTERVAL = 50;

/** Milliseconds after its end in which another key continues a gesture. */
export const PAUSE = 600;

// The second press of a double-click: within so many milliseconds and pixels of the first.
const TWICE = 400;
const NEAR = 5;

// Pixels: the handle's width, and the distance at which a tick attracts it.
const THUMB = 14;
const ATTRACTED = 3;

/**
 * @typedef {object} Report
 * @property {number} value
 * @property {number} gesture the gesture that it belongs to, counted from 1
 * @property {boolean} end whether the gesture has ended, with this value
 *
 * @typedef {object} Range
 * @property {number} min
 * @property {number} max
 *
 * @typedef {Range & { value: number, home: number }} Shown
 *   what a slider shows; a double-click restores `home`
 *
 * @typedef {object} Steps
 * @property {number} step of arrow keys and of drags
 * @property {number} fine the step while Shift is held
 * @property {number} page of PageUp and PageDown
 */

/**
 * Return a number within a range, at a multiple of a step.
 *
 * @param {number} value
 * @param {Range} range
 * @param {number} step
 */
export function snap(value, { min, max }, step) {
  const rounded = Number((Math.round(value / step) * step).toFixed(6));
  return Math.min(max, Math.max(min, rounded));
}

/**
 * Return where a value lies in a range, 0 to 1.
 *
 * @param {number} value
 * @param {Range} range
 */
export function fractionOf(value, { min, max }) {
  return max > min ? Math.min(1, Math.max(0, (value - min) / (max - min))) : 0;
}

/**
 * Return the value to which a key moves a slider, or null if it moves none.
 *
 * @param {string} key
 * @param {boolean} shift
 * @param {number} value
 * @param {Range} range
 * @param {Steps} steps
 */
export function valueOfKey(key, shift, value, range, { step, fine, page }) {
  const by = shift ? fine : step;
  /** @type {Record<string, number>} */
  const moves = {
    ArrowUp: by,
    ArrowRight: by,
    PageUp: page,
    ArrowDown: -by,
    ArrowLeft: -by,
    PageDown: -page,
  };
  if (key === "Home") return range.min;
  if (key === "End") return range.max;
  return key in moves ? snap(value + moves[key], range, fine) : null;
}

/**
 * Return the number that a user typed, with a comma or a point, or null if it is none.
 *
 * @param {string} text
 */
export function parseNumber(text) {
  const plain = text
    .trim()
    .replace(/^[\u2212\u2013]/, "-")
    .replace(",", ".");
  const value = Number(plain);
  return plain && Number.isFinite(value) ? value : null;
}

/**
 * Return a number as text, with a true minus sign and up to three digits after the point.
 *
 * @param {number} value
 * @param {number} digits the least number of digits after the point
 */
export function formatNumber(value, digits) {
  const rounded = Math.abs(Math.round(value * 1000) / 1000);
  const own = `${rounded}`.split(".")[1]?.length ?? 0;
  return `${value < 0 && rounded ? "\u2212" : ""}${rounded.toFixed(Math.max(digits, own))}`;
}

/**
 * Return the end of a symmetric range that holds a value: its usual end, or a round one beyond.
 *
 * @param {number} usual
 * @param {number} value
 */
export function reachFor(usual, value) {
  const size = Math.abs(value);
  return size <= usual ? usual : Math.ceil(size / 5) * 5;
}

/**
 * Return the gestures of one slider, which report values: while one goes on at most one in
 * `INTERVAL`, and its last one at its end at once.
 *
 * @param {(report: Report) => void} report
 * @param {() => number} [now] the time in milliseconds
 */
export function gestures(report, now = () => performance.now()) {
  let gesture = 0;
  let active = false;
  let ended = -Infinity;
  /** @type {number | null} */
  let last = null;
  const tell = throttle((/** @type {number} */ value) => {
    report({ value, gesture, end: false });
  }, INTERVAL);
  const finish = () => {
    active = false;
    tell.cancel();
  };
  return {
    /** Return whether a gesture goes on. */
    active: () => active,

    /**
     * Begin a gesture; nothing if one goes on.
     *
     * @param {boolean} [joined] continue the last one if it has just ended
     */
    begin(joined = false) {
      if (active) return;
      if (!joined || now() - ended > PAUSE) gesture += 1;
      active = true;
      last = null;
    },

    /** Report a value. @param {number} value */
    move(value) {
      last = value;
      tell(value);
    },

    /** End with a value that is reported at once, or the last one. @param {number} [value] */
    end(value) {
      if (!active) return;
      finish();
      ended = now();
      last = value ?? last;
      if (last !== null) report({ value: last, gesture, end: true });
    },

    /** End without a report, after the value was refused; the next gesture is another. */
    stop() {
      finish();
      ended = -Infinity;
    },
  };
}

/**
 * Return a slider and its number field.
 *
 * While a gesture goes on, and until its end is settled, the slider keeps the user's value. Shift
 * makes drags and arrow keys fine; a double-click restores the home value. Beneath the look is a
 * native slider, which keys and screen readers use.
 *
 * @param {object} options
 * @param {string} options.label read by screen readers
 * @param {string} [options.title] the tooltip
 * @param {Steps} options.steps
 * @param {number} options.digits the least number of digits after the point
 * @param {number} [options.origin] where the filled line begins; the start of the range
 * @param {(value: number) => number} options.limit the nearest value that can be typed
 * @param {(value: number) => string} [options.describe] a value in words, for screen readers
 * @param {(report: Report) => void} options.report
 */
export function slider({ label, title = "", steps, digits, origin, limit, describe, report }) {
  /** @type {Shown} the widget's values, and those of them that are in effect */
  let latest = { value: 0, home: 0, min: 0, max: 1 };
  let shown = latest;
  let value = 0;
  let waiting = false; // For the widget's answer to the last report.
  let typed = false; // Whether the field holds text that is not applied.
  let keyed = false; // Whether the last gesture was one of keys, which others may continue.

  const input = h("input", {
    type: "range",
    step: "any",
    class: "sega-slider-input",
    "aria-label": label,
  });
  const element = h(
    "div",
    { class: "sega-slider", title },
    h("div", { class: "sega-slider-track" }),
    h("div", { class: "sega-slider-fill" }),
    h("div", { class: "sega-slider-tick sega-slider-home" }),
    origin !== undefined && h("div", { class: "sega-slider-tick sega-slider-origin" }),
    input,
    h("div", { class: "sega-slider-thumb" }),
  );
  const field = h("input", {
    type: "text",
    class: "sega-slider-number",
    inputMode: "decimal",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": `${label}, as a number`,
    title,
  });
  // JupyterLab has shortcuts on the arrow keys, unless the focused element asks it not to.
  for (const one of [input, field]) one.dataset.lmSuppressShortcuts = "true";

  const start = () => origin ?? shown.min;
  const user = gestures((one) => {
    waiting = true;
    report(one);
  });

  const paint = () => {
    const [at, from, home] = [value, start(), shown.home].map((one) => fractionOf(one, shown));
    const places = { at, from, home, low: Math.min(at, from), high: Math.max(at, from) };
    for (const [name, fraction] of Object.entries(places)) {
      element.style.setProperty(`--sega-${name}`, `${fraction}`);
    }
    Object.assign(input, { min: `${shown.min}`, max: `${shown.max}`, value: `${value}` });
    const text = formatNumber(value, digits);
    setAttribute(input, "aria-valuetext", describe ? describe(value) : text);
    if (!typed) field.value = text;
  };
  const showLatest = () => {
    if (waiting || user.active()) return;
    shown = latest;
    value = latest.value;
    paint();
  };

  const move = (/** @type {number} */ next) => {
    if (next === value) return;
    value = next;
    paint();
    user.move(value);
  };
  const end = () => {
    element.classList.remove("sega-held");
    if (!user.active()) return;
    user.end();
    showLatest();
  };
  const set = (/** @type {number} */ next, /** @type {boolean} */ joined) => {
    keyed = false;
    user.begin(joined);
    value = next;
    paint();
    user.end(value);
  };

  // Pointers. `place` is where the handle is wanted, as a fraction; it may leave the range.
  let place = 0;
  let x = 0;
  let tapped = false;
  let pressed = { time: -Infinity, x: 0 };

  const length = () => Math.max(1, element.getBoundingClientRect().width - THUMB);
  const fractionAt = (/** @type {number} */ pointer) =>
    (pointer - element.getBoundingClientRect().left - THUMB / 2) / length();
  const valueAt = (/** @type {number} */ fraction, /** @type {boolean} */ fine) => {
    const free = shown.min + fraction * (shown.max - shown.min);
    if (fine) return snap(free, shown, steps.fine);
    const distance = (/** @type {number} */ tick) => Math.abs(fractionOf(tick, shown) - fraction);
    const tick = [start(), shown.home].find((one) => distance(one) < ATTRACTED / length());
    return tick ?? snap(free, shown, steps.step);
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    input.focus({ preventScroll: true });
    const near = Math.abs(event.clientX - pressed.x) < NEAR;
    const twice = near && event.timeStamp - pressed.time < TWICE;
    pressed = { time: twice ? -Infinity : event.timeStamp, x: event.clientX };
    // What the first press of a double-click did is part of the same gesture.
    if (twice) return set(shown.home, true);
    element.setPointerCapture(event.pointerId);
    element.classList.add("sega-held");
    keyed = false;
    user.begin();
    x = event.clientX;
    place = fractionOf(value, shown);
    const onThumb = Math.abs(fractionAt(x) - place) * length() <= THUMB / 2 + 1;
    // A touch may begin to scroll the page, so it does not move the handle at once.
    tapped = event.pointerType === "touch" && !onThumb;
    if (onThumb || tapped) return;
    place = fractionAt(x);
    move(valueAt(place, event.shiftKey));
  });
  element.addEventListener("pointermove", (event) => {
    const moved = (event.clientX - x) / length();
    if (!element.hasPointerCapture(event.pointerId) || !user.active() || moved === 0) return;
    x = event.clientX;
    tapped = false;
    place += event.shiftKey ? moved / 10 : moved;
    move(valueAt(place, event.shiftKey));
  });
  element.addEventListener("pointerup", (event) => {
    if (tapped && user.active()) move(valueAt(fractionAt(event.clientX), false));
    end();
  });
  for (const kind of ["pointercancel", "lostpointercapture"]) element.addEventListener(kind, end);

  // Keys. A key that is held repeats `keydown`, and ends with one `keyup`.
  const moveByKey = (/** @type {number} */ next) => {
    user.begin(keyed);
    keyed = true;
    move(next);
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = valueOfKey(event.key, event.shiftKey, value, shown, steps);
    if (next === null) return;
    event.preventDefault();
    moveByKey(next);
  };
  input.addEventListener("keydown", press);
  // Screen readers move the native slider itself.
  input.addEventListener("input", () => moveByKey(snap(input.valueAsNumber, shown, steps.fine)));
  for (const kind of ["keyup", "change", "blur"]) input.addEventListener(kind, end);

  // The number field.
  const leave = () => {
    typed = false;
    setAttribute(field, "aria-invalid", null);
    paint();
  };
  const apply = () => {
    const next = typed ? parseNumber(field.value) : null;
    leave();
    if (next !== null && limit(next) !== value) set(limit(next), false);
  };
  field.addEventListener("focus", () => field.select());
  field.addEventListener("input", () => {
    typed = true;
    setAttribute(field, "aria-invalid", parseNumber(field.value) === null ? true : null);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      apply();
      field.select();
    } else if (event.key === "Escape" && typed) {
      event.stopPropagation();
      leave();
      field.select();
    } else if (/^(Arrow(Up|Down)|Page(Up|Down))$/.test(event.key)) {
      apply();
      press(event);
    }
  });
  field.addEventListener("keyup", end);
  field.addEventListener("blur", () => {
    apply();
    end();
  });

  return {
    element,
    field,
    input,

    /**
     * Show the widget's values; while the user's value is kept, once it is settled.
     *
     * @param {Shown} next
     */
    show(next) {
      latest = next;
      showLatest();
    },

    /**
     * Show the widget's values, since it has answered the last report.
     *
     * @param {boolean} refused whether the value was refused, which ends the gesture
     */
    settle(refused) {
      waiting = false;
      if (refused) {
        user.stop();
        element.classList.remove("sega-held");
      }
      showLatest();
    },
  };
}
