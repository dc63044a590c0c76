import assert from "node:assert/strict";
import { test } from "node:test";

import { patience } from "../../widgets/sega_widgets/static/toasts.js";

test("notes leave, errors stay", () => {
  assert.equal(patience("note"), 6000);
  assert.ok(/** @type {number} */ (patience("offer")) > /** @type {number} */ (patience("note")));
  assert.equal(patience("warning"), null);
  assert.equal(patience("error"), null);
});
