// The session's name, how it is kept, and the gallery of the sessions in the folder.

import { button } from "./controls.js";
import { follow, h, reconcile, send, setAttribute, showImage } from "./dom.js";
import { formatAge, formatBytes, statusText } from "./files-text.js";

/**
 * @typedef {import("./dom.js").Model} Model
 * @typedef {{ name: string, prompt: string, changed: number, bytes: number, picture: DataView }} Found
 */

const REFRESH = 20_000;

/** @param {{ model: Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-files");
  const gallery = createGallery(model);
  const name = createName(model);
  const status = h("span", { class: "sega-files-status sega-muted", role: "status" });
  const save = button({
    label: "Save",
    icon: "save",
    title: SAVE,
    click: () => send(model, "save"),
  });
  const script = button({
    label: "Export script",
    icon: "download",
    title: SCRIPT,
    click: () => send(model, "script"),
  });
  const open = button({
    label: "Open",
    icon: "folder",
    title: "Open a session of this folder",
    click: gallery.open,
  });
  const recent = h("button", { type: "button", class: "sega-button sega-files-recent" });
  recent.addEventListener("click", () => send(model, "open", { name: model.get("recent").name }));
  el.append(
    h(
      "section",
      { class: "sega-files-head", "aria-label": "Session" },
      name,
      status,
      h("div", { class: "sega-row sega-files-buttons" }, open, save, script),
      recent,
    ),
    gallery.element,
  );
  const showStatus = () => {
    const kept = model.get("kept");
    const text = statusText(kept, Date.now() / 1000);
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("sega-files-failed", kept.status === "failed");
    status.title = kept.why ?? "";
    showRecent(recent, model.get("recent"), kept.status);
  };
  follow(model, ["kept", "recent"], signal, showStatus);
  follow(model, ["kept"], signal, () => setAddress(el, model.get("kept")));
  follow(model, ["kept"], signal, () => {
    if (document.activeElement !== name) name.value = model.get("kept").name;
  });
  follow(model, ["ask"], signal, () => {
    const ask = model.get("ask");
    setLabel(save, ask === "save" ? "Replace the file" : "Save");
    setLabel(script, ask === "script" ? "Replace the script" : "Export script");
  });
  const timer = setInterval(showStatus, REFRESH);
  signal.addEventListener("abort", () => clearInterval(timer));
  follow(model, ["sessions", "kept"], signal, gallery.show);
  listen(model, el, signal);
}

const SAVE =
  "Save the session with everything computed, so that nothing is computed again (Ctrl+S)";
const SCRIPT = "Write the edits as a script beside the session";

/**
 * Listen to Ctrl+S, and to the page being left while something is not kept.
 *
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {AbortSignal} signal
 */
function listen(model, el, signal) {
  document.addEventListener(
    "keydown",
    (event) => {
      if (
        !(event.ctrlKey || event.metaKey) ||
        event.shiftKey ||
        event.altKey ||
        event.key.toLowerCase() !== "s"
      )
        return;
      // A notebook saves itself with the same keys, unless the focus is in the panel.
      const inside = el.closest(".sega-panel")?.contains(document.activeElement) ?? true;
      if (!el.checkVisibility() || !(isPage() || inside)) return;
      event.preventDefault();
      event.stopPropagation();
      const active = /** @type {HTMLElement | null} */ (document.activeElement);
      if (active && el.contains(active)) active.blur(); // the name that is being typed counts
      send(model, "save");
    },
    { capture: true, signal },
  );
  /** @param {Event} event */
  const ask = (event) => {
    if (["saving", "failed"].includes(model.get("kept").status)) event.preventDefault();
  };
  window.addEventListener("beforeunload", ask, { signal });
  // The page of `sega-session app` sends this one, and stops the other for all but itself.
  window.addEventListener("page-leave", ask, { signal });
}

/** @returns {boolean} whether this is the page of `sega-session app` */
function isPage() {
  return document.body.dataset.page === "sega-session";
}

/**
 * Put the session's name into the page's address, so that loading it again goes on with it.
 *
 * @param {HTMLElement} el
 * @param {{ name: string, status?: string }} kept
 */
function setAddress(el, { name, status }) {
  if (!isPage() || status !== "saved" || !el.isConnected) return;
  const address = new URL(location.href);
  if (address.searchParams.get("session") === name) return;
  address.searchParams.set("session", name);
  history.replaceState(history.state, "", address);
}

/**
 * @param {HTMLButtonElement} recent
 * @param {{ name?: string, changed?: number }} found
 * @param {string} status
 */
function showRecent(recent, found, status) {
  recent.hidden = !found.name || (status !== "new" && status !== undefined);
  if (!found.name) return;
  recent.replaceChildren(
    "Go on with ",
    h("b", {}, found.name),
    ` · ${formatAge(found.changed ?? 0, Date.now() / 1000)}`,
  );
}

/**
 * @param {HTMLButtonElement} element
 * @param {string} text
 */
function setLabel(element, text) {
  const label = /** @type {HTMLElement} */ (element.querySelector("span"));
  label.textContent = text;
}

/**
 * Return the field of the session's name.
 *
 * @param {Model} model
 * @returns {HTMLInputElement}
 */
