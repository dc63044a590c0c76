// The history: thumbnails in a tree, the present entry marked.

import { button, press } from "./controls.js";
import { follow, h, reconcile, send, setAttribute } from "./dom.js";
import { foundRows, graph, graphWidth, pathTo, pretty, treeRows } from "./history_tree.js";
import { icon } from "./icons.js";
import { showToasts } from "./toasts.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {import("./history_tree.js").Entry} Entry
 * @typedef {import("./history_tree.js").Row} Row
 *
 * @typedef {object} Shown what a row of the list shows
 * @property {Row} row
 * @property {Entry} entry
 * @property {string[]} names of the branches that end at it
 * @property {boolean} current
 * @property {boolean} pinned
 */

/** The height of a row, as in history.css. */
const HEIGHT = 48;

/** A history that is longer can be filtered. */
const FEW = 12;

const MAC = globalThis.navigator?.platform.startsWith("Mac");
const UNDO = MAC ? "⌘Z" : "Ctrl+Z";
const REDO = MAC ? "⇧⌘Z" : "Ctrl+Shift+Z";

const TRAITS = ["entries", "newest", "branches", "current", "redo_target", "pinned", "can_pin"];

const SVG = "http://www.w3.org/2000/svg";

/** @type {WeakMap<HTMLElement, string>} What each row shows, so that others are left alone. */
const shownIn = new WeakMap();

/**
 * Return an image file as an address; nothing has to be released, since thumbnails are small.
 *
 * @param {DataView} file
 */
function address(file) {
  const bytes = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
  const text = Array.from(bytes, (one) => String.fromCharCode(one)).join("");
  return `data:image/${text.startsWith("RIFF") ? "webp" : "png"};base64,${btoa(text)}`;
}

/**
 * Return an empty row.
 *
 * @returns {HTMLElement}
 */
function createRow() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "sega-history-graph");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"), document.createElementNS(SVG, "path"));
  svg.append(document.createElementNS(SVG, "circle"));
  svg.children[1].setAttribute("class", "sega-history-lit");
  // The list listens for clicks on all of them.
  const act = (/** @type {string} */ name, /** @type {HTMLButtonElement} */ one) => {
    one.dataset.act = name;
    return one;
  };
  const bare = { bare: true, click: () => {} };
  const name = button({ label: "Begin a branch here", icon: "branch", ...bare });
  const pin = button({ label: "Compare with this", icon: "pin", pressed: false, ...bare });
  const chevron = h("span", {}, icon("chevron"));
  return h(
    "div",
    { class: "sega-history-row", role: "treeitem", tabIndex: -1 },
    /** @type {any} */ (svg),
    h("span", { class: "sega-history-thumbnail" }, h("img", { alt: "", draggable: false })),
    h(
      "span",
      { class: "sega-history-words" },
      // Spaces keep words apart for screen readers.
      h("span", { class: "sega-history-label" }),
      " ",
      h("span", { class: "sega-history-names" }),
      " ",
      h("span", { class: "sega-history-hidden sega-muted" }),
    ),
    h("span", { class: "sega-history-pinned", title: "Compared with" }, icon("pin")),
    h("span", { class: "sega-history-number sega-number" }),
    act("fold", h("button", { type: "button", class: "sega-history-fold", tabIndex: -1 }, chevron)),
    h("span", { class: "sega-history-acts" }, act("name", name), act("pin", pin)),
  );
}

/**
 * Show an entry in its row.
 *
 * @param {HTMLElement} element
 * @param {Shown} shown
 */
