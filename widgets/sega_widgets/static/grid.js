// The images of a batch beside each other; a click on one enlarges it.

import { h } from "./dom.js";
import { createEarlier, createPicture } from "./picture.js";
import { tile } from "./zoom.js";

/** @typedef {import("./zoom.js").Size} Size */

/** Pixels between two images. */
const GAP = 6;

/** @type {Record<string, (columns: number) => number>} */
const STEPS = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
};

/**
 * Return the images of a batch in rows, as large as their place allows.
 *
 * @param {object} options
 * @param {string[]} options.seeds
 * @param {Size} options.size an image's
 * @param {(number: number) => void} options.choose called with the index of the image to enlarge
 * @param {AbortSignal} options.signal
 */
export function createGrid({ seeds, size, choose, signal }) {
  const tiles = seeds.map((seed, number) => {
    const picture = createPicture(signal, true);
    const earlier = createEarlier("Earlier");
    const caption = h("span", { class: "sega-chip sega-tile-seed sega-number" }, seed);
    const element = h(
      "button",
      { type: "button", class: "sega-tile", title: "Enlarge", onclick: () => choose(number) },
      picture.element,
      h("span", { class: "sega-badges" }, picture.badge, earlier),
      caption,
    );
    return { element, picture, earlier };
  });
  const element = h(
    "div",
    { class: "sega-grid", role: "group", "aria-label": "Images of all seeds", hidden: true },
    ...tiles.map((one) => one.element),
  );
  let columns = 1;

  element.addEventListener("keydown", (event) => {
    const at = tiles.findIndex((one) => one.element === event.target);
    const step = STEPS[event.key]?.(columns);
    if (at < 0 || !step) return;
    event.preventDefault();
    event.stopPropagation();
    tiles[at + step]?.element.focus();
  });

  return {
    element,
    /** @param {number} number */
    focus: (number) => tiles[number].element.focus(),
    /** @param {Size} place */
    layOut: (place) => {
      const found = tile(tiles.length, size, place, GAP);
      columns = found.columns;
      element.style.gridTemplateColumns = `repeat(${columns}, ${found.width}px)`;
      element.style.gridAutoRows = `${found.height}px`;
    },
    /**
     * @param {DataView[]} images
     * @param {import("./picture.js").Caption[]} captions
     * @param {DataView[]} references
     * @param {boolean} isEarlier true if they were made before the last edit
     */
    show: (images, captions, references, isEarlier) => {
      tiles.forEach(({ picture, earlier }, number) => {
        picture.show(images[number], captions[number], references[number]);
        earlier.hidden = !isEarlier;
      });
    },
  };
}
