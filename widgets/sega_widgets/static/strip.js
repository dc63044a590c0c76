// One concept at several scales, side by side.

import { follow, h, send, setAttribute } from "./dom.js";
import { icon } from "./icons.js";
import { createPicture } from "./picture.js";

/**
 * @typedef {import("./picture.js").Caption & { scale: number, current: boolean }} Tile
 */

/** The images of the strip. */
const COUNT = 7;

const HINT = "Add a concept to see it at several scales";

/** @type {import("@anywidget/types").Render} */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-strip");
  // JupyterLab uses Enter itself, which presses buttons, unless an element asks it not to.
  el.dataset.lmSuppressShortcuts = "true";
  const toggle = h(
    "button",
    {
      type: "button",
      class: "sega-disclosure",
      "aria-expanded": false,
      onclick: () => send(model, "open", { shown: !model.get("shown") }),
    },
    icon("chevron"),
    "Strengths",
  );
  const concept = h("select", {
    "aria-label": "Concept of the strip",
    onchange: () => send(model, "concept", { name: concept.value }),
  });
  const note = h("span", { class: "sega-muted sega-number sega-strip-note" });
  const [width, height] = model.get("size");
  const tiles = Array.from({ length: COUNT }, (_, number) => createTile(number));
  const elements = tiles.map((one) => one.element);
  const row = h("div", { class: "sega-strip-row", hidden: true }, ...elements);
  row.style.setProperty("--sega-ratio", `${width} / ${height}`);
  const head = h("div", { class: "sega-strip-head" }, h("h2", {}, toggle), concept, note);
  el.append(h("section", { "aria-label": "Strengths" }, head, row));

  /** @param {number} number */
  function createTile(number) {
    const picture = createPicture(signal, true);
    const label = h("span", { class: "sega-strip-scale sega-number" });
    const element = h(
      "button",
      {
        type: "button",
        class: "sega-strip-tile",
        onclick: () => {
          const tile = tileAt(number);
          if (tile) send(model, "scale", { name: model.get("concept"), scale: tile.scale });
        },
      },
      h("span", { class: "sega-strip-image" }, picture.element, picture.badge),
      label,
    );
    return { element, picture, label };
  }

  /** @type {(number: number) => Tile | undefined} */
  const tileAt = (number) => model.get("tiles")[number];

  /** @type {string[]} */
  let offered = [];
  function updateHead() {
    /** @type {string[]} */
    const names = model.get("concepts");
    if (names.join("\n") !== offered.join("\n")) {
      concept.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      offered = names;
    }
    concept.value = model.get("concept");
    const shown = model.get("shown") && names.length > 0;
    toggle.disabled = !names.length;
    setAttribute(toggle, "aria-expanded", shown);
    concept.classList.toggle("sega-unused", !shown);
    note.textContent = names.length ? model.get("progress") : HINT;
    if (row.hidden === !shown) return;
    row.hidden = !shown;
    // Where the row is wider than its place, its middle is seen first.
    row.scrollLeft = (row.scrollWidth - row.clientWidth) / 2;
  }

  function updateTiles() {
    tiles.forEach(({ element, picture, label }, number) => {
      const tile = tileAt(number);
      if (!tile) return;
      picture.show(model.get(`image_${number}`), tile);
      label.textContent = formatScale(tile.scale);
      setAttribute(element, "aria-pressed", tile.current);
      setAttribute(element, "data-quality", tile.quality);
      element.title = tile.current ? tile.tip : `Set ${tile.alt}. ${tile.tip}`;
    });
  }

  const images = tiles.map((_, number) => `image_${number}`);
  follow(model, ["shown", "concepts", "concept", "progress"], signal, updateHead);
  follow(model, ["tiles", ...images], signal, updateTiles);
}

/**
 * Return a scale with a real minus sign.
 *
 * @param {number} scale
 */
function formatScale(scale) {
  return `${scale}`.replace("-", "−");
}

export default { render };
