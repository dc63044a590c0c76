// The picture of a session: one image or a batch, compared or with a heat map, zoomed, downloaded.

import { createDivider } from "./comparison.js";
import { button, popover, press } from "./controls.js";
import { follow, h, send, setAttribute } from "./dom.js";
import { createGrid } from "./grid.js";
import { createEarlier, createPicture } from "./picture.js";
import { ARROWS, createStage } from "./stage.js";
import { shareAt } from "./zoom.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./icons.js").IconName} IconName
 * @typedef {import("./zoom.js").Box} Box
 */

/** @type {{ name: string, label: string, icon: IconName, title: string }[]} */
const LOOKS = [
  { name: "image", label: "Image", icon: "image", title: "The image alone" },
  { name: "compare", label: "Compare", icon: "compare", title: "The image over another" },
  { name: "where", label: "Where", icon: "heat", title: "Where one concept acts in the image" },
];

/** The keys that show the original while they are held. */
const HOLD = ["o", "O", "\\"];

const HELP = "Picture. Plus and minus zoom, arrow keys move it, O shows the original";

/** @type {import("@anywidget/types").Render} */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-viewer");
  // JupyterLab uses these keys itself, X to cut a cell, unless an element asks it not to.
  el.dataset.lmSuppressShortcuts = "true";
  const [width, height] = model.get("size");
  const size = { width, height };
  /** @type {string[]} */
  const seeds = model.get("seeds");

  const picture = createPicture(signal);
  const canvas = h("div", { class: "sega-canvas" }, picture.element);
  const earlier = createEarlier("Earlier state");
  const badges = h("div", { class: "sega-badges" }, picture.badge, earlier);
  const original = h("span", { class: "sega-chip sega-original", hidden: true });
  const where = createWhere(model);
  const divider = createDivider((position) => compare(position), signal);
  const flip = button({
    label: "Flip",
    icon: "swap",
    title: "Show one image, then the other, in the same place (X)",
    click: () => compare(position < 0.5 ? 1 : 0),
  });
  flip.classList.add("sega-chip", "sega-flip");
  const overlay = h(
    "div",
    { class: "sega-overlay" },
    divider.element,
    badges,
    original,
    where.element,
    flip,
  );
  const stage = createStage({ content: canvas, overlay, size, signal, changed: () => layOut() });
  divider.drag(stage.element, () => comparing && !stage.zoomed());
  const grid = createGrid({ seeds, size, signal, choose });
  stage.element.append(grid.element);
  stage.element.style.setProperty("--sega-ratio", `${width / height}`);
  setAttribute(stage.element, "aria-label", HELP);

  const looks = createLooks(model);
  const nav = createNav({ model, seeds, choose, last: () => last });
  const zoom = createZoom(stage, () => showPixels(!pixelated));
  const tools = createTools({ el, model, signal, hold, batch: seeds.length > 1 });
  const parts = [looks, nav, zoom, tools].map((one) => one.element);
  const single = model.get("seeds").length === 1 ? " sega-single" : "";
  el.append(h("div", { class: `sega-viewer-bar${single}` }, ...parts), stage.element);

  // What is seen here and not in other views of the same widget.
  let position = 0.5;
  let held = false;
  let comparing = false;
  let pixelated = false;
  /** The image that was enlarged last. */
  let last = 0;

  function update() {
    /** @type {DataView[]} */
    const images = model.get("images");
    const captions = model.get("captions");
    const references = model.get("references");
    const alone = model.get("selected") !== null;
    comparing = alone && model.get("look") === "compare" && references.length > 0;
    if (alone) last = model.get("selected");
    showGrid(!alone);
    const isEarlier = images.length > 0 && model.get("earlier");
    if (alone) picture.show(images[0], captions[0], references[0], model.get("reference_alt"));
    else grid.show(images, captions, references, isEarlier);
    const holding = held && references.length > 0;
    original.textContent = model.get("reference");
    original.hidden = !holding;
    stage.element.classList.toggle("sega-holding", holding);
    stage.element.classList.toggle("sega-comparing", comparing);
    divider.element.hidden = flip.hidden = !comparing || holding;
    earlier.hidden = !isEarlier;
    setAttribute(canvas, "aria-busy", !images.length);
    looks.update();
    nav.update();
    where.update();
    zoom.update(alone);
    tools.update();
    compare(position);
  }

  /**
   * Show all images, or one; the focus goes along.
   *
   * @param {boolean} all
   */
  function showGrid(all) {
    if (grid.element.hidden === !all) return;
    const active = /** @type {Node} */ (el.ownerDocument.activeElement);
    const inside = stage.element.contains(active) || nav.element.contains(active);
    canvas.hidden = overlay.hidden = all;
    grid.element.hidden = !all;
    // On the grid it would lie on one of the images.
    (all ? nav.element : overlay).append(where.element);
    stage.enable(!all);
    if (inside && all) grid.focus(last);
    else if (inside) stage.element.focus();
  }

  /** @param {number | null} number the index of the image to enlarge; null: show all */
  function choose(number) {
    if (number !== null) last = number;
    send(model, "select", { number });
  }

  /** @param {number} next the place of the handle, from 0 to 1 */
  function compare(next) {
    position = next;
    divider.show(position, model.get("reference"), "Current");
    const { box, seen } = stage.boxes();
    canvas.style.setProperty("--sega-clip", `${100 * shareAt(position, box, seen)}%`);
  }

  function layOut() {
    grid.layOut(stage.place());
    compare(position);
    zoom.update(model.get("selected") !== null);
  }

  /** @param {boolean} value */
  function hold(value) {
    if (value === held || (value && !model.get("images").length)) return;
    held = value;
    send(model, "hold", { held });
    update();
  }

  /** @param {boolean} value */
  function showPixels(value) {
    pixelated = value;
    stage.element.classList.toggle("sega-pixelated", value);
    zoom.showPixels(value);
  }

  /** @type {Record<string, () => void>} */
  const keys = {
    "+": stage.zoomIn,
    "=": stage.zoomIn,
    "-": stage.zoomOut,
    0: stage.fit,
    p: () => showPixels(!pixelated),
    f: tools.toggleFullscreen,
    x: () => comparing && flip.click(),
    o: () => hold(true),
    "\\": () => hold(true),
  };
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
    const onStage = target === stage.element;
    const act = keys[event.key.toLowerCase()] ?? (onStage ? stageKey(event.key) : null);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
  /**
   * @param {string} key
   * @returns {(() => void) | null}
   */
  function stageKey(key) {
    if (key in ARROWS && stage.zoomed()) return () => stage.pan(ARROWS[key]);
    if (key === "Escape" && stage.zoomed()) return stage.fit;
    return nav.key(key);
  }
  el.addEventListener("keydown", onKey, { signal });
  el.addEventListener("keyup", (event) => HOLD.includes(event.key) && hold(false), { signal });
  const leave = (/** @type {FocusEvent} */ event) => {
    if (!el.contains(/** @type {Node | null} */ (event.relatedTarget))) hold(false);
  };
  el.addEventListener("focusout", leave, { signal });

  const traits = [
    "look",
    "selected",
    "concepts",
    "concept",
    "colour",
    "images",
    "captions",
    "references",
    "reference",
    "reference_alt",
    "earlier",
    "note",
  ];
  follow(model, traits, signal, update);
}

