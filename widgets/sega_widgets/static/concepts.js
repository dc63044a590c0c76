// The concepts of a session: presets as chips, a text field, and a row for each concept.

import { follow, h, reconcile, send, setAttribute } from "./dom.js";
import { button, press } from "./controls.js";
import { icon } from "./icons.js";
import { FIELDS, conceptRow } from "./concept_row.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {import("./icons.js").IconName} IconName
 * @typedef {import("./slider.js").Report} Report
 * @typedef {import("./concept_row.js").Concept} Concept
 * @typedef {import("./concept_row.js").Field} Field
 * @typedef {{ group: string, label: string, settings: string, colour: string | null }} Preset
 */

/** @type {Record<string, IconName>} */
const ICONS = { Add: "add", Remove: "minus", Replace: "swap" };

/** Return a word that no other view of a page has. */
function newToken() {
  return Math.random().toString(36).slice(2);
}

/**
 * Call a function with the widget's messages of one kind, until the view is removed.
 *
 * @param {Model} model
 * @param {string} kind
 * @param {AbortSignal} signal
 * @param {(message: any) => void} handle
 */
function receive(model, kind, signal, handle) {
  const received = (/** @type {any} */ message) => {
    if (message.kind === kind) handle(message);
  };
  model.on("msg:custom", received);
  signal.addEventListener("abort", () => model.off("msg:custom", received));
}

/**
 * Return the chips of what the checkpoint recommends; a pressed one is applied.
 *
 * @param {Model} model
 */
function presetChips(model) {
  /** @type {Preset[]} */
  const all = model.get("presets");
  const chips = all.map(({ group, label }, preset) => {
    const toggle = () => {
      const apply = chips[preset].getAttribute("aria-pressed") !== "true";
      send(model, "apply", { preset, apply });
    };
    return h(
      "button",
      { type: "button", class: "sega-preset", "aria-pressed": false, onclick: toggle },
      icon(ICONS[group]),
      h("span", { class: "sega-dot", "aria-hidden": "true" }),
      h("span", {}, label),
    );
  });
  const groups = [...new Set(all.map((one) => one.group))].map((group) =>
    h(
      "div",
      { class: "sega-chips", role: "group", "aria-label": group },
      h("span", { class: "sega-chips-name", "aria-hidden": "true" }, group),
      ...chips.filter((_, number) => all[number].group === group),
    ),
  );
  const element = h("div", { class: "sega-presets", hidden: all.length === 0 }, ...groups);
  const show = () => {
    /** @type {Preset[]} */
    const presets = model.get("presets");
    presets.forEach(({ settings, colour }, number) => {
      press(chips[number], colour !== null);
      chips[number].title = colour === null ? settings : "In the list; a click removes it";
      chips[number].style.setProperty("--sega-colour", colour);
    });
  };
  return { element, show };
}

/**
 * Return the text field that adds any phrase; a refused one stays to be corrected.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 */
