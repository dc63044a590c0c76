// Strokes, boxes, edges and the history of a painted mask.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  NO_HISTORY,
  boxBetween,
  changedBox,
  compose,
  cover,
  curve,
  falloff,
  feathered,
  grown,
  inverted,
  joined,
  middle,
  patchBetween,
  redone,
  share,
  shrunk,
  thinShare,
  undone,
  union,
  whole,
  withBox,
  withPatch,
} from "../../widgets/sega_widgets/static/brush.js";

const SIZE = { width: 12, height: 8 };
const EMPTY = new Uint8Array(96);

/** @param {number} x @param {number} y @param {number} [radius] */
const dab = (x, y, radius = 2) => ({ x, y, radius });

/**
 * @param {import("../../widgets/sega_widgets/static/brush.js").Dab[]} path
 * @param {number} softness
 */
function strokeOf(path, softness) {
  const coverage = new Float32Array(96);
  path.forEach((to, number) => cover(coverage, SIZE, path[Math.max(0, number - 1)], to, softness));
  return coverage;
}

/** @param {Uint8Array} values @param {number} x @param {number} y */
const at = (values, x, y) => values[y * SIZE.width + x];

/** @param {number[]} sides @param {Uint8Array} [values] @param {boolean} [erase] */
const box = ([left, top, right, bottom], values = EMPTY, erase = false) =>
  withBox(values, SIZE, { left, top, right, bottom }, erase);

test("a soft brush fades from its centre to its radius, a hard one in a pixel", () => {
  assert.equal(falloff(0, 10, 1), 1);
  assert.equal(falloff(10, 10, 1), 0);
  assert.equal(falloff(5, 10, 1), 0.5);
  assert.equal(falloff(9.4, 10, 0), 1);
  assert.equal(falloff(10, 10, 0), 0.5);
  assert.equal(falloff(10.6, 10, 0), 0);
  const along = Array.from({ length: 11 }, (_, away) => falloff(away, 10, 0.7));
  assert.deepEqual(
    along,
    [...along].sort((a, b) => b - a),
  );
});

test("a stroke covers the same wherever dabs overlap", () => {
  const once = strokeOf([dab(3, 4), dab(9, 4)], 1);
  const often = strokeOf(
    [3, 3, 4, 6, 5, 7, 8, 9, 9].map((x) => dab(x, 4)),
    1,
  );
  assert.deepEqual(often, once);
});

test("a stroke changes nothing outside its box", () => {
  const coverage = new Float32Array(96);
  const found = cover(coverage, SIZE, dab(4, 3, 1), dab(8, 4, 2), 0.5);
  assert.deepEqual(found, { left: 1, top: 0, right: 11, bottom: 7 });
  coverage.forEach((value, place) => {
    const [x, y] = [place % 12, Math.floor(place / 12)];
    const inside = x >= found.left && x < found.right && y >= found.top && y < found.bottom;
    assert.ok(inside || value === 0);
  });
  assert.ok(coverage[3 * 12 + 4] > 0.9);
});

test("a stroke over the edge of the image is cut off", () => {
  assert.deepEqual(boxBetween(dab(-9, 2), dab(30, 20), SIZE), whole(SIZE));
  const outside = boxBetween(dab(-9, -9), dab(-5, -5), SIZE);
  assert.equal((outside.right - outside.left) * (outside.bottom - outside.top), 0);
  assert.ok(strokeOf([dab(-9, -9), dab(-5, -5)], 0).every((value) => value === 0));
});

test("the radius changes along a stroke", () => {
  const coverage = strokeOf([dab(2, 4, 1), dab(10, 4, 3)], 0);
  const height = (/** @type {number} */ x) =>
    Array.from({ length: 8 }, (_, y) => coverage[y * 12 + x]).filter((value) => value > 0.5).length;
  assert.ok(height(9) > height(6) && height(6) > height(2));
});

test("curves between middles are one line through them", () => {
  const [from, bend, to] = [dab(0, 0), dab(10, 0), dab(10, 10, 4)];
  const path = curve(from, bend, to);
  assert.deepEqual(path.at(-1), to);
  assert.ok(path.length > 3);
  assert.ok(path.every(({ x, y }) => x >= 0 && x <= 10 && y >= 0 && y <= 10 && x >= y));
  assert.deepEqual(curve(from, dab(5, 0), dab(10, 0)), [dab(10, 0)]);
  assert.deepEqual(middle(from, to), dab(5, 5, 3));
});

test("painting raises values, erasing lowers them, both from those before the stroke", () => {
  const before = EMPTY.map(() => 100);
  const coverage = new Float32Array(96).fill(0.5);
  coverage[0] = 0;
  const values = before.slice();
  compose(values, before, coverage, SIZE, { left: 0, top: 0, right: 3, bottom: 1 }, false);
  assert.deepEqual([...values.slice(0, 4)], [100, 178, 178, 100]);
  compose(values, before, coverage, SIZE, { left: 0, top: 0, right: 3, bottom: 1 }, true);
  assert.deepEqual([...values.slice(0, 4)], [100, 50, 50, 100]);
});

test("a box covers pixels in part, whichever way it was drawn", () => {
  const values = box([2.5, 1, 4, 3]);
  assert.deepEqual(
    [1, 2, 3, 4].map((x) => at(values, x, 1)),
    [0, 128, 255, 0],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((y) => at(values, 3, y)),
    [0, 255, 255, 0],
  );
  assert.deepEqual(box([4, 3, 2.5, 1]), values);
  assert.deepEqual(
    box([-5, -5, 50, 50]),
    EMPTY.map(() => 255),
  );
  assert.ok(box([5, 5, 5, 7]).every((value) => value === 0));
  assert.ok(box([0, 0, 12, 8], values, true).every((value) => value === 0));
});

