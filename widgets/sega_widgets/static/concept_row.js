// The controls of one concept.

import { h, setAttribute } from "./dom.js";
import { button, press } from "./controls.js";
import { formatNumber, reachFor, slider } from "./slider.js";

/**
 * @typedef {import("./slider.js").Report} Report
 * @typedef {"scale" | "threshold" | "warmup"} Field a value that a slider sets
 *
 * @typedef {object} Concept
 *   what `row_values` of concept_row.py returns
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
 *
 * @typedef {object} Actions
 * @property {(kind: string, values?: Record<string, unknown>) => void} tell sends a message
 * @property {(field: Field, report: Report) => void} report sends a slider's value
 */

/** @type {Field[]} */
export const FIELDS = ["scale", "threshold", "warmup"];

const MAX_THRESHOLD = 0.999;

const TIPS = {
  scale: "Scale: how strongly it steers. Double-click: back to the start; Shift: fine steps",
  threshold: "Threshold: the share of the image that stays as it is; higher is more local",
  warmup: "Warm-up: the model call at which it starts; later keeps more of the composition",
};

/**
 * Return the controls of one concept.
 *
 * @param {Concept} first its values now
 * @param {Actions} actions
 * @param {boolean} maskable whether its mask can be edited
 * @param {Set<string>} opened the names of the concepts whose details are shown
 */
export function conceptRow(first, { tell, report }, maskable, opened) {
  const { title } = first;
  let concept = first;
  const sliders = conceptSliders(first, report);
  const tools = conceptTools(first, tell, () => concept);
  const reset = button({
    label: "Reset",
    icon: "reset",
    click: () => {
      sliders.forgetReach();
      tell("reset");
    },
  });
  const folded = conceptDetails(first, opened, [
    ...detail("Threshold", TIPS.threshold, sliders.threshold),
    ...detail("Warm-up", TIPS.warmup, sliders.warmup),
    reset,
  ]);
  const settings = h("span", {});
  const beyond = h("span", { class: "sega-beyond", title: "Beyond the usual range of the scale" });
  const element = h(
    "li",
    { class: "sega-concept" },
    h(
      "div",
      { class: "sega-concept-line" },
      tools.enabled,
      h("span", { class: "sega-concept-name", title }, title),
      h("div", { class: "sega-concept-settings" }, beyond, settings),
      sliders.scale.element,
      sliders.scale.field,
      h(
        "div",
        { class: "sega-concept-tools" },
        maskable && tools.mask,
        tools.invert,
        folded.more,
        tools.remove,
      ),
    ),
    folded.element,
  );
  return {
    element,
    sliders,
    remove: tools.remove,

    /** Show the concept's values. @param {Concept} next */
    show(next) {
      concept = next;
      element.style.setProperty("--sega-colour", next.colour);
      element.classList.toggle("sega-off", !next.enabled);
      tools.show(next);
      settings.textContent = next.settings;
      beyond.textContent = next.beyond;
      reset.title = `Reset to ${next.homeSettings}`;
      reset.disabled = FIELDS.every((field) => next[field] === next.home[field]);
      sliders.show(next);
    },
  };
}

/**
 * Return the sliders of a concept.
 *
 * @param {Concept} first
 * @param {Actions["report"]} report
 */