function addForm(model, signal) {
  const id = `sega-notice-${newToken()}`;
  const notice = h("p", { class: "sega-notice", role: "alert", id });
  const field = h("input", {
    type: "text",
    placeholder: "Add a concept, such as wrinkles",
    title: "A short phrase, then Enter. “old instead of young” leads from one to the other.",
    autocomplete: "off",
    enterKeyHint: "done",
    "aria-label": "Add a concept",
    "aria-describedby": id,
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
  const valid = () => setAttribute(field, "aria-invalid", null);
  field.addEventListener("blur", valid);
  field.addEventListener("input", () => {
    sent = null;
    valid();
  });
  receive(model, "added", signal, ({ text, accepted }) => {
    if (text !== sent) return;
    sent = null;
    if (accepted) field.value = "";
    else {
      setAttribute(field, "aria-invalid", true);
      field.focus();
      field.select();
    }
  });
  const bar = h(
    "div",
    { class: "sega-add" },
    field,
    button({ label: "Add", icon: "add", click: add }),
  );
  const element = h("div", {}, bar, notice);
  const show = () => {
    const text = model.get("notice");
    if (notice.textContent !== text) notice.textContent = text;
    notice.hidden = !text;
  };
  return { element, field, show };
}

/**
 * Return the rows of all concepts.
 *
 * @param {Model} model
 * @param {AbortSignal} signal
 * @param {HTMLElement} field gets the focus when the last row is removed
 */
function conceptRows(model, signal, field) {
  const view = newToken();
  const element = h("ul", { class: "sega-concept-list", role: "list" });
  /** @type {Map<number, ReturnType<typeof conceptRow>>} */
  const rows = new Map();
  /** @type {Set<string>} */
  const opened = new Set();
  // Kernels may deliver messages in another order than they were sent: the numbers tell.
  let number = 0;
  /** @type {Map<string, number>} the number of a slider's last message, by row and field */
  const sent = new Map();

  const create = (/** @type {Concept} */ concept) => {
    const { id: row } = concept;
    const tell = (/** @type {string} */ kind, values = {}) => send(model, kind, { row, ...values });
    const report = (/** @type {Field} */ name, /** @type {Report} */ { value, gesture, end }) => {
      number += 1;
      sent.set(`${row}.${name}`, number);
      const drag = `${view}.${row}.${name}.${gesture}`;
      tell("move", { view, field: name, value, drag, number, end });
    };
    const made = conceptRow(concept, { tell, report }, model.get("maskable"), opened);
    rows.set(row, made);
    return made.element;
  };
  receive(model, "settled", signal, (message) => {
    const { row, refused } = message;
    const last = sent.get(`${row}.${message.field}`) ?? 0;
    if (message.view !== view || (!refused && message.number < last)) return;
    rows.get(row)?.sliders[/** @type {Field} */ (message.field)].settle(refused);
  });

  const show = () => {
    /** @type {Concept[]} */
    const concepts = model.get("concepts");
    const root = /** @type {Document | ShadowRoot} */ (element.getRootNode());
    const focused = root.activeElement;
    const place = [...element.children].findIndex((one) => one.contains(focused));
    const showOne = (/** @type {Element} */ _, /** @type {Concept} */ concept) =>
      rows.get(concept.id)?.show(concept);
    reconcile(element, concepts, ({ id }) => `${id}`, create, showOne);
    for (const [id, row] of rows) {
      if (row.element.parentElement === element) continue;
      rows.delete(id);
      for (const name of FIELDS) sent.delete(`${id}.${name}`);
    }
    // Where the row with the focus was removed, the focus goes to the next one, or the last.
    if (place < 0 || element.contains(focused)) return;
    const next = rows.get(concepts[Math.min(place, concepts.length - 1)]?.id);
    const removed = focused?.classList.contains("sega-remove");
    if (!next) field.focus();
    else (removed ? next.remove : next.sliders.scale.input).focus();
  };
  return { element, show };
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  const form = addForm(model, signal);
  const presets = presetChips(model);
  const rows = conceptRows(model, signal, form.field);
  const protect = button({
    label: "Protect a region",
    icon: "protect",
    pressed: false,
    click: () => send(model, "protect"),
  });
  protect.classList.add("sega-protect");
  const choose = model.get("presets").length ? "Choose one above, or type" : "Type";
  const empty = h("p", { class: "sega-muted" }, `No concepts yet. ${choose} a phrase.`);
  el.classList.add("sega", "sega-concepts");
  el.append(
    h(
      "section",
      { "aria-label": "Concepts" },
      h(
        "div",
        { class: "sega-concepts-head" },
        h("h2", {}, "Concepts"),
        model.get("maskable") && protect,
      ),
      form.element,
      presets.element,
      rows.element,
      empty,
    ),
  );
  follow(model, ["presets"], signal, presets.show);
  follow(model, ["notice"], signal, form.show);
  follow(model, ["protected"], signal, () => {
    const share = model.get("protected");
    press(protect, share !== "");
    protect.title = share
      ? `${share} stays as it is without edits. Change the region.`
      : "Paint what must not change, whatever the edits are";
  });
  follow(model, ["concepts"], signal, () => {
    rows.show();
    empty.hidden = model.get("concepts").length > 0;
  });
}

export default { render };
