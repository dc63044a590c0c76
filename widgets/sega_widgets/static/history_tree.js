// The history as rows of a tree, and the lines between them.

/**
 * @typedef {{ parent: number | null, label: string, state: number }} Entry
 *
 * `state` is the number of the entry's edit state: entries of one state share their thumbnail.
 *
 * @typedef {object} Row
 * @property {number} number the entry's
 * @property {number} depth the number of forks above it; its line is in this lane
 * @property {{ lane: number, lit: boolean }[]} through lines that pass by, to later rows
 * @property {"start" | "line" | "turn"} enters how the line comes to it: from its fork with a turn
 * @property {boolean} lit true if it is on the path to the present entry
 * @property {"end" | "line"} leaves whether the line goes on below it
 * @property {boolean} leavesLit true if the path to the present entry goes on below it
 * @property {boolean | null} open whether a fork's entries are shown; null: it is no fork
 * @property {number} hidden the number of entries that a closed fork hides
 */

/** The width of a lane, and the deepest lane that is drawn: deeper forks share it. */
const LANE = 12;
const DEEPEST = 6;

/**
 * Return the entries that follow each entry.
 *
 * @param {Entry[]} entries
 * @returns {number[][]}
 */
export function childrenOf(entries) {
  /** @type {number[][]} */
  const children = entries.map(() => []);
  entries.forEach(({ parent }, number) => {
    if (parent !== null) children[parent].push(number);
  });
  return children;
}

/**
 * Return an entry and those before it, from it to the first.
 *
 * @param {Entry[]} entries
 * @param {number} number
 * @returns {number[]}
 */
export function pathTo(entries, number) {
  const path = [];
  /** @type {number | null} */
  let one = number;
  while (one !== null && entries[one]) {
    path.push(one);
    one = entries[one].parent;
  }
  return path;
}

/**
 * Return the rows of a tree, in the order of their display; only entries after a fork are deeper.
 *
 * @param {Entry[]} entries
 * @param {number} current the present entry
 * @param {Set<number>} closed the forks whose entries are hidden
 * @returns {Row[]}
 */
export function treeRows(entries, current, closed) {
  const children = childrenOf(entries);
  const path = new Set(pathTo(entries, current));
  const below = entries.map(() => 0);
  // A parent has a smaller number than its children.
  for (let number = entries.length - 1; number > 0; number -= 1) {
    below[/** @type {number} */ (entries[number].parent)] += below[number] + 1;
  }
  /** @type {Row[]} */
  const rows = [];
  /** @type {Pick<Row, "number" | "depth" | "through" | "enters">[]} */
  const pending = [{ number: 0, depth: 0, through: [], enters: "start" }];
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { number, depth, through } = next;
    const after = children[number];
    const fork = after.length > 1;
    const hidden = fork && closed.has(number) ? below[number] : 0;
    const goesOn = after.length > 0 && !hidden;
    rows.push({
      ...next,
      lit: path.has(number),
      leaves: goesOn ? "line" : "end",
      leavesLit: goesOn && after.some((one) => path.has(one)),
      open: fork ? !hidden : null,
      hidden,
    });
    if (!goesOn) continue;
    if (!fork) {
      pending.push({ number: after[0], depth, through, enters: "line" });
      continue;
    }
    const litPlace = after.findIndex((one) => path.has(one));
    for (let place = after.length - 1; place >= 0; place -= 1) {
      const passes = place < after.length - 1 ? [{ lane: depth, lit: litPlace > place }] : [];
      pending.push({
        number: after[place],
        depth: depth + 1,
        through: [...through, ...passes],
        enters: "turn",
      });
    }
  }
  return rows;
}

/**
 * Return rows without lines for the entries whose label or branch contains a text.
 *
 * @param {Entry[]} entries
 * @param {Record<string, number>} branches
 * @param {string} text
 * @returns {Row[]}
 */
export function foundRows(entries, branches, text) {
  const wanted = text.trim().toLowerCase();
  const named = new Set(
    Object.entries(branches)
      .filter(([name]) => name.toLowerCase().includes(wanted))
      .map(([, number]) => number),
  );
  return entries.flatMap(({ label }, number) =>
    named.has(number) || pretty(label).toLowerCase().includes(wanted)
      ? [
          {
            number,
            depth: 0,
            through: [],
            enters: /** @type {const} */ ("start"),
            lit: true,
            leaves: /** @type {const} */ ("end"),
            leavesLit: false,
            open: null,
            hidden: 0,
          },
        ]
      : [],
  );
}

/**
 * Return a label as it is shown, with arrows.
 *
 * @param {string} label
 */
export function pretty(label) {
  return label.replaceAll(" -> ", " → ");
}

/**
 * Return the width of the lanes that a row needs.
 *
 * @param {Row} row
 */
export function graphWidth({ depth }) {
  return LANE * (Math.min(depth, DEEPEST) + 1) + 10;
}

/**
 * Return where a row's point is, and the lines as paths of SVG: those on the path to the present
 * entry, and the others.
 *
 * @param {Row} row
 * @param {number} height
 * @returns {{ x: number, y: number, lit: string, plain: string }}
 */
export function graph(row, height) {
  const lane = (/** @type {number} */ depth) => LANE * (Math.min(depth, DEEPEST) + 0.5) + 6;
  const x = lane(row.depth);
  const y = height / 2;
  const lines = { lit: "", plain: "" };
  const draw = (/** @type {boolean} */ lit, /** @type {string} */ line) => {
    lines[lit ? "lit" : "plain"] += line;
  };
  for (const one of row.through) draw(one.lit, `M${lane(one.lane)} 0V${height}`);
  if (row.enters === "line") draw(row.lit, `M${x} 0V${y}`);
  if (row.enters === "turn") {
    const from = lane(row.depth - 1);
    draw(row.lit, `M${from} 0V${y - 10}Q${from} ${y} ${Math.min(from + 10, x)} ${y}H${x}`);
  }
  if (row.leaves === "line") draw(row.leavesLit, `M${x} ${y}V${height}`);
  return { x, y, ...lines };
}