function conceptSliders(first, report) {
  const { title, opposite } = first;
  let concept = first;
  // The range stays as wide as it was needed, so that the handle does not jump after a drag. After
  // the home value was asked for, it is as wide as each value needs: answers to earlier reports,
  // which may still come, do not widen it for good.
  let reach = 0;
  let forgetting = false;
  const forgetReach = () => {
    forgetting = true;
  };
  const scale = slider({
    label: `${title}: scale`,
    title: TIPS.scale,
    digits: 1,
    origin: 0,
    steps: { step: 0.1, fine: 0.01, page: 1 },
    limit: (value) => value,
    describe: (value) => {
      const away = opposite === null ? "away from it" : `towards ${opposite}`;
      return formatNumber(value, 1) + (value < 0 ? `, ${away}` : "");
    },
    report: (one) => {
      forgetting = one.end && one.value === concept.home.scale;
      report("scale", one);
    },
  });
  const threshold = slider({
    label: `${title}: threshold`,
    title: TIPS.threshold,
    digits: 3,
    steps: { step: 0.005, fine: 0.001, page: 0.05 },
    limit: (value) => Math.min(MAX_THRESHOLD, Math.max(0, value)),
    report: (one) => report("threshold", one),
  });
  const warmup = slider({
    label: `${title}: warm-up`,
    title: TIPS.warmup,
    digits: 0,
    steps: { step: 1, fine: 1, page: 5 },
    limit: (value) => Math.min(concept.maxWarmup, Math.max(0, Math.round(value))),
    report: (one) => report("warmup", one),
  });
  const show = (/** @type {Concept} */ next) => {
    concept = next;
    const needed = reachFor(next.reach, next.scale);
    reach = forgetting ? needed : Math.max(reach, needed);
    const { home } = next;
    scale.show({ min: -reach, max: reach, value: next.scale, home: home.scale });
    threshold.show({ min: 0, max: next.maxThreshold, value: next.threshold, home: home.threshold });
    warmup.show({ min: 0, max: next.maxWarmup, value: next.warmup, home: home.warmup });
  };
  return { scale, threshold, warmup, show, forgetReach };
}

/**
 * Return the buttons of a concept.
 *
 * @param {Concept} first
 * @param {Actions["tell"]} tell
 * @param {() => Concept} now returns the concept's present values
 */
function conceptTools({ name, title, opposite }, tell, now) {
  const enabled = h("button", {
    type: "button",
    class: "sega-switch",
    role: "switch",
    "aria-label": `${title} on`,
    title: "On, or off with its settings kept",
    onclick: () => tell("enable", { enabled: !now().enabled }),
  });
  const mask = button({
    label: `Mask of ${title}`,
    icon: "mask",
    bare: true,
    click: () => tell("mask"),
  });
  const away = opposite === null ? "steer away from it" : `${opposite} instead of ${name}`;
  const invert = button({
    label: `Invert ${title}`,
    icon: "invert",
    bare: true,
    pressed: false,
    title: `Invert: ${away}`,
    click: () => tell("invert", { inverted: !now().inverted }),
  });
  const remove = button({
    label: `Remove ${title}`,
    icon: "close",
    bare: true,
    title: "Remove it from the list",
    click: () => tell("remove"),
  });
  remove.classList.add("sega-remove");
  const show = (/** @type {Concept} */ next) => {
    setAttribute(enabled, "aria-checked", next.enabled);
    press(invert, next.inverted);
    const region = next.mask === null ? "" : `, ${next.mask}`;
    mask.classList.toggle("sega-set", region !== "");
    mask.title = `Mask${region || ": confine it to a region"}`;
    setAttribute(mask, "aria-label", `Mask of ${title}${region}`);
  };
  return { enabled, mask, invert, remove, show };
}

/**
 * Return the box of a concept's details, and the button that unfolds it.
 *
 * @param {Concept} concept
 * @param {Set<string>} opened
 * @param {HTMLElement[]} children
 */
function conceptDetails({ name, title }, opened, children) {
  const label = `Details of ${title}`;
  const element = h(
    "div",
    { class: "sega-details", role: "group", "aria-label": label },
    ...children,
  );
  const show = () => {
    element.hidden = !opened.has(name);
    setAttribute(more, "aria-expanded", !element.hidden);
  };
  const more = button({
    label,
    icon: "chevron",
    bare: true,
    title: "Threshold and warm-up",
    click: () => {
      if (!opened.delete(name)) opened.add(name);
      show();
    },
  });
  show();
  return { element, more };
}

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
