import assert from "node:assert/strict";
import { mock, test } from "node:test";

import {
  INTERVAL,
  PAUSE,
  formatNumber,
  fractionOf,
  gestures,
  parseNumber,
  reachFor,
  snap,
  valueOfKey,
} from "../../widgets/sega_widgets/static/slider.js";

const range = { min: -10, max: 10 };
const steps = { step: 0.1, fine: 0.01, page: 1 };

test("a value is a multiple of the step, within the range", () => {
  assert.equal(snap(0.30000000000000004, range, 0.1), 0.3);
  assert.equal(snap(-3.26, range, 0.1), -3.3);
  assert.equal(snap(11, range, 0.1), 10);
  assert.equal(snap(-11, range, 0.1), -10);
  assert.equal(snap(7.6, { min: 0, max: 49 }, 1), 8);
});

test("a fraction stays within the slider", () => {
  assert.equal(fractionOf(0, range), 0.5);
  assert.equal(fractionOf(30, range), 1);
  assert.equal(fractionOf(-30, range), 0);
  assert.equal(fractionOf(0, { min: 0, max: 0 }), 0);
});

test("keys move by steps, fine steps and pages, and to the ends", () => {
  const at = (/** @type {string} */ key, shift = false, value = 4) =>
    valueOfKey(key, shift, value, range, steps);
  assert.equal(at("ArrowRight"), 4.1);
  assert.equal(at("ArrowUp"), 4.1);
  assert.equal(at("ArrowLeft"), 3.9);
  assert.equal(at("ArrowDown", true), 3.99);
  assert.equal(at("PageUp"), 5);
  assert.equal(at("PageDown"), 3);
  assert.equal(at("Home"), -10);
  assert.equal(at("End"), 10);
  assert.equal(at("ArrowRight", false, 9.95), 10);
  assert.equal(at("ArrowRight", false, 4.123), 4.22);
  assert.equal(at("a"), null);
  assert.equal(at("Tab"), null);
});

test("numbers are read as people type them", () => {
  assert.equal(parseNumber(" 4 "), 4);
  assert.equal(parseNumber("\u22123,5"), -3.5);
  assert.equal(parseNumber(".95"), 0.95);
  for (const text of ["", "  ", "-", "four", "1.2.3", "1e999"]) {
    assert.equal(parseNumber(text), null);
  }
});

test("numbers are shown with a true minus sign and no useless digits", () => {
  assert.equal(formatNumber(4, 1), "4.0");
  assert.equal(formatNumber(-3.25, 1), "\u22123.25");
  assert.equal(formatNumber(-0.0001, 1), "0.0");
  assert.equal(formatNumber(0.95, 3), "0.950");
  assert.equal(formatNumber(10, 0), "10");
  assert.equal(formatNumber(1e21, 1), "1e+21");
  for (const one of [4, -3.25, 0, 12.125]) assert.equal(parseNumber(formatNumber(one, 1)), one);
});

test("a range widens to a round end for a value beyond it", () => {
  assert.equal(reachFor(10, 4), 10);
  assert.equal(reachFor(10, -10), 10);
  assert.equal(reachFor(10, -12), 15);
  assert.equal(reachFor(14, 30), 30);
});

/** Return gestures, what they reported, and a clock. */
function recorded() {
  /** @type {import("../../widgets/sega_widgets/static/slider.js").Report[]} */
  const reports = [];
  const clock = { now: 0 };
  const user = gestures(
    (one) => reports.push(one),
    () => clock.now,
  );
  return { user, reports, clock };
}

test("a gesture reports at most one value in an interval, and its end at once", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { user, reports } = recorded();
  user.begin();
  for (const value of [1, 2, 3]) user.move(value);
  assert.deepEqual(reports, [{ value: 1, gesture: 1, end: false }]);
  mock.timers.tick(INTERVAL);
  assert.deepEqual(reports[1], { value: 3, gesture: 1, end: false });
  user.move(4);
  user.move(5);
  user.end();
  assert.deepEqual(reports[2], { value: 5, gesture: 1, end: true });
  // No value comes after the end.
  mock.timers.tick(10 * INTERVAL);
  user.end();
  assert.equal(reports.length, 3);
  mock.timers.reset();
});

test("a gesture that moved nothing reports nothing", () => {
  const { user, reports } = recorded();
  user.begin();
  assert.ok(user.active());
  user.end();
  assert.ok(!user.active());
  assert.deepEqual(reports, []);
});

test("keys in quick succession are one gesture, others are not", () => {
  const { user, reports, clock } = recorded();
  const press = (/** @type {boolean} */ joined) => {
    user.begin(joined);
    user.end(1);
  };
  press(true);
  clock.now += PAUSE;
  press(true);
  assert.deepEqual(
    reports.map((one) => one.gesture),
    [1, 1],
  );
  clock.now += PAUSE + 1;
  press(true);
  press(false);
  assert.deepEqual(
    reports.map((one) => one.gesture),
    [1, 1, 2, 3],
  );
});

test("a gesture that was refused ends without a report, and is not continued", () => {
  const { user, reports } = recorded();
  user.begin();
  user.move(1);
  user.stop();
  user.end(2);
  assert.equal(reports.length, 1);
  user.begin(true);
  user.end(3);
  assert.deepEqual(reports[1], { value: 3, gesture: 2, end: true });
});
