// A soft brush over the picture, for the mask of a concept or of the protected region.

import { button, press } from "./controls.js";
import { follow, h, send, setAttribute, showImage } from "./dom.js";
import { icon } from "./icons.js";
import { boxPopover, edgePopover, slider } from "./mask-tools.js";
import {
  NO_HISTORY,
  compose,
  cover,
  curve,
  inverted,
  joined,
  middle,
  patchBetween,
  redone,
  share,
  thinShare,
  undone,
  union,
  whole,
  withBox,
  withPatch,
} from "./brush.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {import("./brush.js").Box} Box
 * @typedef {import("./brush.js").Dab} Dab
 *
 * @typedef {object} Region what is edited, as Python sends it
 * @property {string | null} name of the concept; null: the protected region
 * @property {string} colour
 * @property {number} width
 * @property {number} height
 * @property {number} cell
 * @property {DataView} mask
 * @property {boolean} masked
 * @property {number} images
 *
 * @typedef {object} Stroke one that the pointer draws now
 * @property {number} pointer
 * @property {boolean} erase
 * @property {Uint8Array} before
 * @property {Float32Array} coverage
 * @property {Dab} start
 * @property {Dab} last
 * @property {Dab} middle
 *
 * @typedef {"brush" | "eraser" | "box"} Tool
 */

// Overlays lie on a picture, whose colours are those of no theme.
const OVERLAY = 0.6;
const HATCH = { side: 11, light: "rgb(255 255 255 / 92%)", dark: "rgb(18 22 32 / 48%)" };

/** Below this part of the image, a mask counts as empty, as in Python. */
const EMPTY = 0.00005;

/** From this part of a mask on, its strokes are said to be too thin. */
const THIN = 0.3;

/** The smallest brush in pixels, and the largest as a part of the image. */
const SMALLEST = 2;
const LARGEST = 0.8;

/** Moves of the sliders by a key. */
const SIZE_STEP = 0.04;
const SOFTNESS_STEP = 0.1;

