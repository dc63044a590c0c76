// The explorer: a grid of images of other seeds or prompts, or of two concepts' strengths.

import { button, press } from "./controls.js";
import { follow, h, reconcile, send, setAttribute, showImage } from "./dom.js";

/** @typedef {import("@anywidget/types").AnyModel} Model */
/**
 * @typedef {object} Tile
 * @property {string} key
 * @property {string} caption
 * @property {string} quality "exact", "close", "rough" or nothing
 * @property {boolean} waiting its image is of before, or there is none
 * @property {string} problem
 * @property {boolean} chosen
 */
/** @typedef {{ known: string[], names: string[], scales: string[][] }} Axes */

const KINDS = /** @type {const} */ ([
  ["seeds", "Seeds"],
  ["prompts", "Prompts"],
  ["concepts", "Two concepts"],
]);

/**
 * Return the place that an arrow key leads to from a place in a grid.
 *
 * @param {number} place
 * @param {string} key
 * @param {number} columns
 * @param {number} count
 */
export function neighbour(place, key, columns, count) {
  const steps = /** @type {Record<string, number>} */ ({
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -columns,
    ArrowDown: columns,
  });
  const target = key === "Home" ? 0 : key === "End" ? count - 1 : place + (steps[key] ?? 0);
  return target >= 0 && target < count ? target : place;
}

/**
 * Return how many images there are of how many, in words.
 *
 * @param {Tile[]} tiles
 */
export function summary(tiles) {
  const done = tiles.filter((one) => !one.waiting && !one.problem).length;
  const failed = tiles.filter((one) => one.problem).length;
  const rough = tiles.filter(
    (one) => !one.waiting && !one.problem && one.quality !== "exact",
  ).length;
  const parts = [];
  if (done + failed < tiles.length) parts.push(`${done} of ${tiles.length}`);
  else if (rough) parts.push(`refining ${rough}`);
  if (failed) parts.push(`${failed} not possible`);
  return parts.join(", ");
}

/**
 * Return what an image is called for screen readers.
 *
 * @param {Tile} tile
 */
