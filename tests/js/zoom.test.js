// Where an image is in its place.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  FIT,
  boxOf,
  closeZoom,
  confine,
  fitScale,
  panBy,
  seenOf,
  shareAt,
  tile,
  zoomAt,
} from "../../widgets/sega_widgets/static/zoom.js";

const IMAGE = { width: 64, height: 64 };
const PLACE = { width: 800, height: 400 };

test("an image fits into its place, in the middle", () => {
  assert.equal(fitScale(IMAGE, PLACE), 6.25);
  assert.deepEqual(boxOf(FIT, IMAGE, PLACE), { x: 200, y: 0, width: 400, height: 400 });
  assert.deepEqual(boxOf(FIT, { width: 100, height: 200 }, { width: 100, height: 100 }), {
    x: 25,
    y: 0,
    width: 50,
    height: 100,
  });
});

test("the point under the pointer stays where it is", () => {
  const point = { x: 350, y: 120 };
  const share = (/** @type {import("../../widgets/sega_widgets/static/zoom.js").View} */ view) => {
    const box = boxOf(view, IMAGE, PLACE);
    return [(point.x - box.x) / box.width, (point.y - box.y) / box.height];
  };
  const [x, y] = share(FIT);
  const near = zoomAt(FIT, 4, point, IMAGE, PLACE);
  const nearer = zoomAt(near, 6, point, IMAGE, PLACE);
  for (const one of [near, nearer]) {
    assert.ok(Math.abs(share(one)[0] - x) < 1e-9);
    assert.ok(Math.abs(share(one)[1] - y) < 1e-9);
  }
  assert.deepEqual(zoomAt(nearer, 1, point, IMAGE, PLACE), FIT);
});

test("the zoom has two ends", () => {
  const middle = { x: 400, y: 200 };
  assert.equal(zoomAt(FIT, 0.2, middle, IMAGE, PLACE).zoom, 1);
  assert.equal(zoomAt(FIT, 1000, middle, IMAGE, PLACE).zoom, 8);
  // A large image is shown up to 16 pixels of the page a pixel.
  const large = { width: 8000, height: 4000 };
  assert.equal(zoomAt(FIT, 1000, middle, large, PLACE).zoom, 160);
});

test("an image cannot be moved out of its place", () => {
  const near = zoomAt(FIT, 4, { x: 400, y: 200 }, IMAGE, PLACE);
  const moved = panBy(near, { x: 100, y: -50 }, IMAGE, PLACE);
  assert.deepEqual(boxOf(moved, IMAGE, PLACE), { x: -300, y: -650, width: 1600, height: 1600 });
  const far = panBy(near, { x: 1e6, y: -1e6 }, IMAGE, PLACE);
  assert.deepEqual(boxOf(far, IMAGE, PLACE), { x: 0, y: -1200, width: 1600, height: 1600 });
  // Where the image does not fill its place it stays in the middle.
  const little = zoomAt(FIT, 1.5, { x: 400, y: 200 }, IMAGE, PLACE);
  assert.equal(panBy(little, { x: 500, y: 0 }, IMAGE, PLACE).x, 0.5);
});

test("a view fits another place", () => {
  const corner = { x: 0, y: 0 };
  const near = panBy(zoomAt(FIT, 4, corner, IMAGE, PLACE), { x: 1e6, y: 1e6 }, IMAGE, PLACE);
  const high = { width: 100, height: 800 };
  assert.deepEqual(boxOf(confine(near, IMAGE, high), IMAGE, high), {
    x: -50,
    y: 200,
    width: 400,
    height: 400,
  });
});

test("the seen part of an image is inside its place", () => {
  const box = { x: -300, y: 20, width: 1600, height: 100 };
  assert.deepEqual(seenOf(box, PLACE), { x: 0, y: 20, width: 800, height: 100 });
});

test("a double click shows the image's own pixels if they are larger", () => {
  assert.equal(closeZoom({ width: 1600, height: 1600 }, PLACE), 4);
  assert.equal(closeZoom(IMAGE, PLACE), 2);
});

test("a handle on a zoomed image divides what is seen of it", () => {
  const box = { x: -300, y: 0, width: 1600, height: 400 };
  const seen = seenOf(box, PLACE);
  assert.equal(shareAt(0, box, seen), 300 / 1600);
  assert.equal(shareAt(0.5, box, seen), 700 / 1600);
  const whole = { x: 10, y: 0, width: 50, height: 50 };
  assert.equal(shareAt(1, whole, whole), 1);
});

test("tiles are as large as their place allows", () => {
  assert.deepEqual(tile(6, IMAGE, { width: 600, height: 600 }, 6), {
    columns: 3,
    width: 196,
    height: 196,
  });
  assert.equal(tile(6, IMAGE, { width: 1200, height: 300 }, 6).columns, 6);
  assert.equal(tile(1, IMAGE, PLACE, 6).width, 400);
  const high = { width: 100, height: 200 };
  assert.deepEqual(tile(4, high, { width: 400, height: 206 }, 0), { columns: 4, ...high });
});