/**
 * Return the buttons for the looks, of which one is pressed.
 *
 * @param {Model} model
 */
function createLooks(model) {
  const buttons = LOOKS.map(({ name, ...options }) => {
    const click = () => send(model, "look", { look: name });
    return { name, element: button({ ...options, pressed: false, click }) };
  });
  const element = h(
    "div",
    { class: "sega-segments", role: "group", "aria-label": "Look" },
    ...buttons.map((one) => one.element),
  );
  const update = () => {
    for (const one of buttons) press(one.element, one.name === model.get("look"));
  };
  return { element, update };
}

/**
 * Return the choice of a heat map's concept, which lies on the enlarged image.
 *
 * @param {Model} model
 */
function createWhere(model) {
  const select = h("select", {
    "aria-label": "Concept whose effect is shown",
    onchange: () => send(model, "concept", { name: select.value }),
  });
  const swatch = h("span", { class: "sega-swatch" });
  const note = h("span", { class: "sega-where-note" });
  const element = h("div", { class: "sega-chip sega-where" }, swatch, select, note);
  /** @type {string[]} */
  let shown = [];

  function update() {
    /** @type {string[]} */
    const names = model.get("concepts");
    if (names.join("\n") !== shown.join("\n")) {
      select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      shown = names;
    }
    select.value = model.get("concept");
    select.hidden = swatch.hidden = !names.length;
    swatch.style.background = model.get("colour");
    note.textContent = model.get("note");
    note.hidden = !model.get("note");
    element.hidden = model.get("look") !== "where";
  }

  return { element, update };
}

