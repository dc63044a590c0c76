// The scene bar: prompt, seed and settings of an image, and photographs that are dropped or pasted.

import { button, popover } from "./controls.js";
import { follow, h, send, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {import("@anywidget/types").AnyModel} Model */
/** @typedef {Record<string, string>} Fields the texts of the fields, by name */

export const PART = 2 ** 22; // Bytes of a message: servers refuse messages above 10 MB.

/** The fields behind the settings button. */
const SETTINGS = ["negative", "steps", "guidance", "width", "height"];

/**
 * Return what is wrong with a text of seeds, or nothing.
 *
 * @param {string} text
 */
export function seedsProblem(text) {
  const parts = text.split(",").map((one) => one.trim());
  if (parts.every((one) => /^\d{1,20}$/.test(one))) return "";
  return "The seed must be a whole number, or several with commas.";
}

/**
 * Return a field's text so that texts of the same value are equal.
 *
 * @param {string} name
 * @param {string} text
 */
export function normal(name, text) {
  if (name === "prompt" || name === "negative") return text;
  if (name !== "seeds") return text.trim() === "" ? "" : `${Number(text)}`;
  return text
    .split(",")
    .map((one) => one.trim())
    .join(",");
}

/**
 * Return the names of the fields that differ from the session's scene.
 *
 * @param {Fields} fields
 * @param {Fields} scene
 */
export function differing(fields, scene) {
  return Object.keys(fields).filter((one) => normal(one, fields[one]) !== normal(one, scene[one]));
}

/**
 * Return the parts that a file is sent in.
 *
 * @param {ArrayBuffer} bytes
 * @param {number} size the most bytes of a part
 */
export function split(bytes, size) {
  const count = Math.max(1, Math.ceil(bytes.byteLength / size));
  return Array.from({ length: count }, (_, number) =>
    bytes.slice(number * size, (number + 1) * size),
  );
}

/**
 * Return the first image of a drop or of the clipboard.
 *
 * @param {DataTransfer | null} data
 * @returns {File | null}
 */
export function findImage(data) {
  return [...(data?.files ?? [])].find((one) => one.type.startsWith("image/")) ?? null;
}

/**
 * Return whether a drag brings files; their types are not known before the drop.
 *
 * @param {DataTransfer | null} data
 */
export function bringsFiles(data) {
  return [...(data?.types ?? [])].includes("Files");
}

/**
 * Send a file to the widget in parts; too large ones only by name.
 *
 * @param {Model} model
 * @param {File} file
 */
async function sendPhoto(model, file) {
  const { name, size } = file;
  send(model, "photo", { name, size });
  if (size > model.get("max_bytes")) return;
  for (const one of split(await file.arrayBuffer(), PART)) send(model, "part", {}, [one]);
}

/**
 * Accept images that are dropped on the panel around an element, or pasted there.
 *
 * @param {HTMLElement} el
 * @param {(file: File) => void} accept
 * @param {() => boolean} ready
 * @param {AbortSignal} signal
 */
function acceptImages(el, accept, ready, signal) {
  // The element is placed in the panel after it was built.
  const root = () => /** @type {HTMLElement} */ (el.closest(".sega-panel") ?? el);
  const isInside = (/** @type {Event} */ event) => event.composedPath().includes(root());
  const veil = h(
    "div",
    { class: "sega sega-scene-veil", popover: "manual", "aria-hidden": "true" },
    h("div", {}, icon("photo"), h("span", {}, "Drop a photograph, or a PNG saved here")),
  );
  const hide = () => {
    if (!veil.isConnected) return;
    veil.remove();
  };
  const show = () => {
    if (veil.isConnected) return;
    const { top, left, width, height } = root().getBoundingClientRect();
    const bottom = Math.min(top + height, window.innerHeight);
    const above = Math.max(top, 0);
    Object.assign(veil.style, {
      top: `${above}px`,
      left: `${left}px`,
      width: `${width}px`,
      height: `${bottom - above}px`,
    });
    root().append(veil);
    veil.showPopover();
  };
  const options = { capture: true, signal };
  document.addEventListener(
    "dragover",
    (event) => {
      if (!bringsFiles(event.dataTransfer)) return;
      if (!isInside(event) || !ready()) return hide();
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
      show();
    },
    options,
  );
  // A drag that leaves the window goes nowhere.
  document.addEventListener(
    "dragleave",
    (event) => {
      if (!event.relatedTarget) hide();
    },
    options,
  );
  document.addEventListener(
    "drop",
    (event) => {
      hide();
      if (!bringsFiles(event.dataTransfer) || !isInside(event)) return;
      event.preventDefault();
      event.stopPropagation();
      const file = findImage(event.dataTransfer);
      if (file && ready()) accept(file);
    },
    options,
  );
  document.addEventListener(
    "paste",
    (event) => {
      const data = event.clipboardData;
      const file = findImage(data);
      const inText = event.target instanceof Element && event.target.matches("input, textarea");
      const here = isInside(event) || (event.target === document.body && root().matches(":hover"));
      if (!file || !here || !ready() || (inText && data?.types.includes("text/plain"))) return;
      event.preventDefault();
      event.stopPropagation();
      accept(file);
    },
    options,
  );
  signal.addEventListener("abort", hide);
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-scene");
  const field = (/** @type {string} */ name, /** @type {Record<string, any>} */ props = {}) =>
    h("input", { name, autocomplete: "off", spellcheck: false, ...props });
  const number = (/** @type {string} */ name, /** @type {Record<string, any>} */ props) =>
    field(name, { type: "number", ...props });
  const inputs = /** @type {Record<string, HTMLInputElement | HTMLTextAreaElement>} */ ({
    prompt: field("prompt", { spellcheck: true, placeholder: "What the image shows" }),
    seeds: field("seeds", {
      inputMode: "numeric",
      title:
        "The seed of the image: a whole number. Several with commas, such as 3, 4, 5, make a batch that is edited together.",
    }),
    negative: h("textarea", {
      name: "negative",
      rows: 2,
      placeholder: "What the image should not show",
    }),
    steps: number("steps", { min: 1, step: 1 }),
    guidance: number("guidance", { min: 0, step: "any" }),
    width: number("width", { min: 1 }),
    height: number("height", { min: 1 }),
  });
  const labelled = (
    /** @type {string} */ name,
    /** @type {string} */ text,
    /** @type {string} */ title,
  ) => h("label", { class: "sega-field", title }, h("span", {}, text), inputs[name]);

  const settings = button({
    label: "Settings",
    icon: "settings",
    title: "Negative prompt, steps, guidance scale and size",
    click: () => {},
  });
  const sizeNote = h("p", { class: "sega-muted", hidden: true }, "A photograph keeps its size.");
  const { element: settingsPlace, close } = popover(
    settings,
    h(
      "div",
      { class: "sega-scene-settings" },
      labelled(
        "negative",
        "Negative prompt",
        "What the image should not show. It changes what edits do, too.",
      ),
      labelled(
        "steps",
        "Steps",
        "The steps of the sampler. More are slower, and finer. Edits keep their share of the steps.",
      ),
      labelled("guidance", "Guidance scale", "How closely the image follows the prompt"),
      labelled(
        "width",
        "Width",
        "In pixels. Models make the best images at the size that they were trained with.",
      ),
      labelled(
        "height",
        "Height",
        "In pixels. Models make the best images at the size that they were trained with.",
      ),
      sizeNote,
    ),
    "Settings of the image",
  );
  const chooser = h("input", { type: "file", accept: "image/*", hidden: true, tabIndex: -1 });
  const photo = button({
    label: "Photo",
    icon: "photo",
    title:
      "Begin with a photograph, or with a PNG saved here; dropping or pasting one works, too. It is cut to the size of the image, and small details change, since the model redraws it.",
    click: () => chooser.click(),
  });
  const explore = button({
    label: "Explore",
    icon: "grid",
    title: "See the edits on other seeds and other prompts, or two concepts at several strengths",
    click: () => send(model, "explore"),
  });
  const dice = button({
    label: "New seed",
    icon: "dice",
    bare: true,
    title: "Draw a new seed, and begin an image with it",
    click: () => submit("draw"),
  });
  const keep = h("input", {
    type: "checkbox",
    role: "switch",
    checked: true,
    "aria-label": "Keep edits",
  });
  const keepLabel = h(
    "label",
    { class: "sega-scene-keep", title: "The new image begins with the present edits" },
    keep,
    h("span", { "aria-hidden": "true" }, "Keep edits"),
  );
  const generate = button({
    label: "Generate",
    title: "Begin a new image with these values (Enter). The present one stays available.",
    click: () => {},
  });
  generate.type = "submit";
  const problem = h("p", {
    class: "sega-scene-problem",
    id: `sega-problem-${Math.random().toString(36).slice(2)}`,
    role: "alert",
  });
  const status = h("span", { role: "status" });
  const bar = h("progress", { max: 1, "aria-label": "Progress" });
  const busy = h(
    "div",
    { class: "sega-scene-busy", hidden: true },
    status,
    bar,
    button({ label: "Cancel", click: () => send(model, "cancel") }),
  );
  const form = h(
    "form",
    { class: "sega-scene-form", noValidate: true, "aria-label": "Scene" },
    h(
      "label",
      { class: "sega-scene-prompt" },
      h("span", { class: "sega-visually-hidden" }, "Prompt"),
      inputs.prompt,
    ),
    h(
      "div",
      { class: "sega-scene-seed" },
      h("label", {}, h("span", {}, "Seed"), inputs.seeds),
      dice,
    ),
    h("div", { class: "sega-scene-tools" }, settingsPlace, photo, explore),
    h("div", { class: "sega-scene-go" }, keepLabel, generate),
    chooser,
  );
  el.append(form, problem, busy);

  const values = () =>
    Object.fromEntries(Object.entries(inputs).map(([name, one]) => [name, one.value]));
  /** @type {Fields} */
  let shown = {};

  const showPending = () => {
    const pending = differing(values(), model.get("scene"));
    for (const [name, one] of Object.entries(inputs)) {
      setAttribute(one, "data-pending", pending.includes(name));
    }
    setAttribute(
      settings,
      "data-pending",
      SETTINGS.some((one) => pending.includes(one)),
    );
    generate.classList.toggle("sega-primary", pending.length > 0);
    const wrong = seedsProblem(inputs.seeds.value);
    if (!wrong) showProblem("");
  };
  const showProblem = (/** @type {string} */ text) => {
    if (problem.textContent !== text) problem.textContent = text;
    setAttribute(inputs.seeds, "aria-invalid", text ? "true" : null);
    setAttribute(inputs.seeds, "aria-describedby", text ? problem.id : null);
  };
  const submit = (/** @type {string} */ kind) => {
    if (model.get("busy")) return;
    const wrong = kind === "draw" ? "" : seedsProblem(inputs.seeds.value);
    showProblem(wrong);
    if (wrong) return inputs.seeds.focus();
    close();
    send(model, kind, { ...values(), keep: keep.checked });
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit("generate");
  });
  form.addEventListener("input", showPending);
  form.addEventListener("keydown", (event) => {
    // In a text of several lines, Enter would begin another line.
    if (event.key !== "Enter" || event.shiftKey || event.target !== inputs.negative) return;
    event.preventDefault();
    submit("generate");
  });
  chooser.addEventListener("change", () => {
    const file = chooser.files?.[0];
    if (file) sendPhoto(model, file);
    chooser.value = "";
  });
  acceptImages(
    el,
    (file) => sendPhoto(model, file),
    () => !model.get("busy"),
    signal,
  );

  const showScene = () => {
    const scene = model.get("scene");
    for (const [name, one] of Object.entries(inputs)) {
      // What a user has typed stays, unless the scene itself has changed.
      if (scene[name] !== shown[name]) one.value = scene[name];
    }
    shown = scene;
    for (const name of ["width", "height"]) {
      const one = /** @type {HTMLInputElement} */ (inputs[name]);
      one.step = `${scene.factor}`;
      one.disabled = scene.photograph;
    }
    sizeNote.hidden = !scene.photograph;
    showPending();
  };
  follow(model, ["scene"], signal, showScene);
  // A new session has begun, which has a bar of its own; this one shows its own scene again.
  const reset = (/** @type {{ kind: string }} */ message) => {
    if (message.kind !== "reset") return;
    shown = {};
    showScene();
  };
  model.on("msg:custom", reset);
  signal.addEventListener("abort", () => model.off("msg:custom", reset));
  follow(model, ["edited"], signal, () => {
    keepLabel.hidden = !model.get("edited");
  });
  follow(model, ["explores"], signal, () => {
    explore.hidden = !model.get("explores");
  });
  follow(model, ["busy", "progress"], signal, () => {
    const text = model.get("busy");
    busy.hidden = !text;
    if (status.textContent !== text) status.textContent = text;
    if (model.get("progress")) bar.value = model.get("progress");
    else bar.removeAttribute("value");
    for (const one of [generate, dice, photo]) one.disabled = Boolean(text);
  });
}

export default { render };
