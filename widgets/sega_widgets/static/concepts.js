// The concepts of a session: presets as chips, a text field, and a row of controls for each concept.

import { follow, h, reconcile, send, setAttribute } from "./dom.js";
import { button, press } from "./controls.js";
import { icon } from "./icons.js";
import { formatNumber, reachFor, slider } from "./slider.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {import("./icons.js").IconName} IconName
 * @typedef {import("./slider.js").Report} Report
 * @typedef {"scale" | "threshold" | "warmup"} Field
 * @typedef {{ group: string, label: string, settings: string, colour: string | null }} Preset
 *
 * @typedef {object} Concept
 * @property {number} id
 * @property {string} name
 * @property {string} title
 * @property {string | null} opposite
 * @property {string} colour
 * @property {boolean} enabled
 * @property {boolean} inverted
 * @property {number} scale
 * @property {number} threshold
 * @property {number} warmup
 * @property {Record<Field, number>} home
 * @property {number} reach
 * @property {number} maxThreshold
 * @property {number} maxWarmup
 * @property {string} settings
 * @property {string} homeSettings
 * @property {string} beyond
 * @property {string | null} mask
 */

/** @type {Record<string, IconName>} */
const ICONS = { Add: "add", Remove: "minus", Replace: "swap" };

const SCALE = "Scale: how strongly the concept steers; a double-click restores its value";
const THRESHOLD = "Threshold: the share of the image that stays as it is; higher keeps the change more local";
const WARMUP = "Warm-up: the model call at which the concept starts; a later start keeps more of the composition";

let labels = 0;

/** Return an id for an element that another one names. @param {string} kind */
function newId(kind) {
  labels += 1;
  return `sega-${kind}-${labels}-${Math.random().toString(36).slice(2, 8)}`;
}

/**
 * Return the chips of what the checkpoint recommends; a pressed one is applied.
 *
 * @param {Model} model
 */
function presetChips(model) {
  /** @type {Preset[]} */
  const all = model.get("presets");
  const chips = all.map(({ group, label }, number) => {
    const click = () => {
      const apply = chips[number].getAttribute("aria-pressed") !== "true";
      send(model, "apply", { preset: number, apply });
    };
    return h(
      "button",
      { type: "button", class: "sega-chip", "aria-pressed": false, onclick: click },
      icon(ICONS[group]),
      h("span", { class: "sega-dot", "aria-hidden": "true" }),
      h("span", {}, label),
    );
  });
  const groups = [...new Set(all.map((one) => one.group))].map((group) => {
    const id = newId("group");
    return h(
      "div",
      { class: "sega-chips", role: "group", "aria-labelledby": id },
      h("span", { class: "sega-chips-name", id }, group),
      h("div", {}, ...chips.filter((_, number) => all[number].group === group)),
    );
  });
  const element = h("div", { class: "sega-presets", hidden: all.length === 0 }, ...groups);
  const update = () => {
    /** @type {Preset[]} */ (model.get("presets")).forEach(({ settings, colour }, number) => {
      press(chips[number], colour !== null);
      chips[number].title = colour === null ? settings : "In the list; a click removes it";
      chips[number].style.setProperty("--sega-colour", colour ?? "transparent");
    });
  };
  return { element, update };
}

/**
 * Return the text field that adds any phrase; a refused one stays to be corrected.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 */
function addForm(model, signal) {
  const notice = h("p", { class: "sega-notice", role: "alert", id: newId("notice") });
  const field = h("input", {
    type: "text", placeholder: "Add a concept: wrinkles, or old instead of young", autocomplete: "off",
    enterKeyHint: "done", "aria-label": "Add a concept", "aria-describedby": notice.id,
    title: "A short phrase, then Enter; “old instead of young” leads from one to the other",
  });
  /** @type {string | null} */
  let sent = null;
  const add = () => {
    if (sent !== null || !field.value.trim()) return;
    sent = field.value;
    send(model, "add", { text: sent });
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.repeat && !event.isComposing) add();
  });
  field.addEventListener("input", () => {
    sent = null;
    setAttribute(field, "aria-invalid", null);
  });
  const answered = (/** @type {any} */ message) => {
    if (message.kind !== "added" || message.text !== sent) return;
    sent = null;
    if (message.accepted) field.value = "";
    else {
      setAttribute(field, "aria-invalid", true);
      field.select();
    }
  };
  model.on("msg:custom", answered);
  signal.addEventListener("abort", () => model.off("msg:custom", answered));
  const bar = h("div", { class: "sega-add" }, field, button({ label: "Add", icon: "add", click: add }));
  const element = h("div", { class: "sega-add-form" }, bar, notice);
  const update = () => {
    const text = model.get("notice");
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
  };
  return { element, field, update };
}

