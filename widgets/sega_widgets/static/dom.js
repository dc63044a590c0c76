// Elements, and what views of widgets have in common.

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {Node | string | null | undefined | false} Child
 */

/**
 * Return an element with attributes, properties and children.
 *
 * A key that begins with "on" adds a listener, "class", "style" and names with a hyphen become
 * attributes, all others properties. Values null, undefined and false of attributes leave them out.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class" || key === "style" || key === "role" || key.includes("-")) {
      setAttribute(element, key, value);
    } else /** @type {any} */ (element)[key] = value;
  }
  element.append(
    ...children.filter((one) => one || one === "").map((one) => /** @type {any} */ (one)),
  );
  return element;
}

/**
 * Set an attribute, or remove it if the value is null, undefined or false.
 *
 * @param {Element} element
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value
 */
export function setAttribute(element, name, value) {
  const text = value === true && !name.startsWith("aria-") ? "" : `${value}`;
  const missing =
    value === null || value === undefined || (value === false && !name.startsWith("aria-"));
  if (missing) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * Call a function now, and whenever one of these traits changes, until the view is removed.
 *
 * @param {Model} model
 * @param {string[]} traits
 * @param {AbortSignal} signal
 * @param {() => void} update
 */
export function follow(model, traits, signal, update) {
  for (const one of traits) model.on(`change:${one}`, update);
  signal.addEventListener("abort", () => {
    for (const one of traits) model.off(`change:${one}`, update);
  });
  update();
}

/**
 * Send the widget a message, which calls its method of that name.
 *
 * @param {Model} model
 * @param {string} kind
 * @param {Record<string, unknown>} [values]
 * @param {ArrayBuffer[]} [buffers]
 */
export function send(model, kind, values = {}, buffers = []) {
  model.send({ kind, ...values }, undefined, buffers);
}

/**
 * Show the bytes of an image file in an element; the old address is released.
 *
 * @param {HTMLImageElement} image
 * @param {DataView | null} bytes
 */
export function showImage(image, bytes) {
  const before = image.src;
  if (bytes && bytes.byteLength) {
    image.src = URL.createObjectURL(new Blob([/** @type {any} */ (bytes)]));
  } else image.removeAttribute("src");
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
}

/**
 * Return a function that calls another at most once in a time; the last call is never lost.
 *
 * @template {any[]} A
 * @param {(...values: A) => void} call
 * @param {number} milliseconds
 * @returns {((...values: A) => void) & { flush: () => void, cancel: () => void }}
 */
export function throttle(call, milliseconds) {
  /** @type {A | null} */
  let waiting = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  let timer = null;
  const next = () => {
    timer = null;
    if (waiting) {
      const values = waiting;
      waiting = null;
      timer = setTimeout(next, milliseconds);
      call(...values);
    }
  };
  /** @param {A} values */
  const throttled = (...values) => {
    waiting = values;
    if (timer === null) next();
  };
  throttled.cancel = () => {
    if (timer !== null) clearTimeout(timer);
    timer = waiting = null;
  };
  throttled.flush = () => {
    const values = waiting;
    throttled.cancel();
    if (values) call(...values);
  };
  return throttled;
}

/**
 * Update the children of an element to one per item, and reuse those with the same key.
 *
 * Children keep focus and state, since they are moved only if their order has changed.
 *
 * @template T
 * @template {HTMLElement} E
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => E} create
 * @param {(element: E, item: T) => void} update
 */
export function reconcile(parent, items, key, create, update) {
  const before = new Map(
    [...parent.children].map((one) => [/** @type {any} */ (one).dataset.key, one]),
  );
  /** @type {Element | null} */
  let previous = null;
  for (const item of items) {
    const name = key(item);
    let element = /** @type {E | undefined} */ (before.get(name));
    if (element) before.delete(name);
    else {
      element = create(item);
      element.dataset.key = name;
    }
    /** @type {Element | null} */
    const place = previous ? previous.nextElementSibling : parent.firstElementChild;
    if (element !== place) parent.insertBefore(element, place);
    update(element, item);
    previous = element;
  }
  for (const one of before.values()) one.remove();
}