/**
 * Return the buttons that walk through a batch.
 *
 * @param {object} options
 * @param {Model} options.model
 * @param {string[]} options.seeds
 * @param {(number: number | null) => void} options.choose enlarges an image; null: shows all
 * @param {() => number} options.last returns the index of the image that was enlarged last
 */
function createNav({ model, seeds, choose, last }) {
  const step = (/** @type {number} */ by) => choose((last() + by + seeds.length) % seeds.length);
  const all = button({
    label: "All",
    icon: "grid",
    title: "All images (Escape)",
    click: () => choose(null),
  });
  const previous = button({
    label: "Previous image",
    icon: "chevron",
    bare: true,
    title: "Previous image (left arrow)",
    click: () => step(-1),
  });
  previous.classList.add("sega-turned");
  const next = button({
    label: "Next image",
    icon: "chevron",
    bare: true,
    title: "Next image (right arrow)",
    click: () => step(1),
  });
  const text = h("span", { class: "sega-viewer-seed sega-number" });
  const element = h("div", { class: "sega-viewer-nav" }, all, previous, text, next);
  const enlarged = () => seeds.length > 1 && model.get("selected") !== null;

  function update() {
    for (const one of [all, previous, text, next]) one.hidden = !enlarged();
    text.textContent = `${last() + 1} of ${seeds.length}`;
    text.title = `Seed ${seeds[last()]}`;
  }

  /** @type {Record<string, () => void>} */
  const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Escape: () => choose(null) };
  const key = (/** @type {string} */ name) => (enlarged() && keys[name]) || null;
  return { element, update, key };
}

/**
 * Return the buttons that zoom, and the one for pixels.
 *
 * @param {ReturnType<typeof createStage>} stage
 * @param {() => void} togglePixels
 */
function createZoom(stage, togglePixels) {
  const out = button({
    label: "Zoom out",
    icon: "minus",
    bare: true,
    title: "Zoom out (-)",
    click: stage.zoomOut,
  });
  const into = button({
    label: "Zoom in",
    icon: "add",
    bare: true,
    title: "Zoom in (+)",
    click: stage.zoomIn,
  });
  const fit = button({ label: "", bare: true, click: stage.fit });
  fit.classList.add("sega-viewer-percent", "sega-number");
  const pixels = button({
    label: "Pixels",
    icon: "pixels",
    bare: true,
    title: "Show the pixels, not smoothed (P)",
    pressed: false,
    click: togglePixels,
  });
  const element = h(
    "div",
    { class: "sega-viewer-zoom", role: "group", "aria-label": "Zoom" },
    out,
    fit,
    into,
    pixels,
  );

  /** @param {boolean} alone true if one image is shown */
  function update(alone) {
    const percent = `${stage.percent()}%`;
    fit.textContent = alone ? percent : "Fit";
    setAttribute(fit, "aria-label", `Zoom: ${percent}. Fit into its place`);
    fit.title = "Fit into its place (0)";
    into.disabled = !alone;
    out.disabled = fit.disabled = !alone || !stage.zoomed();
  }

  return { element, update, showPixels: (/** @type {boolean} */ value) => press(pixels, value) };
}