// Bits of a pointer's buttons.
const RIGHT = 2;
const MIDDLE = 4;
const PEN_ERASER = 32;

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-mask");
  // JupyterLab uses letters and arrow keys itself unless an element asks it not to.
  el.dataset.lmSuppressShortcuts = "true";

  /** @type {Region | null} null: the editor is closed */
  let region = null;
  let size = { width: 1, height: 1 };
  let values = new Uint8Array(1);
  let history = NO_HISTORY;
  /** @type {Stroke | null} */
  let stroke = null;
  /** @type {Tool} */
  let tool = "brush";
  let place = 0.6;
  let softness = 0.5;
  /** @type {Box | null} where the overlay is out of date */
  let dirty = null;
  let frame = 0;
  /** @type {CanvasPattern | null} */
  let stripes = null;
  let askedToLeave = false;
  /** @type {HTMLElement | null} */
  let focusedBefore = null;
  /** @type {Map<string | null, Uint8Array<ArrayBuffer>>} left for another region, by name */
  const drafts = new Map();

  // Elements.

  const title = h("h2");
  const mark = h("span", { class: "sega-mask-mark" });
  const apply = button({ label: "Apply", kind: "primary", click: sendMask });
  const remove = button({
    label: "Remove mask",
    kind: "danger",
    click: () => send(model, "remove"),
  });
  const cancel = button({
    label: "Cancel",
    title: "Close without a change (Escape)",
    click: () => send(model, "cancel"),
  });
  const head = h(
    "header",
    { class: "sega-mask-head" },
    h("div", { class: "sega-mask-title" }, mark, title),
    h("div", { class: "sega-mask-ends" }, remove, cancel, apply),
  );

  const tools = {
    brush: button({
      label: "Brush",
      title: "Brush (B)",
      icon: "brush",
      pressed: true,
      click: () => choose("brush"),
    }),
    eraser: button({
      label: "Eraser",
      title: "Eraser (E), or hold Alt, or press the right button",
      icon: "eraser",
      pressed: false,
      click: () => choose("eraser"),
    }),
    box: button({
      label: "Box",
      title: "Box (M): drag a rectangle, or give its sides",
      icon: "marquee",
      pressed: false,
      click: () => choose("box"),
    }),
  };
  const sizeSlider = slider(
    "Size",
    { min: 0, max: 1, step: 0.01, title: "Size of the brush ([ and ])" },
    (value) => setBrush(value, softness),
  );
  const softSlider = slider(
    "Softness",
    { min: 0, max: 1, step: 0.01, title: "Softness of the brush’s edge ({ and })" },
    (value) => setBrush(place, value),
  );
  const brushSettings = h(
    "div",
    { class: "sega-mask-settings" },
    sizeSlider.element,
    softSlider.element,
  );
  const boxSettings = h(
    "div",
    { class: "sega-mask-settings" },
    h("span", { class: "sega-muted" }, "Drag a rectangle, or"),
    boxPopover(addBox),
  );

  const undo = button({
    label: "Undo",
    title: "Undo (Ctrl+Z)",
    icon: "undo",
    bare: true,
    click: () => step(undone),
  });
  const redo = button({
    label: "Redo",
    title: "Redo (Ctrl+Shift+Z)",
    icon: "redo",
    bare: true,
    click: () => step(redone),
  });
  const invert = button({
    label: "Invert",
    title: "Exchange inside and outside",
    icon: "invert",
    bare: true,
    click: () => change(inverted),
  });
  const fill = button({
    label: "Fill",
    title: "Paint everything",
    icon: "fill",
    bare: true,
    click: () => change((before) => before.map(() => 255)),
  });
  const clear = button({
    label: "Clear",
    title: "Erase everything",
    icon: "trash",
    bare: true,
    click: () => change((before) => before.map(() => 0)),
  });
  const heat = button({
    label: "Heat map",
    title: "Grow the mask by where the concept acts most now",
    icon: "heat",
    click: askForHeat,
  });
  const edges = edgePopover((move, pixels) => change((before) => move(before, size, pixels)));
  const actions = [
    undo,
    redo,
    h("span", { class: "sega-mask-gap" }),
    invert,
    fill,
    clear,
    edges,
    heat,
  ];
  const bar = h(
    "div",
    { class: "sega-mask-bar" },
    h(
      "div",
      { class: "sega-mask-group", role: "group", "aria-label": "Tool" },
      ...Object.values(tools),
    ),
    h("div", { class: "sega-mask-stack" }, brushSettings, boxSettings),
    h(
      "div",
      { class: "sega-mask-group sega-mask-actions", role: "group", "aria-label": "Mask" },
      ...actions,
    ),
  );

  const image = h("img", { alt: "", draggable: false });
  const canvas = h("canvas", {
    tabIndex: 0,
    role: "application",
    "aria-roledescription": "picture to paint on",
  });
  const ring = h("div", { class: "sega-mask-ring", hidden: true }, h("div"));
  const marquee = h("div", { class: "sega-mask-marquee", hidden: true });
  const picture = h("div", { class: "sega-mask-picture" }, image, canvas, marquee, ring);

  const covered = h("span", { class: "sega-mask-share sega-number" });
  const hint = h("span", { class: "sega-mask-hint" });
  const notice = h("p", { class: "sega-mask-notice", role: "status" });
  const foot = h(
    "footer",
    { class: "sega-mask-foot" },
    h("p", { role: "status" }, covered, hint),
    notice,
  );
  const section = h(
    "section",
    { class: "sega-mask-editor", "data-sega-own-undo": "", hidden: true },
    head,
    bar,
    picture,
    foot,
  );
  el.append(section);

  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  // The mask at its own size, as transparency; the overlay is drawn from it at the page's size.
  const alpha = document.createElement("canvas");
  const alphaContext = /** @type {CanvasRenderingContext2D} */ (alpha.getContext("2d"));

  // Opening and closing.

  function openOrClose() {
    const next = /** @type {Partial<Region>} */ (model.get("region"));
    const closed = next.mask === undefined;
    abandon();
    if (region && !closed && history.past.length) drafts.set(region.name, values);
    history = NO_HISTORY;
    section.hidden = closed;
    if (closed) {
      region = null;
      focusedBefore?.focus();
      focusedBefore = null;
    } else {
      if (!region) focusedBefore = /** @type {HTMLElement | null} */ (document.activeElement);
      open(/** @type {Region} */ (next));
    }
  }

  /** @param {Region} next */
  function open(next) {
    region = next;
    const { name, width, height, colour, mask, masked, images } = next;
    size = { width, height };
    values = Uint8Array.from(bytesOf(mask));
    [alpha.width, alpha.height] = [width, height];
    title.textContent = name === null ? "What must not change" : `Where “${name}” acts`;
    mark.replaceChildren(icon(name === null ? "protect" : "mask"));
    section.classList.toggle("sega-mask-protects", name === null);
    section.style.setProperty("--sega-mask-colour", colour);
    section.style.setProperty("--sega-mask-shape", `${width / height}`);
    setAttribute(section, "aria-label", `Mask: ${title.textContent}`);
    const action = name === null ? "what must not change" : `where “${name}” may act`;
    setAttribute(canvas, "aria-label", `Paint ${action}`);
    remove.hidden = !masked;
    heat.hidden = name === null;
    heat.disabled = false;
    showBrush();
    invalidate(whole(size));
    showMeasures();
    notify(images > 1 ? "Each image has its own mask; applying makes one for all images." : "");
    takeDraft();
    canvas.focus({ preventScroll: true });
  }

  /** Go on with what was painted here before another region was opened. */
  function takeDraft() {
    const name = region?.name ?? null;
    const draft = drafts.get(name);
    if (draft?.length !== values.length) return;
    drafts.delete(name);
    change(() => draft);
    notify("This is what you painted before. Undo brings back the mask in use.");
  }

  function sendMask() {
    send(model, "apply", size, [values.slice().buffer]);
  }

  /** Close; if strokes would be lost, only at the second call. */
  function leave() {
    if (history.past.length && !askedToLeave) {
      notify("Press Escape again to discard what you painted.");
      askedToLeave = true;
    } else send(model, "cancel");
  }

  // Showing.

  /** @param {Box} box where the mask has changed */
  function invalidate(box) {
    dirty = union(dirty, box);
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (!region || !dirty) return;
    const pixels = transparency(values, size, dirty);
    if (pixels) alphaContext.putImageData(pixels, dirty.left, dirty.top);
    dirty = null;
    context.globalAlpha = 1;
    context.globalCompositeOperation = "copy";
    context.imageSmoothingQuality = "high";
    context.drawImage(alpha, 0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "source-in";
    const protects = region.name === null;
    context.globalAlpha = protects ? 1 : OVERLAY;
    context.fillStyle = protects && stripes ? stripes : region.colour;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }

  function fitCanvas() {
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!width || !height || (width === canvas.width && height === canvas.height)) return;
    [canvas.width, canvas.height] = [width, height];
    stripes = hatch(context);
    dirty = union(dirty, whole(size));
    // At once, since a canvas is empty after its size was set.
    draw();
  }

  function showMeasures() {
    const part = share(values);
    const protects = region?.name === null;
    const empty = part < EMPTY;
    const full = part > 1 - EMPTY;
    undo.disabled = !history.past.length;
    redo.disabled = !history.future.length;
    clear.disabled = empty;
    fill.disabled = full;
    apply.disabled = empty || (protects && full);
    const what = protects ? "of the image protected" : "of the image";
    covered.textContent = empty ? "" : `${perCent(part)} ${what}`;
    hint.textContent = hintFor(region?.name ?? null, empty, full);
  }

  /** @param {string} text */
  function notify(text) {
    askedToLeave = false;
    notice.replaceChildren(...(text ? [icon("warning"), h("span", {}, text)] : []));
  }

  // The brush.

  /** Return its diameter in pixels; the slider's ends are far apart, so its places are powers. */
  function diameter() {
    const largest = LARGEST * Math.max(size.width, size.height);
    return SMALLEST * (largest / SMALLEST) ** place;
  }

  function showBrush() {
    const across = diameter();
    sizeSlider.show(place, `${across < 10 ? across.toFixed(1) : Math.round(across)} px`);
    softSlider.show(softness, perCent(softness));
    ring.style.width = `${(100 * across) / size.width}%`;
    ring.style.setProperty("--sega-mask-core", `${Math.round(100 * (1 - softness))}%`);
  }

  /** @param {number} nextPlace @param {number} nextSoftness */
  function setBrush(nextPlace, nextSoftness) {
    [place, softness] = [inRange(nextPlace), inRange(nextSoftness)];
    showBrush();
  }

  /** @param {Tool} one */
  function choose(one) {
    abandon();
    tool = one;
    for (const [name, element] of Object.entries(tools)) press(element, name === one);
    brushSettings.inert = one === "box";
    boxSettings.inert = one !== "box";
    picture.classList.toggle("sega-mask-boxes", one === "box");
    if (one === "box") ring.hidden = true;
  }

  /** @param {PointerEvent} event @returns {Dab} */
  function dabAt(event) {
    const rect = canvas.getBoundingClientRect();
    const pressed = event.pointerType === "pen" && event.pressure > 0;
    return {
      x: ((event.clientX - rect.left) / rect.width) * size.width,
      y: ((event.clientY - rect.top) / rect.height) * size.height,
      radius: (diameter() / 2) * (pressed ? 0.35 + 0.65 * event.pressure : 1),
    };
  }

  /** @param {PointerEvent} event */
  function erases(event) {
    return tool === "eraser" || event.altKey || (event.buttons & (RIGHT | PEN_ERASER)) > 0;
  }

  /** @param {PointerEvent} event */
  function begin(event) {
    if (stroke || !event.isPrimary || event.buttons & MIDDLE) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const dab = dabAt(event);
    stroke = {
      pointer: event.pointerId,
      erase: erases(event),
      before: values.slice(),
      coverage: new Float32Array(values.length),
      start: dab,
      last: dab,
      middle: dab,
    };
    if (tool !== "box") paint(stroke, dab, dab);
    showRing(event);
  }

  /** @param {PointerEvent} event */
  function move(event) {
    showRing(event);
    if (stroke?.pointer !== event.pointerId) return;
    if (tool === "box") {
      stroke.last = dabAt(event);
      showMarquee(stroke);
      return;
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) lead(stroke, dabAt(one));
  }

  /** @param {PointerEvent} event */
  function end(event) {
    if (stroke?.pointer !== event.pointerId) return;
    const { start, last, before, erase } = stroke;
    if (tool === "box") {
      const box = { left: start.x, top: start.y, right: last.x, bottom: last.y };
      stroke = null;
      change((values) => withBox(values, size, box, erase));
    } else {
      paint(stroke, stroke.middle, last);
      stroke = null;
      commit(before);
    }
    marquee.hidden = true;
    if (event.pointerType === "touch") ring.hidden = true;
  }

  /** Take back the stroke that is being drawn. */
  function abandon() {
    if (!stroke) return;
    values.set(stroke.before);
    stroke = null;
    marquee.hidden = true;
    invalidate(whole(size));
  }

  /**
   * Lead a stroke on, halfway to a dab, since the way there bends with the next one.
   *
   * @param {Stroke} one
   * @param {Dab} dab
   */
  function lead(one, dab) {
    const half = middle(one.last, dab);
    for (const next of curve(one.middle, one.last, half)) {
      paint(one, one.middle, next);
      one.middle = next;
    }
    one.last = dab;
  }

  /** @param {Stroke} one @param {Dab} from @param {Dab} to */
  function paint(one, from, to) {
    const box = cover(one.coverage, size, from, to, softness);
    compose(values, one.before, one.coverage, size, box, one.erase);
    invalidate(box);
  }

  /** @param {PointerEvent} event */
  function showRing(event) {
    const { x, y } = dabAt(event);
    ring.hidden = tool === "box" || (event.pointerType === "touch" && !stroke);
    ring.style.left = `${(100 * x) / size.width}%`;
    ring.style.top = `${(100 * y) / size.height}%`;
    ring.classList.toggle("sega-mask-erases", stroke ? stroke.erase : erases(event));
  }

  /** @param {Stroke} one */
  function showMarquee({ start, last, erase }) {
    const { style } = marquee;
    style.left = `${(100 * Math.min(start.x, last.x)) / size.width}%`;
    style.top = `${(100 * Math.min(start.y, last.y)) / size.height}%`;
    style.width = `${(100 * Math.abs(last.x - start.x)) / size.width}%`;
    style.height = `${(100 * Math.abs(last.y - start.y)) / size.height}%`;
    marquee.classList.toggle("sega-mask-erases", erase);
    marquee.hidden = false;
  }

  // Changes and their history.

  /** @param {(before: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>} make */
  function change(make) {
    abandon();
    const before = values;
    values = make(before);
    commit(before);
  }

  /** @param {Uint8Array} before */
  function commit(before) {
    const patch = patchBetween(before, values, size);
    if (patch) {
      history = withPatch(history, patch);
      invalidate(patch.box);
    }
    showChange();
  }

  /** @param {typeof undone} way */
  function step(way) {
    abandon();
    const found = way(history, values, size);
    history = found.history;
    if (found.box) invalidate(found.box);
    showChange();
  }

  function showChange() {
    showMeasures();
    const cell = region?.cell ?? 1;
    const thin = thinShare(values, size, cell) > THIN;
    notify(thin ? `Thin strokes act weakly: the model sees squares of ${cell} pixels.` : "");
  }

  /** @param {[number, number, number, number]} sides fractions @param {boolean} erase */
  function addBox([left, top, right, bottom], erase) {
    const { width, height } = size;
    const box = {
      left: left * width,
      top: top * height,
      right: right * width,
      bottom: bottom * height,
    };
    change((before) => withBox(before, size, box, erase));
  }

  // The region where the concept acts.

  function askForHeat() {
    heat.disabled = true;
    send(model, "heat");
  }

  /**
   * @param {{ kind: string, name?: string, problem?: string }} message
   * @param {DataView[]} buffers
   */
  function receive({ kind, name, problem }, buffers) {
    if (kind !== "heat" || name !== region?.name) return;
    heat.disabled = false;
    if (problem === undefined) change((before) => joined(before, bytesOf(buffers[0])));
    else notify(problem);
  }

  // Keys.

  /** @type {Record<string, () => void>} */
  const keys = {
    escape: () => (stroke ? abandon() : leave()),
    "[": () => setBrush(place - SIZE_STEP, softness),
    "]": () => setBrush(place + SIZE_STEP, softness),
    "{": () => setBrush(place, softness - SOFTNESS_STEP),
    "}": () => setBrush(place, softness + SOFTNESS_STEP),
    b: () => choose("brush"),
    e: () => choose("eraser"),
    m: () => choose("box"),
    "ctrl+z": () => step(undone),
    "ctrl+shift+z": () => step(redone),
    "ctrl+y": () => step(redone),
  };

  /** @param {KeyboardEvent} event */
  function handleKey(event) {
    const action = keys[nameOf(event)];
    const field = /** @type {HTMLElement} */ (event.target).matches("input[type=number]");
    if (!action || (field && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  // Listeners.

  canvas.addEventListener("pointerdown", begin, { signal });
  canvas.addEventListener("pointermove", move, { signal });
  canvas.addEventListener("pointerup", end, { signal });
  canvas.addEventListener("pointercancel", abandon, { signal });
  canvas.addEventListener(
    "pointerleave",
    () => {
      if (!stroke) ring.hidden = true;
    },
    { signal },
  );
  canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
  section.addEventListener("keydown", handleKey, { signal });
  const observer = new ResizeObserver(fitCanvas);
  observer.observe(canvas);
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
    model.off("msg:custom", receive);
    showImage(image, null);
  });
  choose("brush");
  follow(model, ["picture"], signal, () => showImage(image, model.get("picture")));
  follow(model, ["region"], signal, openOrClose);
}

