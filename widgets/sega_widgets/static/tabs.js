// Tabs for the sessions of a panel.

import { follow, h, reconcile, send, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** @typedef {{ number: number, title: string }} Tab */

/** @param {import("@anywidget/types").RenderProps} props */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-tabs");
  const list = h("div", { class: "sega-tab-list", role: "group", "aria-label": "Sessions" });
  el.append(list);

  /** @param {Tab} tab */
  const create = ({ number }) =>
    h(
      "div",
      { class: "sega-tab" },
      h("button", { type: "button", onclick: () => send(model, "select", { number }) }),
      h(
        "button",
        {
          type: "button",
          class: "sega-tab-close",
          onclick: () => send(model, "close", { number }),
        },
        icon("close"),
      ),
    );
  /** @param {HTMLElement} element @param {Tab} tab */
  const update = (element, { number, title }) => {
    const [select, close] = element.querySelectorAll("button");
    select.textContent = select.title = title;
    setAttribute(select, "aria-current", number === model.get("current") ? "true" : null);
    close.title = `Close “${title}”; what was not saved of it is lost`;
    setAttribute(close, "aria-label", close.title);
  };
  follow(model, ["titles", "current"], signal, () => {
    const titles = /** @type {string[]} */ (model.get("titles"));
    el.hidden = titles.length < 2;
    const tabs = titles.map((title, number) => ({ number, title }));
    reconcile(list, tabs, (one) => `${one.number}`, create, update);
  });
}

export default { render };
