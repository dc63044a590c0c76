import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bringsFiles,
  differing,
  findImage,
  normal,
  seedsProblem,
  split,
} from "../../widgets/sega_widgets/static/scene.js";

const SCENE = { prompt: "a cat", seeds: "3, 4", steps: "50", guidance: "7.5" };

test("seeds are whole numbers with commas", () => {
  for (const one of ["3", " 3 ", "3, 4,5", "18446744073709551615"])
    assert.equal(seedsProblem(one), "");
  for (const one of ["", "eight", "-1", "3.5", "3,", "3 4", "3,,4"]) {
    assert.equal(
      seedsProblem(one),
      "The seed must be a whole number, or several with commas.",
      one,
    );
  }
});

test("texts of the same value are equal", () => {
  assert.equal(normal("seeds", "3,4 "), normal("seeds", "3, 4"));
  assert.equal(normal("guidance", "7.50"), normal("guidance", "7.5"));
  assert.notEqual(normal("prompt", "a cat "), normal("prompt", "a cat"));
  assert.notEqual(normal("steps", ""), normal("steps", "0"));
});

test("fields that differ from the scene are pending", () => {
  assert.deepEqual(differing({ ...SCENE, seeds: "3,4", guidance: "7.50" }, SCENE), []);
  assert.deepEqual(differing({ ...SCENE, prompt: "a dog", steps: "5" }, SCENE), [
    "prompt",
    "steps",
  ]);
});

test("a file is sent whole, in parts", () => {
  const bytes = new Uint8Array([1, 2, 3, 4, 5]).buffer;
  const parts = split(bytes, 2).map((one) => [...new Uint8Array(one)]);
  assert.deepEqual(parts, [[1, 2], [3, 4], [5]]);
  assert.deepEqual(
    split(new ArrayBuffer(4), 2).map((one) => one.byteLength),
    [2, 2],
  );
  assert.deepEqual(
    split(new ArrayBuffer(0), 2).map((one) => one.byteLength),
    [0],
  );
});

test("the first image of a drop is found", () => {
  const data = (/** @type {string[]} */ ...types) =>
    /** @type {any} */ ({
      files: types.map((type) => ({ type })),
      types: ["Files"],
    });
  assert.equal(findImage(data("text/plain", "image/png", "image/jpeg"))?.type, "image/png");
  assert.equal(findImage(data("text/plain")), null);
  assert.equal(findImage(null), null);
  assert.equal(bringsFiles(data()), true);
  assert.equal(bringsFiles(/** @type {any} */ ({ types: ["text/html"] })), false);
  assert.equal(bringsFiles(null), false);
});
