// Two images on top of each other with a handle between them.

import { createDivider } from "./comparison.js";
import { follow, h, setAttribute, showImage, throttle } from "./dom.js";

/** @type {import("@anywidget/types").Render} */
function render({ model, el, signal }) {
  el.classList.add("sega", "sega-compare");
  const before = h("img", { decoding: "sync", draggable: false });
  const after = h("img", { class: "sega-compare-after", decoding: "sync", draggable: false });
  const save = throttle(() => model.save_changes(), 100);
  const divider = createDivider((position) => {
    model.set("position", position);
    save();
  }, signal);
  const images = h("div", { class: "sega-compare-images" }, before, after, divider.element);
  divider.drag(images);
  el.append(images);

  follow(model, ["before"], signal, () => showImage(before, model.get("before")));
  follow(model, ["after"], signal, () => showImage(after, model.get("after")));
  follow(model, ["position", "before_label", "after_label"], signal, () => {
    const position = model.get("position");
    const labels = [model.get("before_label"), model.get("after_label")];
    divider.show(position, labels[0], labels[1]);
    setAttribute(before, "alt", labels[0]);
    setAttribute(after, "alt", labels[1]);
    images.style.setProperty("--sega-clip", `${position * 100}%`);
  });
  signal.addEventListener("abort", () => {
    save.flush();
    for (const one of [before, after]) showImage(one, null);
  });
}

export default { render };