function updateRow(element, { row, entry, names, current, pinned }) {
  const find = (/** @type {string} */ part) =>
    /** @type {HTMLElement} */ (element.querySelector(`.sega-history-${part}`));
  const label = pretty(entry.label);
  element.classList.toggle("sega-history-off", !row.lit);
  // The present entry is behind a closed fork.
  element.classList.toggle("sega-history-holds", row.lit && !current && row.hidden > 0);
  setAttribute(element, "aria-level", row.depth + 1);
  setAttribute(element, "aria-selected", current);
  setAttribute(element, "aria-current", current ? "true" : null);
  setAttribute(element, "aria-expanded", row.open);
  const folded = row.hidden ? `${row.hidden} folded` : "";
  const words = [label, ...names, folded, current && "you are here", pinned && "compared with"];
  setAttribute(element, "aria-label", words.filter(Boolean).join(", "));
  // A change of a number stays in one line.
  find("label").textContent = label.replaceAll(" → ", "\u00a0→\u00a0");
  find("label").title = label;
  find("number").dataset.number = `${row.number}`;
  find("pinned").hidden = !pinned;
  showNames(find("names"), names);
  press(/** @type {HTMLButtonElement} */ (element.querySelector("[data-act=pin]")), pinned);
  find("hidden").textContent = folded;
  const { x, y, lit, plain } = graph(row, HEIGHT);
  const fold = find("fold");
  fold.hidden = row.open === null;
  fold.title = row.open ? "Fold what follows" : "Show what follows";
  fold.style.left = `${x - 12}px`;
  setAttribute(fold, "aria-label", fold.title);
  const svg = /** @type {Element} */ (element.firstElementChild);
  const [others, path, point] = svg.children;
  setAttribute(svg, "width", graphWidth(row));
  setAttribute(svg, "height", HEIGHT);
  setAttribute(others, "d", plain);
  setAttribute(path, "d", lit);
  setAttribute(point, "cx", x);
  setAttribute(point, "cy", y);
  setAttribute(point, "r", 4);
}

/** @param {HTMLElement} place @param {string[]} names */
function showNames(place, names) {
  const create = (/** @type {string} */ name) =>
    h("span", { class: "sega-history-name", title: "Double-click to rename" }, name, " ");
  reconcile(
    place,
    names,
    (name) => name,
    create,
    () => {},
  );
}

/** @param {HTMLElement} element @param {{ url: string, exact: boolean } | undefined} thumbnail */
function showThumbnail(element, thumbnail) {
  const place = /** @type {HTMLElement} */ (element.children[1]);
  const image = /** @type {HTMLImageElement} */ (place.firstElementChild);
  // While an entry changes, its last thumbnail stays until the next one is there.
  if (thumbnail && image.src !== thumbnail.url) image.src = thumbnail.url;
  const rough = thumbnail !== undefined && !thumbnail.exact;
  place.classList.toggle("sega-history-rough", rough);
  setAttribute(place, "title", rough ? "An approximate image" : null);
}

/**
 * Scroll a list, and nothing around it, until a row and its neighbours are seen.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement | undefined} row
 */