/**
 * Return the controls of one concept.
 *
 * @param {Concept} first its values now
 * @param {(kind: string, values?: Record<string, unknown>) => void} tell sends a message about it
 * @param {(field: Field, report: Report) => void} report sends a slider's value
 * @param {boolean} maskable
 * @param {Set<string>} opened the names of the concepts whose details are shown
 */
function conceptRow(first, tell, report, maskable, opened) {
  const { name, title, opposite } = first;
  let concept = first;
  let reach = 0;

  const describeScale = (/** @type {number} */ value) => {
    const away = opposite === null ? "away from it" : `towards ${opposite}`;
    return value < 0 ? `${formatNumber(value, 1)}, ${away}` : formatNumber(value, 1);
  };
  const noted = (/** @type {Report} */ one) => {
    // At home the usual range is enough.
    if (one.end && one.value === concept.home.scale) reach = 0;
    report("scale", one);
  };
  const sliders = {
    scale: slider({
      label: `${title}: scale`, title: SCALE, digits: 1, origin: 0,
      steps: { step: 0.1, fine: 0.01, page: 1 }, limit: (value) => value, describe: describeScale, report: noted,
    }),
    threshold: slider({
      label: `${title}: threshold`, title: THRESHOLD, digits: 3,
      steps: { step: 0.005, fine: 0.001, page: 0.05 },
      limit: (value) => Math.min(0.999, Math.max(0, value)), report: (one) => report("threshold", one),
    }),
    warmup: slider({
      label: `${title}: warm-up`, title: WARMUP, digits: 0, steps: { step: 1, fine: 1, page: 5 },
      limit: (value) => Math.min(concept.maxWarmup, Math.max(0, Math.round(value))),
      report: (one) => report("warmup", one),
    }),
  };

  const enabled = h("button", {
    type: "button", class: "sega-switch", role: "switch", "aria-label": `${title} on`,
    title: "On, or off with its settings kept", onclick: () => tell("enable", { enabled: !concept.enabled }),
  });
  const invert = button({
    label: `Invert ${title}`, icon: "invert", bare: true, pressed: false,
    title: opposite === null ? "Invert: steer away from it" : `Invert: ${opposite} instead of ${name}`,
    click: () => tell("invert", { inverted: !concept.inverted }),
  });
  const mask = button({ label: `Mask of ${title}`, icon: "mask", bare: true, click: () => tell("mask") });
  const remove = button({
    label: `Remove ${title}`, icon: "close", bare: true, title: "Remove it from the list", click: () => tell("remove"),
  });
  remove.classList.add("sega-remove");
  const reset = button({
    label: "Reset", icon: "reset", click: () => {
      reach = 0;
      tell("reset");
    },
  });
  const details = h(
    "div",
    { class: "sega-details", id: newId("details"), role: "group", "aria-label": `Details of ${title}` },
    ...detail("Threshold", THRESHOLD, sliders.threshold),
    ...detail("Warm-up", WARMUP, sliders.warmup),
    reset,
  );
  const more = button({
    label: `Details of ${title}`, icon: "chevron", bare: true, title: "Threshold and warm-up", click: () => {
      details.hidden = !details.hidden;
      if (details.hidden) opened.delete(name);
      else opened.add(name);
      showDetails();
    },
  });
  const showDetails = () => setAttribute(more, "aria-expanded", !details.hidden);
  setAttribute(more, "aria-controls", details.id);
  details.hidden = !opened.has(name);
  showDetails();

  const settings = h("span", {});
  const beyond = h("span", { class: "sega-beyond" });
  const element = h(
    "li",
    { class: "sega-concept" },
    h(
      "div",
      { class: "sega-concept-line" },
      enabled,
      h("span", { class: "sega-concept-name", title }, title),
      h("div", { class: "sega-concept-settings" }, beyond, settings),
      sliders.scale.element,
      sliders.scale.field,
      h("div", { class: "sega-concept-tools" }, maskable && mask, invert, more, remove),
    ),
    details,
  );

  const show = (/** @type {Concept} */ next) => {
    concept = next;
    element.style.setProperty("--sega-colour", next.colour);
    element.classList.toggle("sega-off", !next.enabled);
    setAttribute(enabled, "aria-checked", next.enabled);
    press(invert, next.inverted);
    mask.classList.toggle("sega-set", next.mask !== null);
    mask.title = next.mask === null ? "Mask: confine it to a region" : `Mask: ${next.mask}`;
    setAttribute(mask, "aria-label", `Mask of ${title}${next.mask === null ? "" : `, ${next.mask}`}`);
    settings.textContent = next.settings;
    beyond.textContent = next.beyond;
    reset.title = `Reset to ${next.homeSettings}`;
    reset.disabled = fields.every((field) => next[field] === next.home[field]);
    // The range stays as wide as it was needed, so that the handle does not jump after a drag.
    reach = Math.max(reach, reachFor(next.reach, next.scale));
    const ranges = {
      scale: { min: -reach, max: reach },
      threshold: { min: 0, max: next.maxThreshold },
      warmup: { min: 0, max: next.maxWarmup },
    };
    for (const field of fields) {
      sliders[field].show({ ...ranges[field], value: next[field], home: next.home[field] });
    }
  };
  return { element, sliders, remove, show };
}