test("a mask grows by a disc, and shrinks as what is outside grows", () => {
  const point = EMPTY.slice();
  point[4 * 12 + 6] = 200;
  const disc = grown(point, SIZE, 2);
  const inside = [];
  disc.forEach((value, place) => {
    const away = Math.hypot((place % 12) - 6, Math.floor(place / 12) - 4);
    if (value) inside.push(place);
    assert.equal(value, away <= 2 ? 200 : 0);
  });
  assert.equal(inside.length, 13);
  assert.deepEqual(shrunk(box([2, 2, 9, 7]), SIZE, 1), box([3, 3, 8, 6]));
  // The image's own sides are no edge.
  assert.deepEqual(shrunk(box([0, 0, 5, 8]), SIZE, 2), box([0, 0, 3, 8]));
  const corner = EMPTY.slice();
  corner[11] = 255;
  assert.deepEqual(changedBox(EMPTY, grown(corner, SIZE, 1), SIZE), {
    left: 10,
    top: 0,
    right: 12,
    bottom: 2,
  });
});

test("feathering softens edges and keeps what is all inside or outside", () => {
  const soft = feathered(box([0, 0, 6, 8]), SIZE, 2);
  const row = Array.from({ length: 12 }, (_, x) => at(soft, x, 3));
  assert.deepEqual(
    row,
    [...row].sort((a, b) => b - a),
  );
  assert.deepEqual([row[0], row[2], row[9], row[11]], [255, 255, 0, 0]);
  assert.ok(row[5] < 255 && row[5] > 128 && row[6] > 0);
  assert.equal(row[5] + row[6], 255);
  assert.deepEqual(
    feathered(
      EMPTY.map(() => 255),
      SIZE,
      9,
    ),
    EMPTY.map(() => 255),
  );
});

test("masks are joined and inverted", () => {
  const [one, other] = [Uint8Array.of(0, 10, 255), Uint8Array.of(5, 3, 0)];
  assert.deepEqual(joined(one, other), Uint8Array.of(5, 10, 255));
  assert.deepEqual(inverted(one), Uint8Array.of(255, 245, 0));
});

test("the share counts grey in part", () => {
  assert.equal(share(EMPTY), 0);
  assert.equal(share(EMPTY.map(() => 255)), 1);
  assert.equal(share(box([0, 0, 6, 8])), 0.5);
  assert.equal(share(Uint8Array.of(51, 51)), 0.2);
});

test("lines much thinner than a cell are told from areas", () => {
  assert.equal(thinShare(box([5, 0, 6, 8]), SIZE, 4), 1);
  assert.equal(thinShare(box([4, 0, 8, 8]), SIZE, 4), 0);
  assert.equal(thinShare(EMPTY, SIZE, 4), 0);
  // A line beside an area.
  assert.equal(thinShare(joined(box([0, 0, 4, 8]), box([8, 0, 9, 8])), SIZE, 4), 0.2);
  // The last cells may be cut off by the image's sides.
  assert.equal(thinShare(box([10, 0, 12, 8]), SIZE, 5), 0);
});

test("boxes are joined", () => {
  const one = { left: 1, top: 2, right: 3, bottom: 4 };
  assert.deepEqual(union(null, one), one);
  assert.deepEqual(union(one, { left: 0, top: 3, right: 2, bottom: 9 }), {
    left: 0,
    top: 2,
    right: 3,
    bottom: 9,
  });
  assert.equal(changedBox(EMPTY, EMPTY.slice(), SIZE), null);
  assert.deepEqual(
    changedBox(
      EMPTY,
      EMPTY.map(() => 1),
      SIZE,
    ),
    whole(SIZE),
  );
});

test("undo and redo restore every value", () => {
  const states = [EMPTY, box([1, 1, 4, 4]), box([2, 2, 12, 8]), inverted(box([2, 2, 12, 8]))];
  let history = NO_HISTORY;
  for (let number = 1; number < states.length; number++) {
    const patch = patchBetween(states[number - 1], states[number], SIZE);
    assert.ok(patch);
    history = withPatch(history, patch);
  }
  const values = states[3].slice();
  for (const expected of [states[2], states[1], states[0], states[0]]) {
    ({ history } = undone(history, values, SIZE));
    assert.deepEqual(values, expected);
  }
  for (const expected of [states[1], states[2], states[3], states[3]]) {
    ({ history } = redone(history, values, SIZE));
    assert.deepEqual(values, expected);
  }
  assert.equal(undone(NO_HISTORY, values, SIZE).box, null);
});

test("a new change ends what could be redone, and no change is none", () => {
  const patch = patchBetween(EMPTY, box([0, 0, 2, 2]), SIZE);
  assert.ok(patch);
  assert.deepEqual(patch.box, { left: 0, top: 0, right: 2, bottom: 2 });
  let { history } = undone(withPatch(NO_HISTORY, patch), box([0, 0, 2, 2]), SIZE);
  assert.equal(history.future.length, 1);
  history = withPatch(history, patch);
  assert.deepEqual([history.past.length, history.future.length], [1, 0]);
  assert.equal(patchBetween(EMPTY, EMPTY.slice(), SIZE), null);
});

test("a history forgets the oldest changes beyond its limit, and never the last", () => {
  const patch = patchBetween(EMPTY, box([0, 0, 2, 2]), SIZE);
  assert.ok(patch);
  let history = NO_HISTORY;
  for (let count = 0; count < 5; count++) history = withPatch(history, patch, 3 * 8);
  assert.equal(history.past.length, 3);
  assert.equal(withPatch(history, patch, 0).past.length, 1);
});