function reveal(list, row) {
  if (!row) return;
  const first = row.offsetTop - HEIGHT;
  const last = row.offsetTop + 2 * HEIGHT - list.clientHeight;
  if (list.scrollTop > first) list.scrollTop = first;
  else if (list.scrollTop < last) list.scrollTop = last;
}

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-history");
  /** @type {Entry[]} */
  let entries = [];
  /** @type {Shown[]} */
  let shown = [];
  let current = -1;
  /** @type {Set<number>} */
  const closed = new Set();
  /** @type {Map<number, { url: string, exact: boolean }>} */
  const thumbnails = new Map();
  /** @type {{ number: number, wanted: string, stop: () => void } | null} */
  let naming = null;

  // Where there is nothing to undo, the button keeps the focus, and Python does nothing.
  const undo = button({ label: "Undo", icon: "undo", click: () => send(model, "undo") });
  const redo = button({ label: "Redo", icon: "redo", click: () => send(model, "redo") });
  const search = h("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter the history",
  });
  const count = h("span", { class: "sega-muted sega-number", role: "status" });
  const filter = h(
    "div",
    { class: "sega-history-filter", hidden: true },
    icon("search"),
    search,
    count,
  );
  const list = h("div", { class: "sega-history-list", role: "tree", "aria-label": "Entries" });
  const hint = h("p", { class: "sega-history-hint sega-muted" });
  el.append(
    h(
      "section",
      { "aria-label": "History" },
      h("header", { class: "sega-history-head" }, h("h2", {}, "History"), undo, redo),
      filter,
      list,
      hint,
    ),
  );

  /** @returns {HTMLElement[]} */
  const rows = () => /** @type {HTMLElement[]} */ ([...list.children]);
  const rowOf = (/** @type {number} */ number) =>
    rows()[shown.findIndex(({ row }) => row.number === number)];
  const numberOf = (/** @type {HTMLElement} */ row) => Number(row.dataset.key);
  const focused = () => rows().find((row) => row.contains(document.activeElement));

  /** Make a row the one that the Tab key goes to. */
  const makeTabStop = (/** @type {HTMLElement | undefined} */ row) => {
    for (const one of list.querySelectorAll("[role=treeitem][tabindex='0']")) {
      if (one !== row) setAttribute(one, "tabindex", -1);
    }
    if (row) setAttribute(row, "tabindex", 0);
  };
  const focus = (/** @type {HTMLElement | undefined} */ row) => {
    if (!row) return;
    makeTabStop(row);
    row.focus({ preventScroll: true });
    reveal(list, row);
  };

  function update() {
    entries = [...model.get("entries"), model.get("newest")];
    const before = current;
    current = model.get("current");
    const held = focused();
    const heldNumber = held && numberOf(held);
    if (current !== before) {
      for (const number of pathTo(entries, current).slice(1)) closed.delete(number);
    }
    /** @type {Record<string, number>} */
    const branches = model.get("branches");
    /** @type {Map<number, string[]>} */
    const names = new Map();
    for (const [name, number] of Object.entries(branches)) {
      names.set(number, [...(names.get(number) ?? []), name]);
    }
    if (naming && branches[naming.wanted] === naming.number) naming.stop();
    const text = search.value.trim();
    filter.hidden = entries.length <= FEW && !text;
    const found = text ? foundRows(entries, branches, text) : treeRows(entries, current, closed);
    count.textContent = text ? `${found.length} of ${entries.length}` : "";
    shown = found.map((row) => ({
      row,
      entry: entries[row.number],
      names: names.get(row.number) ?? [],
      current: row.number === current,
      pinned: row.number === model.get("pinned"),
    }));
    list.classList.toggle("sega-history-unpinnable", !model.get("can_pin"));
    list.classList.toggle("sega-history-found", text !== "");
    reconcile(
      list,
      shown,
      ({ row }) => `${row.number}`,
      createRow,
      (element, item) => {
        const words = JSON.stringify(item);
        if (shownIn.get(element) !== words) updateRow(element, item);
        shownIn.set(element, words);
        showThumbnail(element, thumbnails.get(item.entry.state));
      },
    );
    hint.hidden = text ? found.length > 0 : entries.length > 1;
    hint.textContent = text
      ? `No entry has “${text}”.`
      : "Every edit is kept here. Go back to any of them.";
    showSteps();
    const row = rowOf(current);
    const goesAlong = heldNumber === before && document.activeElement === held;
    if (!held) makeTabStop(row ?? rows()[0]);
    // The focus goes along with the present entry, and is not lost with a row.
    else if (goesAlong || !held.isConnected) focus(row ?? rows()[0]);
    if (current !== before) reveal(list, row);
  }

  function showSteps() {
    const next = model.get("redo_target");
    const past = entries[current]?.parent ?? null;
    setAttribute(undo, "aria-disabled", past === null);
    setAttribute(redo, "aria-disabled", next === null);
    const undone = past === null ? "Nothing to undo" : `Undo: ${pretty(entries[current].label)}`;
    const redone = next === null ? "Nothing to redo" : `Redo: ${pretty(entries[next].label)}`;
    undo.title = `${undone} (${UNDO})`;
    redo.title = `${redone} (${REDO})`;
  }

  function fold(/** @type {number} */ number) {
    if (!closed.delete(number)) closed.add(number);
    update();
  }

  /** Let the user type the name of a branch: a new one, or another for an old one. */
  function name(/** @type {number} */ number, /** @type {string | undefined} */ old) {
    naming?.stop();
    const row = rowOf(number);
    const label = old === undefined ? "Name of the branch" : `New name of ${old}`;
    const field = h("input", {
      type: "text",
      class: "sega-history-field",
      value: old ?? "",
      placeholder: "Name, then Enter",
      "aria-label": label,
    });
    const stop = () => {
      naming = null;
      row.classList.remove("sega-history-naming");
      const hadFocus = field === document.activeElement;
      field.remove();
      if (hadFocus) focus(row);
    };
    const submit = () => {
      const wanted = field.value.trim();
      if (!naming) return;
      if (!wanted || wanted === old) naming.stop();
      else if (naming.wanted !== wanted) {
        // The field stays until the name is there, so that a refused one can be corrected.
        naming.wanted = wanted;
        if (old === undefined) send(model, "name", { entry: number, name: wanted });
        else send(model, "rename", { old, new: wanted });
      }
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" && !event.isComposing) submit();
      if (event.key === "Escape") stop();
    });
    field.addEventListener("blur", submit);
    naming = { number, wanted: "", stop };
    row.classList.add("sega-history-naming");
    row.children[2].append(field);
    field.focus({ preventScroll: true });
    field.select();
  }

  const go = (/** @type {number} */ number) => send(model, "go", { entry: number });
  const pin = (/** @type {number} */ number) => {
    if (!model.get("can_pin")) return;
    send(model, "pin", { entry: number === model.get("pinned") ? null : number });
  };

  list.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = /** @type {HTMLElement | null} */ (target.closest(".sega-history-row"));
    if (!row || target.closest("input")) return;
    const number = numberOf(row);
    makeTabStop(row);
    const act = /** @type {HTMLElement | null} */ (target.closest("[data-act]"))?.dataset.act;
    if (act === "fold") fold(number);
    else if (act === "name") name(number, undefined);
    else if (act === "pin") pin(number);
    else go(number);
  });
  list.addEventListener("dblclick", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = /** @type {HTMLElement | null} */ (target.closest(".sega-history-row"));
    if (row && target.matches(".sega-history-name")) name(numberOf(row), target.dataset.key);
  });
  list.addEventListener("keydown", (event) => {
    const row = /** @type {HTMLElement} */ (event.target);
    if (!row.matches(".sega-history-row") || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = rows();
    const place = all.indexOf(row);
    const {
      row: { number, depth, open },
      names,
    } = shown[place];
    const above = () =>
      all[shown.findLastIndex((one, other) => other < place && one.row.depth < depth)];
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => focus(all[place + 1]),
      ArrowUp: () => focus(all[place - 1]),
      Home: () => focus(all[0]),
      End: () => focus(all.at(-1)),
      ArrowLeft: () => (open ? fold(number) : focus(above())),
      ArrowRight: () => (open === false ? fold(number) : open && focus(all[place + 1])),
      Enter: () => go(number),
      " ": () => go(number),
      F2: () => name(number, names[0]),
      p: () => pin(number),
    };
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  search.addEventListener("input", () => {
    update();
    if (search.value) list.scrollTop = 0;
    else reveal(list, rowOf(current));
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !search.value) return;
    event.stopPropagation();
    search.value = "";
    search.dispatchEvent(new Event("input"));
  });

  // One message may change several traits.
  let waiting = false;
  const updateSoon = () => {
    if (waiting) return;
    waiting = true;
    queueMicrotask(() => {
      waiting = false;
      if (!signal.aborted) update();
    });
  };
  /**
   * @param {{ kind: string, states: number[], exact: boolean[] }} content
   * @param {DataView[]} files
   */
  const receive = ({ kind, states, exact }, files) => {
    if (kind !== "thumbnails") return;
    const known = new Set(entries.map(({ state }) => state));
    for (const state of thumbnails.keys()) if (!known.has(state)) thumbnails.delete(state);
    states.forEach((state, place) => {
      thumbnails.set(state, { url: address(files[place]), exact: exact[place] });
    });
    shown.forEach(({ entry }, place) => {
      showThumbnail(/** @type {HTMLElement} */ (list.children[place]), thumbnails.get(entry.state));
    });
  };
  model.on("msg:custom", receive);
  // The list has no height before it is on the page, or while another session is shown.
  let height = 0;
  const observer = new ResizeObserver(() => {
    if (!height) reveal(list, rowOf(current));
    height = list.clientHeight;
  });
  observer.observe(list);
  signal.addEventListener("abort", () => {
    model.off("msg:custom", receive);
    observer.disconnect();
  });
  follow(model, TRAITS, signal, updateSoon);
  update();
  send(model, "thumbnails");
  // Without a panel, the part shows its messages itself.
  if (model.get("toasts")) showToasts(model, el, signal);
}

export default { render };
