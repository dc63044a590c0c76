import assert from "node:assert/strict";
import { test } from "node:test";

import { meaning, readKeys } from "../../widgets/sega_widgets/static/keys.js";

/** @param {string} text such as "Ctrl+Shift+z" */
function press(text) {
  const keys = text.split("+");
  return meaning({
    key: /** @type {string} */ (keys.at(-1)),
    ctrlKey: keys.includes("Ctrl"),
    metaKey: keys.includes("Meta"),
    shiftKey: keys.includes("Shift"),
    altKey: keys.includes("Alt"),
  });
}

test("keys have a meaning", () => {
  const table = {
    "Ctrl+z": "undo",
    "Meta+z": "undo",
    "Ctrl+Z": "undo",
    "Ctrl+Shift+Z": "redo",
    "Meta+Shift+z": "redo",
    "Ctrl+y": "redo",
    "Ctrl+s": "save",
    "Meta+s": "save",
    "?": "help",
    "Shift+?": "help",
  };
  for (const [text, step] of Object.entries(table)) assert.equal(press(text), step, text);
});

test("other keys have none", () => {
  for (const text of [
    "z",
    "Shift+Z",
    "Ctrl+Alt+z",
    "Meta+y",
    "Ctrl+Shift+y",
    "Ctrl+Shift+s",
    "Ctrl+?",
    "Alt+?",
    "s",
  ]) {
    assert.equal(press(text), null, text);
  }
});

test("the sheet names the keys of the system", () => {
  assert.deepEqual(readKeys("Mod+Shift+Z or Ctrl+Y", false), [
    ["Ctrl", "Shift", "Z"],
    ["Ctrl", "Y"],
  ]);
  assert.deepEqual(readKeys("Mod+Shift+Z or Ctrl+Y", true), [
    ["⌘", "⇧", "Z"],
    ["⌃", "Y"],
  ]);
  assert.deepEqual(readKeys("+ or -", false), [["+"], ["-"]]);
  assert.deepEqual(readKeys("Double-click", false), [["Double-click"]]);
});
