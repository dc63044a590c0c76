// A page that shows widgets of a Python process without a server: see stage.py.
// Models hold the traits; boxes become divs with their classes; anywidgets load as in Jupyter.

const models = new Map();

class Model {
  #traits;
  #listeners = new Map();
  #changed = new Set();

  constructor(id, traits) {
    this.id = id;
    this.#traits = traits;
  }
  get(name) {
    return this.#traits[name];
  }
  set(name, value) {
    this.#traits[name] = value;
    this.#changed.add(name);
    this.trigger(`change:${name}`);
  }
  save_changes() {
    const state = Object.fromEntries([...this.#changed].map((one) => [one, this.#traits[one]]));
    this.#changed.clear();
    stageSend(this.id, { method: "update", state, buffer_paths: [] }, []);
  }
  send(content, _, buffers = []) {
    stageSend(this.id, { method: "custom", content }, buffers.map(encode));
  }
  on(names, call) {
    for (const one of names.split(" ")) {
      if (!this.#listeners.has(one)) this.#listeners.set(one, new Set());
      this.#listeners.get(one).add(call);
    }
  }
  off(names, call) {
    for (const one of names.split(" ")) this.#listeners.get(one)?.delete(call);
  }
  trigger(name, ...values) {
    for (const call of [...(this.#listeners.get(name) ?? [])]) call(...values);
  }
  update(state) {
    Object.assign(this.#traits, state);
    for (const one of Object.keys(state)) this.trigger(`change:${one}`);
  }
}

function encode(buffer) {
  const bytes = new Uint8Array(buffer.buffer ?? buffer);
  return btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return new DataView(bytes.buffer);
}

/** Put buffers back into a state; they come as base64 with the paths to them. */
function fill(state, paths, buffers) {
  paths.forEach((path, number) => {
    const last = path.at(-1);
    const place = path.slice(0, -1).reduce((value, key) => value[key], state);
    place[last] = decode(buffers[number]);
  });
  return state;
}

function receive({ id, type, data, buffers }) {
  if (type === "comm_open") {
    models.set(id, new Model(id, fill(data.state, data.buffer_paths, buffers)));
  } else if (type === "comm_close") {
    models.get(id)?.trigger("destroy");
    models.delete(id);
  } else if (data.method === "update") {
    models.get(id)?.update(fill(data.state, data.buffer_paths ?? [], buffers));
  } else if (data.method === "custom") {
    models.get(id)?.trigger("msg:custom", data.content, buffers.map(decode));
  }
}

async function show(id, parent, signal) {
  const model = models.get(id);
  const element = document.createElement("div");
  parent.append(element);
  let names = [];
  const setClasses = () => {
    element.classList.remove(...names);
    names = model.get("_dom_classes");
    element.classList.add(...names);
  };
  setClasses();
  model.on("change:_dom_classes", setClasses);
  if (model.get("_esm") === undefined) return showBox(model, element, signal);
  const key = model.get("_anywidget_id");
  if (!document.getElementById(key)) {
    const style = document.createElement("style");
    style.id = key;
    style.textContent = model.get("_css") ?? "";
    document.head.append(style);
  }
  const url = URL.createObjectURL(new Blob([model.get("_esm")], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const cleanUp = await widget.render({ model, el: element, signal });
  if (cleanUp) signal.addEventListener("abort", cleanUp);
}

function showBox(model, element, signal) {
  element.classList.add("widget-box");
  let controller;
  const showChildren = async () => {
    controller?.abort();
    controller = new AbortController();
    element.replaceChildren();
    const both = AbortSignal.any([signal, controller.signal]);
    for (const one of model.get("children"))
      await show(one.replace("IPY_MODEL_", ""), element, both);
  };
  model.on("change:children", showChildren);
  return showChildren();
}

let view = null;

/** Show a widget alone on the page. */
window.stageShow = async (id) => {
  view?.abort();
  view = new AbortController();
  document.body.replaceChildren();
  await show(id, document.body, view.signal);
};

/** Fetch and apply what the widgets have sent. */
window.stagePoll = async () => {
  for (const one of await stageReceive()) receive(one);
};

(async function poll() {
  await window.stagePoll();
  setTimeout(poll, 15);
})();
