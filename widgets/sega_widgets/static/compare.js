// Two images on top of each other with a handle between them.
// The handle is a range input, which has arrow keys, Home, End, focus and screen-reader support.

const HTML = `
  <div class="sega-images">
    <img class="sega-before"><img class="sega-after"><div class="sega-line"></div>
  </div>
  <input type="range" min="0" max="1" step="0.01">
  <div class="sega-labels"><span></span><span></span></div>`;

function render({ model, el }) {
  el.classList.add("sega-compare");
  el.innerHTML = HTML;
  const [before, after] = el.querySelectorAll("img");
  const [left, right] = el.querySelectorAll("span");
  const images = el.querySelector(".sega-images");
  const handle = el.querySelector("input");
  // JupyterLab uses the arrow keys itself unless the focused element asks it not to.
  handle.dataset.lmSuppressShortcuts = "true";

  function load(image, name) {
    const url = URL.createObjectURL(new Blob([model.get(name)], { type: "image/png" }));
    const old = image.src;
    image.src = url;
    if (old) URL.revokeObjectURL(old);
  }
  function setLabels() {
    left.textContent = before.alt = model.get("before_label");
    right.textContent = after.alt = model.get("after_label");
    handle.setAttribute("aria-label", `${left.textContent} or ${right.textContent}`);
    handle.title = "Drag, or use the arrow keys: how much is shown of each image";
  }
  function showPosition() {
    const position = model.get("position");
    handle.value = position;
    handle.setAttribute("aria-valuetext", `${Math.round(position * 100)} % ${left.textContent}`);
    el.style.setProperty("--sega-position", `${position * 100}%`);
  }
  function moveTo(position) {
    model.set("position", Math.min(1, Math.max(0, position)));
    model.save_changes();
  }
  function followPointer(event) {
    if (event.buttons & 1) {
      const box = images.getBoundingClientRect();
      moveTo((event.clientX - box.left) / box.width);
    }
  }
  const loadBefore = () => load(before, "before");
  const loadAfter = () => load(after, "after");
  handle.addEventListener("input", () => moveTo(handle.valueAsNumber));
  images.addEventListener("pointerdown", (event) => {
    images.setPointerCapture(event.pointerId);
    followPointer(event);
  });
  images.addEventListener("pointermove", followPointer);
  model.on("change:before", loadBefore);
  model.on("change:after", loadAfter);
  model.on("change:before_label change:after_label", setLabels);
  model.on("change:position", showPosition);
  loadBefore();
  loadAfter();
  setLabels();
  showPosition();
  return () => {
    model.off("change:before", loadBefore);
    model.off("change:after", loadAfter);
    model.off("change:before_label change:after_label", setLabels);
    model.off("change:position", showPosition);
    for (const image of [before, after]) URL.revokeObjectURL(image.src);
  };
}

export default { render };
