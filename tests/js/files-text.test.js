import assert from "node:assert/strict";
import { test } from "node:test";

import {
  formatAge,
  formatBytes,
  statusText,
} from "../../widgets/sega_widgets/static/files-text.js";

test("ages in words", () => {
  const now = Date.UTC(2026, 10, 30, 12) / 1000;
  const cases = /** @type {[number, string][]} */ ([
    [0, "just now"],
    [-5, "just now"],
    [29, "just now"],
    [120, "2 min ago"],
    [59 * 60, "59 min ago"],
    [3600, "1 h ago"],
    [23 * 3600, "23 h ago"],
    [24 * 3600, "yesterday"],
    [3 * 86400, "3 days ago"],
    [40 * 86400, "2026-10-21"],
  ]);
  for (const [seconds, words] of cases) assert.equal(formatAge(now - seconds, now), words);
});

test("sizes in words", () => {
  const cases = /** @type {[number, string][]} */ ([
    [12, "1 kB"],
    [45_600, "46 kB"],
    [1_250_000, "1.3 MB"],
    [45_000_000, "45 MB"],
    [1_500_000_000, "1.5 GB"],
  ]);
  for (const [bytes, words] of cases) assert.equal(formatBytes(bytes), words);
});

test("how a session is kept, in words", () => {
  assert.equal(statusText({}, 0), "");
  assert.equal(statusText({ status: "new" }, 0), "Kept from the next edit on");
  assert.equal(
    statusText({ status: "new", copy_of: "a cat" }, 0),
    "A copy: a cat is open elsewhere",
  );
  assert.equal(statusText({ status: "saving" }, 0), "Saving…");
  assert.equal(statusText({ status: "saved", when: 0 }, 300), "Saved 5 min ago");
  assert.equal(
    statusText({ status: "failed", why: "the disk is full" }, 0),
    "Not saved: the disk is full",
  );
});