function createName(model) {
  const name = h("input", {
    type: "text",
    "aria-label": "Name of the session",
    title: "Rename the session",
    spellcheck: false,
  });
  const commit = () => {
    const to = name.value.trim();
    if (to && to !== model.get("kept").name)
      send(model, "rename", { name: model.get("kept").name, to });
    else name.value = model.get("kept").name;
  };
  name.addEventListener("change", commit);
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") name.blur();
    if (event.key !== "Escape") return;
    event.stopPropagation();
    name.value = model.get("kept").name;
    name.blur();
  });
  return name;
}

/**
 * Return the dialog of the sessions in the folder.
 *
 * @param {Model} model
 */
function createGallery(model) {
  const list = h("ul", { class: "sega-files-list" });
  const none = h(
    "p",
    { class: "sega-muted" },
    "There are no sessions in this folder yet. What you edit is kept here.",
  );
  const search = h("input", {
    type: "search",
    placeholder: "Search names and prompts",
    "aria-label": "Search sessions",
  });
  const heading = h("h2", {}, "Sessions");
  const close = button({ label: "Close", icon: "close", bare: true, click: () => element.close() });
  const element = h(
    "dialog",
    { class: "sega-files-gallery", "aria-label": "Sessions" },
    h("div", { class: "sega-row" }, h("div", { class: "sega-grow" }, heading), search, close),
    none,
    list,
  );
  element.addEventListener("click", (event) => {
    if (event.target === element) element.close(); // the backdrop
  });
  element.addEventListener("close", () => {
    search.value = "";
  });
  const show = () => {
    const words = search.value.toLowerCase();
    /** @type {Found[]} */
    const all = model.get("sessions");
    const found = all.filter((one) => `${one.name}\n${one.prompt}`.toLowerCase().includes(words));
    search.hidden = all.length < 9;
    none.hidden = all.length > 0;
    const current = model.get("kept").name;
    reconcile(
      list,
      found,
      (one) => one.name,
      (one) => createCard(model, element, one.name),
      (card, one) => updateCard(card, one, current),
    );
  };
  search.addEventListener("input", show);
  return {
    element,
    show,
    open() {
      send(model, "list");
      element.showModal();
    },
  };
}

/**
 * Return the card of a session: a picture that opens it, its name, and buttons.
 *
 * @param {Model} model
 * @param {HTMLDialogElement} gallery
 * @param {string} name
 */
function createCard(model, gallery, name) {
  const open = h(
    "button",
    { type: "button", class: "sega-files-open" },
    h("span", { class: "sega-files-picture" }, h("img", { alt: "" })),
    h("span", { class: "sega-files-title" }, name),
    h("span", { class: "sega-files-prompt sega-muted" }),
    h("span", { class: "sega-files-facts sega-muted sega-number" }),
  );
  open.addEventListener("click", () => {
    send(model, "open", { name });
    gallery.close();
  });
  const field = h("input", {
    type: "text",
    value: name,
    "aria-label": `New name of ${name}`,
    hidden: true,
  });
  const edit = button({
    label: `Rename ${name}`,
    icon: "rename",
    bare: true,
    click: () => toggle(field.hidden === true),
  });
  const toggle = (/** @type {boolean} */ shown) => {
    field.hidden = !shown;
    field.value = name;
    if (shown) field.select();
    else edit.focus();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && field.value.trim() && field.value.trim() !== name)
      send(model, "rename", { name, to: field.value });
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // Escape would close the dialog
    event.stopPropagation();
    toggle(false);
  });
  const remove = button({
    label: `Delete ${name}`,
    icon: "trash",
    bare: true,
    click: () => confirm(),
  });
  const sure = button({
    label: "Delete?",
    kind: "danger",
    title: `Delete ${name} for good`,
    click: () => send(model, "delete", { name }),
  });
  sure.hidden = true;
  const confirm = () => {
    sure.hidden = false;
    remove.hidden = true;
    sure.focus();
  };
  sure.addEventListener("blur", () => {
    sure.hidden = true;
    remove.hidden = false;
  });
  return h("li", {}, open, h("div", { class: "sega-files-acts" }, field, edit, remove, sure));
}

/**
 * @param {HTMLElement} card
 * @param {Found} found
 * @param {string} current the name of the open session
 */
function updateCard(card, found, current) {
  const find = (/** @type {string} */ selector) =>
    /** @type {HTMLElement} */ (card.querySelector(selector));
  const image = /** @type {HTMLImageElement} */ (find("img"));
  image.hidden = !found.picture.byteLength;
  if (found.picture.byteLength && image.dataset.changed !== `${found.changed}`) {
    image.dataset.changed = `${found.changed}`;
    showImage(image, found.picture);
  }
  find(".sega-files-prompt").textContent = found.prompt;
  find(".sega-files-prompt").title = found.prompt;
  const here = found.name === current;
  const facts = [
    here ? "open now" : formatAge(found.changed, Date.now() / 1000),
    formatBytes(found.bytes),
  ];
  find(".sega-files-facts").textContent = facts.join(" · ");
  setAttribute(card, "aria-current", here ? "true" : null);
  /** @type {HTMLButtonElement} */ (find(".sega-files-open")).disabled = here;
  find(".sega-files-acts").hidden = here;
}

export default { render };