/**
 * Return the values in a box as the transparency of pixels, or null if the box is empty.
 *
 * @param {Uint8Array} values
 * @param {{ width: number }} size
 * @param {Box} box
 */
function transparency(values, size, { left, top, right, bottom }) {
  if (right <= left || bottom <= top) return null;
  const pixels = new ImageData(right - left, bottom - top);
  let to = 3;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++, to += 4) pixels.data[to] = values[y * size.width + x];
  }
  return pixels;
}

/** @param {CanvasRenderingContext2D} context */
function hatch(context) {
  const side = Math.round(HATCH.side * devicePixelRatio);
  const tile = h("canvas", { width: side, height: side });
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.fillStyle = HATCH.dark;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = HATCH.light;
  pen.lineWidth = side / 6;
  // Lines from corner to corner, and their neighbours' ends.
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - side, side);
    pen.lineTo(shift + side, -side);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

/** @param {KeyboardEvent} event */
function nameOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  // Brackets may need AltGr, which counts as Ctrl and Alt, or Shift.
  if (/^[[\]{}]$/.test(key)) return key;
  const name = `${altKey ? "alt+" : ""}${shiftKey ? "shift+" : ""}${key.toLowerCase()}`;
  return ctrlKey || metaKey ? `ctrl+${name}` : name;
}

/** @param {DataView} view */
function bytesOf(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** @param {number} value @returns {number} 0 to 1 */
function inRange(value) {
  return Math.min(1, Math.max(0, value));
}

/** @param {number} part */
function perCent(part) {
  const rounded = Math.round(100 * part);
  if (part > 0 && rounded === 0) return "less than 1%";
  return `${part < 1 ? Math.min(99, rounded) : 100}%`;
}

/** @param {string | null} name @param {boolean} empty @param {boolean} full */
function hintFor(name, empty, full) {
  if (empty && name === null) return "Nothing is painted: paint what must not change.";
  if (empty) {
    return `Nothing is painted: paint where “${name}” may act. Without a mask, it acts everywhere.`;
  }
  return full && name === null ? "Leave a part unpainted, or no edit has an effect." : "";
}

export default { render };