/** @type {Field[]} */
const fields = ["scale", "threshold", "warmup"];

/**
 * Return the label, the slider and the number field of a detail.
 *
 * @param {string} label
 * @param {string} title
 * @param {ReturnType<typeof slider>} control
 */
function detail(label, title, control) {
  return [h("span", { class: "sega-muted", title }, label), control.element, control.field];
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  const view = newId("view");
  const form = addForm(model, signal);
  const presets = presetChips(model);
  const list = h("ul", { class: "sega-concept-list", "aria-label": "Concepts" });
  const empty = h("p", { class: "sega-muted sega-concepts-empty" });
  empty.textContent = model.get("presets").length
    ? "No concepts yet: the image shows the prompt alone. Choose one above, or type a phrase."
    : "No concepts yet: the image shows the prompt alone. Type a phrase above.";
  el.classList.add("sega", "sega-concepts");
  el.append(
    h("section", { "aria-label": "Concepts" }, h("h2", {}, "Concepts"), form.element, presets.element, list, empty),
  );

  /** @type {Map<number, ReturnType<typeof conceptRow>>} */
  const rows = new Map();
  /** @type {Set<string>} */
  const opened = new Set();
  let number = 0;
  /** The number of the last message of each slider, by row and field. @type {Map<string, number>} */
  const sent = new Map();

  const create = (/** @type {Concept} */ concept) => {
    const { id } = concept;
    const tell = (/** @type {string} */ kind, values = {}) => send(model, kind, { row: id, ...values });
    const report = (/** @type {Field} */ field, /** @type {Report} */ { value, gesture, end }) => {
      number += 1;
      sent.set(`${id}.${field}`, number);
      const drag = `${view}.${id}.${field}.${gesture}`;
      tell("move", { view, field, value, drag, number, end });
    };
    const row = conceptRow(concept, tell, report, model.get("maskable"), opened);
    rows.set(id, row);
    return row.element;
  };

  const showRows = () => {
    /** @type {Concept[]} */
    const concepts = model.get("concepts");
    const focused = /** @type {Document | ShadowRoot} */ (el.getRootNode()).activeElement;
    const place = [...list.children].findIndex((one) => one.contains(focused));
    const removing = focused?.classList.contains("sega-remove");
    reconcile(list, concepts, ({ id }) => `${id}`, create, (_, concept) => rows.get(concept.id)?.show(concept));
    for (const [id, row] of rows) {
      if (row.element.parentElement === list) continue;
      rows.delete(id);
      for (const field of fields) sent.delete(`${id}.${field}`);
    }
    empty.hidden = concepts.length > 0;
    // The row with the focus was removed: the focus goes to the next one, or to the last.
    if (place < 0 || list.contains(focused)) return;
    const next = rows.get(concepts[Math.min(place, concepts.length - 1)]?.id);
    if (!next) form.field.focus();
    else (removing ? next.remove : next.sliders.scale.input).focus();
  };

  const settled = (/** @type {any} */ message) => {
    if (message.kind !== "settled" || message.view !== view) return;
    const last = sent.get(`${message.row}.${message.field}`) ?? 0;
    if (!message.refused && message.number < last) return;
    const field = /** @type {Field} */ (message.field);
    rows.get(message.row)?.sliders[field].settle(message.refused);
  };
  model.on("msg:custom", settled);
  signal.addEventListener("abort", () => model.off("msg:custom", settled));

  follow(model, ["presets"], signal, presets.update);
  follow(model, ["notice"], signal, form.update);
  follow(model, ["concepts"], signal, showRows);
}

export default { render };