/**
 * Return the buttons to see the original, for full screen and for downloads.
 *
 * @param {object} options
 * @param {HTMLElement} options.el what fills the screen
 * @param {Model} options.model
 * @param {AbortSignal} options.signal
 * @param {(held: boolean) => void} options.hold
 * @param {boolean} options.batch
 */
function createTools({ el, model, signal, hold, batch }) {
  const original = createHold(hold);
  const toggleFullscreen = () => {
    if (el.matches(":fullscreen")) el.ownerDocument.exitFullscreen();
    else el.requestFullscreen();
  };
  const full = button({
    label: "Full screen",
    icon: "fullscreen",
    bare: true,
    title: "Full screen (F)",
    pressed: false,
    click: toggleFullscreen,
  });
  full.hidden = !el.ownerDocument.fullscreenEnabled;
  el.addEventListener("fullscreenchange", () => press(full, el.matches(":fullscreen")), { signal });
  const downloads = createDownloads(model, signal, batch);
  const element = h("div", { class: "sega-viewer-tools" }, original, full, downloads.element);

  function update() {
    original.disabled = !model.get("images").length;
    setAttribute(original, "title", `Hold to see: ${model.get("reference")} (hold O)`);
    downloads.update();
  }

  return { element, update, toggleFullscreen: () => full.hidden || toggleFullscreen() };
}

/**
 * Return a button that shows the original while it is held by a pointer or a key.
 *
 * @param {(held: boolean) => void} hold
 */
function createHold(hold) {
  const element = button({
    label: "Hold to see the original",
    icon: "eye",
    bare: true,
    click: () => {},
  });
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    element.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const one of ["pointerup", "pointercancel", "lostpointercapture"]) {
    element.addEventListener(one, () => hold(false));
  }
  const isPress = (/** @type {KeyboardEvent} */ event) => [" ", "Enter"].includes(event.key);
  element.addEventListener("keydown", (event) => isPress(event) && hold(true));
  element.addEventListener("keyup", (event) => isPress(event) && hold(false));
  // A press that moved the focus would end what it began.
  element.addEventListener("mousedown", (event) => event.preventDefault());
  // A long press on a touch screen opens a menu otherwise.
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  return element;
}

/**
 * Return a button that downloads the image, or the menu of what a batch can be downloaded as.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 * @param {boolean} batch
 */
function createDownloads(model, signal, batch) {
  // Tells this view's files from those of other views.
  const token = `${Math.random()}`;
  let waiting = false;
  const download = (/** @type {string} */ file) => {
    waiting = true;
    update();
    send(model, "download", { file, token });
  };
  const opener = button({
    label: "Download",
    icon: "download",
    bare: true,
    title: batch ? "Download" : "Download the image as PNG, with how it was made",
    click: () => batch || download("png"),
  });
  /**
   * @param {{ kind: string, token: string, name?: string, type?: string }} content
   * @param {DataView[]} buffers
   */
  const receive = (content, buffers) => {
    if (content.kind !== "file" || content.token !== token) return;
    waiting = false;
    update();
    if (content.name) saveFile(content.name, content.type ?? "", buffers[0]);
  };
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => model.off("msg:custom", receive));

  const one = createItem("This image (PNG)", "png");
  const items = h(
    "div",
    { class: "sega-menu" },
    one,
    createItem("All images (ZIP)", "zip"),
    createItem("Contact sheet", "sheet"),
  );
  const menu = batch ? popover(opener, items, "Download") : null;

  /**
   * @param {string} label
   * @param {string} file
   */
  function createItem(label, file) {
    const click = () => {
      menu?.close();
      download(file);
    };
    return button({ label, kind: "item", click });
  }

  function update() {
    one.hidden = model.get("selected") === null;
    opener.disabled = waiting || !model.get("images").length;
  }

  return { element: menu?.element ?? opener, update };
}

/**
 * Let the browser save a file.
 *
 * @param {string} name
 * @param {string} type
 * @param {DataView} bytes
 */
function saveFile(name, type, bytes) {
  const url = URL.createObjectURL(new Blob([/** @type {any} */ (bytes)], { type }));
  h("a", { href: url, download: name }).click();
  // The browser reads the file after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export default { render };