export function describe(tile) {
  const how =
    tile.problem || (tile.waiting ? "waiting" : tile.quality === "exact" ? "" : tile.quality);
  return [tile.caption, how].filter(Boolean).join(", ");
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-explorer");
  /** @type {() => Tile[]} */
  const tiles = () => model.get("tiles");
  const isGrid = () => model.get("kind") === "concepts";
  /** @type {Map<string, { image: HTMLImageElement, bytes: DataView }>} */
  const images = new Map();
  /** The tile that is shown large, and the one that the Tab key leads to. */
  let large = "";
  let active = "";

  const kinds = KINDS.map(([kind, label]) =>
    button({ label, pressed: false, click: () => send(model, "choose", { what: kind }) }),
  );
  const more = button({
    label: "Nine others",
    icon: "dice",
    title: "Draw nine other seeds",
    click: () => send(model, "more"),
  });
  const leave = button({
    label: "Close the explorer",
    icon: "close",
    bare: true,
    click: () => send(model, "leave"),
  });
  const note = h("span", { class: "sega-explorer-note sega-muted sega-number", role: "status" });
  const head = h(
    "div",
    { class: "sega-explorer-head" },
    h("h2", { class: "sega-visually-hidden" }, "Explore"),
    h("div", { class: "sega-explorer-kinds", role: "group", "aria-label": "Explore" }, ...kinds),
    note,
    more,
    leave,
  );

  const prompts = h("textarea", {
    rows: 3,
    spellcheck: true,
    placeholder: "One prompt in each line, up to 9",
  });
  const showPrompts = button({
    label: "Show",
    title: "Show the present edits with these prompts",
    click: () => send(model, "show_prompts", { text: prompts.value }),
  });
  const promptForm = h(
    "div",
    { class: "sega-explorer-prompts" },
    h("label", { class: "sega-field" }, h("span", {}, "Prompts, one in each line"), prompts),
    showPrompts,
  );
  const across = h("select");
  const up = h("select");
  const conceptForm = h(
    "div",
    { class: "sega-explorer-axes" },
    h("label", { class: "sega-field" }, h("span", {}, "Across"), across),
    h("label", { class: "sega-field" }, h("span", {}, "Upwards"), up),
  );
  const empty = h("p", { class: "sega-explorer-empty sega-muted" });
  const grid = h("div", { class: "sega-explorer-grid", role: "group" });
  const rowLabels = h("div", { class: "sega-explorer-rows sega-number", "aria-hidden": "true" });
  const columnLabels = h("div", {
    class: "sega-explorer-columns sega-number",
    "aria-hidden": "true",
  });
  const largeImage = h("img", { alt: "", draggable: false });
  const largeView = h("div", { class: "sega-explorer-large", hidden: true }, largeImage);
  const body = h("div", { class: "sega-explorer-body" }, rowLabels, grid, columnLabels, largeView);

  const hint = h("span", { class: "sega-explorer-hint sega-muted" });
  const back = button({
    label: "All",
    icon: "grid",
    title: "Back to all images (Escape)",
    click: () => enlarge(""),
  });
  back.classList.add("sega-explorer-all");
  const before = button({
    label: "Image before",
    icon: "chevron",
    bare: true,
    click: () => turn(-1),
  });
  before.classList.add("sega-explorer-before");
  const after = button({ label: "Image after", icon: "chevron", bare: true, click: () => turn(1) });
  const keep = button({
    label: "Keep this one",
    icon: "check",
    kind: "primary",
    title: "Go on with this image and its edits. The present one stays available.",
    click: () => send(model, "keep", { key: large }),
  });
  const foot = h("div", { class: "sega-explorer-foot" }, back, before, after, hint, keep);
  el.append(head, promptForm, conceptForm, empty, body, foot);

  const enlarge = (/** @type {string} */ key) => {
    const from = large;
    large = key;
    if (key) {
      const small = images.get(key);
      if (small) showImage(largeImage, small.bytes);
      send(model, "enlarge", { key });
    }
    showLarge();
    if (key) active = key;
    const focus = key ? keep : button_of(from);
    focus?.focus();
  };
  const turn = (/** @type {number} */ step) => {
    const ready = tiles().filter((one) => images.has(one.key));
    const place = ready.findIndex((one) => one.key === large);
    const next = ready[(place + step + ready.length) % ready.length];
    const focus = document.activeElement;
    if (next) enlarge(next.key);
    if (focus instanceof HTMLElement) focus.focus();
  };
  const button_of = (/** @type {string} */ key) =>
    /** @type {HTMLElement | undefined} */ (
      [...grid.children].find((one) => /** @type {HTMLElement} */ (one).dataset.key === key)
    );

  const showLarge = () => {
    const found = tiles().find((one) => one.key === large);
    if (!found) large = "";
    largeView.hidden = !large;
    grid.inert = Boolean(large);
    for (const one of [back, before, after, keep]) one.hidden = !large;
    if (found) {
      keep.disabled = found.waiting;
      largeImage.alt = found.caption;
      hint.textContent = found.caption;
    } else hint.textContent = hintText();
  };
  const hintText = () => {
    if (!tiles().length) return "";
    if (isGrid()) return "Choose an image to set both strengths.";
    return "Choose an image to see it large, and to keep it.";
  };

  const createTile = (/** @type {Tile} */ tile) => {
    const image = h("img", { alt: "", draggable: false });
    return h(
      "button",
      { type: "button", class: "sega-explorer-tile", onclick: () => choose(tile.key) },
      h(
        "span",
        { class: "sega-explorer-image" },
        image,
        h("span", { class: "sega-explorer-badge" }),
      ),
      h("span", { class: "sega-explorer-caption sega-number" }),
    );
  };
  const updateTile = (/** @type {HTMLElement} */ element, /** @type {Tile} */ tile) => {
    const [image, badge, caption] = /** @type {[HTMLImageElement, HTMLElement, HTMLElement]} */ (
      ["img", ".sega-explorer-badge", ".sega-explorer-caption"].map((one) =>
        element.querySelector(one),
      )
    );
    if (!images.has(tile.key) && image.src) showImage(image, null);
    const rough = !tile.waiting && !tile.problem && tile.quality !== "exact";
    badge.textContent = tile.problem ? "not possible" : rough ? tile.quality : "";
    setAttribute(badge, "data-rough", Boolean(tile.problem) || tile.quality === "rough");
    caption.textContent = tile.caption;
    caption.hidden = isGrid();
    element.title = describe(tile);
    setAttribute(element, "aria-label", describe(tile));
    setAttribute(element, "data-waiting", tile.waiting);
    setAttribute(element, "data-empty", !image.src);
    setAttribute(element, "aria-pressed", isGrid() ? tile.chosen : null);
    element.tabIndex = tile.key === active ? 0 : -1;
  };
  const choose = (/** @type {string} */ key) => {
    active = key;
    showTiles();
    if (isGrid()) send(model, "apply", { key });
    else if (images.has(key)) enlarge(key);
  };
  const columns = () =>
    isGrid() ? (/** @type {Axes} */ (model.get("axes")).scales?.[0]?.length ?? 1) : 3;

  const showTiles = () => {
    const all = tiles();
    if (!all.some((one) => one.key === active)) {
      active = (all.find((one) => one.chosen) ?? all[0])?.key ?? "";
    }
    const keys = new Set(all.map((one) => one.key));
    for (const [key, { image }] of images) {
      if (keys.has(key)) continue;
      showImage(image, null);
      images.delete(key);
    }
    grid.style.setProperty("--columns", `${columns()}`);
    reconcile(grid, all, (one) => one.key, createTile, updateTile);
    note.textContent = summary(all);
    showLarge();
  };
  const showKind = () => {
    const kind = model.get("kind");
    KINDS.forEach(([one], place) => press(kinds[place], one === kind));
    more.hidden = kind !== "seeds";
    promptForm.hidden = kind !== "prompts";
    const axes = /** @type {Axes} */ (model.get("axes"));
    const grids = isGrid() && axes.names?.length === 2;
    conceptForm.hidden = !grids;
    el.classList.toggle("sega-explorer-two", grids);
    setAttribute(grid, "aria-label", KINDS.find(([one]) => one === kind)?.[1]);
    rowLabels.replaceChildren(
      ...(grids ? [...axes.scales[1]].reverse() : []).map((one) => h("span", {}, one)),
    );
    columnLabels.replaceChildren(...(grids ? axes.scales[0] : []).map((one) => h("span", {}, one)));
    if (grids) {
      showOptions(across, axes.known, axes.names[0]);
      showOptions(up, axes.known, axes.names[1]);
    }
    const text = isGrid() && !grids ? "Add two concepts to see them at several strengths." : "";
    empty.textContent =
      text ||
      (kind === "prompts" && !tiles().length
        ? "Write prompts above to see the present edits with them."
        : "");
    empty.hidden = !empty.textContent;
    showPromptState();
  };
  const showPromptState = () => {
    const pending = prompts.value.trim() !== "" && prompts.value !== model.get("prompts");
    showPrompts.classList.toggle("sega-primary", pending);
  };
  /**
   * @param {HTMLSelectElement} select
   * @param {string[]} names
   * @param {string} chosen
   */
  const showOptions = (select, names, chosen) => {
    reconcile(
      select,
      names,
      (one) => one,
      () => h("option"),
      (option, name) => {
        option.value = option.textContent = name;
      },
    );
    select.value = chosen;
  };
  const chooseAxes = (
    /** @type {HTMLSelectElement} */ changed,
    /** @type {HTMLSelectElement} */ other,
  ) => {
    // A concept is on one axis only: choosing the other's one swaps them.
    const names = /** @type {Axes} */ (model.get("axes")).names;
    if (other.value === changed.value) other.value = names[changed === across ? 0 : 1];
    send(model, "show_concepts", { across: across.value, up: up.value });
  };

  across.addEventListener("change", () => chooseAxes(across, up));
  up.addEventListener("change", () => chooseAxes(up, across));
  prompts.addEventListener("input", showPromptState);
  prompts.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) showPrompts.click();
  });
  grid.addEventListener("keydown", (event) => {
    const all = tiles();
    const place = all.findIndex((one) => one.key === active);
    const next = neighbour(place, event.key, columns(), all.length);
    if (next === place || place < 0) return;
    event.preventDefault();
    active = all[next].key;
    showTiles();
    button_of(active)?.focus();
  });
  el.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (large) enlarge("");
    else send(model, "leave");
  });
  foot.addEventListener("keydown", (event) => {
    if (!large || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    turn(event.key === "ArrowLeft" ? -1 : 1);
  });

  const receive = (
    /** @type {{ kind: string, key: string }} */ message,
    /** @type {DataView[]} */ buffers,
  ) => {
    if (message.kind === "large" && message.key === large) showImage(largeImage, buffers[0]);
    if (message.kind !== "image") return;
    const element = button_of(message.key);
    const image = element?.querySelector("img");
    if (!element || !image) return;
    images.set(message.key, { image, bytes: buffers[0] });
    showImage(image, buffers[0]);
    setAttribute(element, "data-empty", null);
  };
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => {
    model.off("msg:custom", receive);
    for (const { image } of images.values()) showImage(image, null);
    showImage(largeImage, null);
  });
  follow(model, ["aspect"], signal, () =>
    el.style.setProperty("--aspect", `${model.get("aspect")}`),
  );
  follow(model, ["prompts"], signal, () => {
    prompts.value = model.get("prompts");
    showPromptState();
  });
  follow(model, ["kind", "axes", "tiles"], signal, () => {
    showKind();
    showTiles();
  });
  send(model, "ready");
}

export default { render };
