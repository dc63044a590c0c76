import assert from "node:assert/strict";
import { test } from "node:test";

import {
  childrenOf,
  foundRows,
  graph,
  graphWidth,
  pathTo,
  pretty,
  treeRows,
} from "../../widgets/sega_widgets/static/history_tree.js";

/** 0 - 1 - 2, and from 1 also 3 - 4 and 5. */
const PARENTS = [null, 0, 1, 1, 3, 1];
const ENTRIES = PARENTS.map((parent, number) => ({
  parent,
  label: `entry ${number}`,
  state: number,
}));

test("only entries after a fork are deeper", () => {
  const rows = treeRows(ENTRIES, 4, new Set());
  assert.deepEqual(
    rows.map(({ number, depth }) => [number, depth]),
    [
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 1],
      [4, 1],
      [5, 1],
    ],
  );
  assert.deepEqual(
    rows.map(({ open }) => open),
    [null, true, null, null, null, null],
  );
  assert.deepEqual(
    rows.map(({ enters }) => enters),
    ["start", "line", "turn", "turn", "line", "turn"],
  );
  assert.deepEqual(
    rows.map(({ leaves }) => leaves),
    ["line", "line", "end", "line", "end", "end"],
  );
});

test("the path to the present entry is lit", () => {
  const rows = treeRows(ENTRIES, 4, new Set());
  assert.deepEqual(pathTo(ENTRIES, 4), [4, 3, 1, 0]);
  assert.deepEqual(
    rows.filter(({ lit }) => lit).map(({ number }) => number),
    [0, 1, 3, 4],
  );
  assert.deepEqual(
    rows.filter(({ leavesLit }) => leavesLit).map(({ number }) => number),
    [0, 1, 3],
  );
  // A line passes the siblings before it, lit if the path turns off after them.
  assert.deepEqual(
    rows.map(({ through }) => through),
    [[], [], [{ lane: 0, lit: true }], [{ lane: 0, lit: false }], [{ lane: 0, lit: false }], []],
  );
});

test("a closed fork hides all that follows", () => {
  const rows = treeRows(ENTRIES, 4, new Set([1, 3]));
  assert.deepEqual(
    rows.map(({ number, open, hidden }) => [number, open, hidden]),
    [
      [0, null, 0],
      [1, false, 4],
    ],
  );
  assert.equal(rows[1].leaves, "end");
});

test("an entry that is no fork cannot be closed", () => {
  assert.equal(treeRows(ENTRIES, 0, new Set([0, 3])).length, ENTRIES.length);
});

test("a text finds labels and branches", () => {
  const entries = ENTRIES.map((one, number) =>
    number === 2 ? { ...one, label: "Glasses: scale 4 -> 6" } : one,
  );
  const found = (/** @type {string} */ text) =>
    foundRows(entries, { cheerful: 5 }, text).map(({ number }) => number);
  assert.deepEqual(found("glasses"), [2]);
  assert.deepEqual(found(" 4 → 6 "), [2]);
  assert.deepEqual(found("CHEER"), [5]);
  assert.deepEqual(found("entry"), [0, 1, 3, 4, 5]);
  assert.deepEqual(found("hat"), []);
});

test("lines run in lanes", () => {
  const [, fork, first, , , last] = treeRows(ENTRIES, 4, new Set());
  assert.deepEqual(graph(fork, 48), { x: 12, y: 24, lit: "M12 0V24M12 24V48", plain: "" });
  assert.deepEqual(graph(first, 48), {
    x: 24,
    y: 24,
    lit: "M12 0V48",
    plain: "M12 0V14Q12 24 22 24H24",
  });
  assert.equal(graph(last, 48).lit, "");
  assert.ok(graphWidth(first) > graphWidth(fork));
});

test("deep forks share the last lane", () => {
  // Every entry has two children, of which the second goes on.
  const parents = [null, ...Array.from({ length: 40 }, (_, one) => Math.floor(one / 2) * 2)];
  const entries = parents.map((parent, number) => ({ parent, label: "", state: number }));
  const rows = treeRows(entries, 0, new Set());
  assert.equal(Math.max(...rows.map(({ depth }) => depth)), 20);
  assert.ok(Math.max(...rows.map(graphWidth)) < 100);
});

test("a long history is complete", () => {
  const entries = Array.from({ length: 5000 }, (_, number) => ({
    parent: number ? number - 1 : null,
    label: "",
    state: number,
  }));
  assert.equal(treeRows(entries, 4999, new Set()).length, 5000);
  assert.equal(childrenOf(entries)[4998][0], 4999);
});

test("arrows are arrows", () => {
  assert.equal(
    pretty("glasses: scale 4 -> 6; hat: scale 1 -> 2"),
    "glasses: scale 4 → 6; hat: scale 1 → 2",
  );
  assert.equal(pretty("a->b"), "a->b");
});
