// The steps until the panel is there.

import { button } from "./controls.js";
import { follow, h, send, setAttribute } from "./dom.js";
import { icon } from "./icons.js";

/** @param {{ model: import("./dom.js").Model, el: HTMLElement, signal: AbortSignal }} view */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-loading");
  /** @type {string[]} */
  const steps = model.get("steps");
  const list = h("ol", {}, ...steps.map((one) => h("li", {}, one)));
  const text = h("p");
  const again = button({ label: "Try again", icon: "reset", click: () => location.reload() });
  again.hidden = document.body.dataset.page !== "sega-session";
  const error = h(
    "div",
    { class: "sega-loading-error", role: "alert", hidden: true },
    icon("warning"),
    text,
    again,
  );
  const side = h("div", { class: "sega-loading-side" }, h("div"), h("div"), h("div"));
  el.append(h("div", { class: "sega-loading-picture", role: "status" }, list, error), side);
  follow(model, ["step", "error"], signal, () => {
    const now = model.get("step");
    [...list.children].forEach((one, number) => {
      one.classList.toggle("sega-done", number < now);
      setAttribute(one, "aria-current", number === now ? "step" : null);
    });
    const problem = model.get("error");
    list.hidden = Boolean(problem);
    error.hidden = !problem;
    text.textContent = problem;
  });
  send(model, "shown");
}

export default { render };
