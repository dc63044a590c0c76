// Icons: strokes of 1.75 in a box of 24, in the colour of the text.

const PATHS = {
  add: "M12 5v14M5 12h14",
  branch:
    "M6 4v16M6 14c0-4 12-2 12-8M18 6a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM6 4a2 2 0 1 0 0-.01M6 22a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  brush:
    "M20 4 9.5 14.5M8 14c-3 0-4 2-4 4 0 1-.6 1.600-1.500 2C5 21.500 10 21 10.500 17c.2-1.700-1-3-2.500-3ZM18.500 2.500l3 3L12 15l-3-3 9.500-9.500Z",
  check: "M5 12.500 10 17.500 19.500 7",
  chevron: "M9 6l6 6-6 6",
  close: "M6 6l12 12M18 6 6 18",
  compare: "M12 3v18M5 6h5v12H5zM14 6h5v12h-5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  dice: "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2ZM8 8h.01M16 8h.01M12 12h.01M8 16h.01M16 16h.01",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  eraser:
    "M8 20h12M4.500 15.500l9-9a2 2 0 0 1 2.800 0l3.200 3.200a2 2 0 0 1 0 2.800L12 20H8l-3.500-3.500a1 1 0 0 1 0-1ZM9 11l6 6",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  folder: "M3 6a1 1 0 0 1 1-1h5l2 2.500h9a1 1 0 0 1 1 1V18a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6Z",
  fullscreen: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  grid: "M4 4h6.500v6.500H4zM13.500 4H20v6.500h-6.500zM4 13.500h6.500V20H4zM13.500 13.500H20V20h-6.500z",
  heat: "M12 3c1 4 5 5.500 5 10.500a5 5 0 0 1-10 0c0-2 1-3 2-4 .3 1.500 1 2.200 2 2.500-.5-3 0-6 1-9Z",
  help: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM9.500 9.500a2.500 2.500 0 1 1 3.600 2.200c-.8.400-1.100.900-1.100 1.800M12 16.800v.01",
  image: "M4 5h16v14H4zM4 16l4.500-4.500 4 4 2.500-2.500 5 5M15.500 9.500h.01",
  invert: "M12 3a9 9 0 1 0 0 18V3ZM12 3a9 9 0 0 1 0 18",
  keyboard: "M3 7h18v10H3zM7 10.500h.01M10.500 10.500h.01M14 10.500h.01M17 10.500h.01M8 14h8",
  mask: "M4 4h16v16H4zM12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z",
  minus: "M5 12h14",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  photo: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Z",
  pin: "M9 4h6l-1 6 3 3H7l3-3-1-6ZM12 13v7",
  pixels: "M4 4h16v16H4zM4 9.300h16M4 14.700h16M9.300 4v16M14.700 4v16",
  play: "M7 5l12 7-12 7V5Z",
  protect: "M12 3l7 2.500V11c0 4.500-3 8-7 10-4-2-7-5.500-7-10V5.500L12 3Z",
  redo: "M15 4l5 5-5 5M20 9h-9a6 6 0 0 0 0 12h3",
  rename: "M4 20h4L19 9l-4-4L4 16v4ZM13 7l4 4",
  reset: "M4 5v5h5M4.500 10a8 8 0 1 1-.3 4",
  save: "M5 4h11l4 4v11a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1ZM8 4v5h7V4M7 20v-6h10v6",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM16 16l4.500 4.500",
  settings:
    "M4 7h9M17 7h3M4 17h3M11 17h9M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  smooth: "M3 17c4 0 4-10 9-10s5 10 9 10",
  stop: "M6 6h12v12H6z",
  swap: "M7 4 3 8l4 4M3 8h14M17 12l4 4-4 4M21 16H7",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
  undo: "M9 4 4 9l5 5M4 9h9a6 6 0 0 1 0 12h-3",
  warning: "M12 4 2.500 20h19L12 4ZM12 10v4.500M12 17.300v.01",
  fill: "M4 4h16v16H4zM4 14l10-10M4 20 20 4M10 20l10-10",
  marquee: "M4 8V4h4M11 4h2M16 4h4v4M20 11v2M20 16v4h-4M13 20h-2M8 20H4v-4M4 13v-2",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * Return an icon, which screen readers skip.
 *
 * @param {IconName} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 24 24",
    "aria-hidden": "true",
    class: "sega-icon",
  })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
