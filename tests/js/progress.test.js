import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { announcer } from "../../widgets/sega_widgets/static/progress.js";

/** @type {string[]} */
let said;
/** @type {(state: string, text: string) => void} */
let announce;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  said = [];
  announce = announcer((text) => said.push(text));
});

test("a short render is not announced", () => {
  announce("busy", "Rendering");
  mock.timers.tick(900);
  announce("idle", "Exact");
  mock.timers.tick(10_000);
  assert.deepEqual(said, []);
});

test("a long render is announced when it begins and when it ends, and not between", () => {
  for (let step = 0; step < 20; step++) {
    announce("busy", `Rendering · about ${20 - step} s`);
    mock.timers.tick(1000);
  }
  announce("further", "More images · 0 of 7");
  announce("further", "More images · 1 of 7");
  announce("idle", "Exact");
  assert.deepEqual(said, ["Rendering", "Exact"]);
});

test("a cancel is always announced", () => {
  announce("busy", "Rendering");
  announce("stopped", "Stopped");
  assert.deepEqual(said, ["Stopped"]);
});

test("a drag is not announced", () => {
  for (let step = 0; step < 20; step++) {
    announce("moving", "Preview");
    mock.timers.tick(1000);
  }
  assert.deepEqual(said, []);
});
