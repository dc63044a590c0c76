import assert from "node:assert/strict";
import { test } from "node:test";

import { describe, neighbour, summary } from "../../widgets/sega_widgets/static/explorer.js";

const tile = (/** @type {object} */ values = {}) => ({
  key: "1",
  caption: "Seed 7",
  quality: "exact",
  waiting: false,
  problem: "",
  chosen: false,
  ...values,
});

test("arrow keys lead through the grid, and not out of it", () => {
  assert.equal(neighbour(4, "ArrowLeft", 3, 9), 3);
  assert.equal(neighbour(4, "ArrowRight", 3, 9), 5);
  assert.equal(neighbour(4, "ArrowUp", 3, 9), 1);
  assert.equal(neighbour(4, "ArrowDown", 3, 9), 7);
  assert.equal(neighbour(4, "Home", 3, 9), 0);
  assert.equal(neighbour(4, "End", 3, 9), 8);
  assert.equal(neighbour(1, "ArrowUp", 3, 9), 1);
  assert.equal(neighbour(7, "ArrowDown", 3, 8), 7);
  assert.equal(neighbour(4, "a", 3, 9), 4);
});

test("the summary counts images, and those that are refined", () => {
  assert.equal(summary([]), "");
  assert.equal(summary([tile(), tile()]), "");
  assert.equal(summary([tile(), tile({ waiting: true })]), "1 of 2");
  assert.equal(summary([tile(), tile({ quality: "rough" })]), "refining 1");
  assert.equal(summary([tile(), tile({ problem: "no" })]), "1 not possible");
  assert.equal(
    summary([tile({ waiting: true }), tile({ problem: "no" })]),
    "0 of 2, 1 not possible",
  );
});

test("screen readers hear how an image was made", () => {
  assert.equal(describe(tile()), "Seed 7");
  assert.equal(describe(tile({ quality: "close" })), "Seed 7, close");
  assert.equal(describe(tile({ quality: "", waiting: true })), "Seed 7, waiting");
  assert.equal(describe(tile({ problem: "no memory" })), "Seed 7, no memory");
});
