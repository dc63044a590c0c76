// Keys, clicks and accessible names for a panel of ipywidgets controls.
// The CSS classes below are those of access.py.

const PANEL = ".sega-panel";
const FORM = ".sega-form";
const CHOICE = ".sega-choice";
const IMAGE = ".sega-image";
const CAPTION = ".sega-caption";

function render({ model, el }) {
  const panel = () => el.closest(PANEL);

  // Whether the last focus or press was inside the panel. The page itself gets the focus when the
  // focused control is removed, for example when undo removes a slider.
  let inside = false;
  const noteFocus = (event) => { inside = panel()?.contains(event.target) ?? false; };

  // The field with text that the user typed since the last Enter.
  let typed = null;
  const noteInput = (event) => { typed = event.target; };

  function submitForm(event) {
    typed = null;
    const form = event.target.closest?.(FORM);
    if (!form || !panel()?.contains(form) || event.target.tagName !== "INPUT") return;
    // The timeout lets the field send its value first. A key that is held submits once.
    if (!event.repeat && !event.isComposing) setTimeout(() => form.querySelector("button").click());
  }

  function handleKey(event) {
    if (event.key === "Enter") submitForm(event);
    const undo = (event.ctrlKey || event.metaKey) && !event.altKey && /^z$/i.test(event.key);
    const target = event.target;
    if (!undo || !inside || !(target === document.body || panel()?.contains(target))) return;
    // A text field has its own undo.
    const field = target.matches("input, textarea") && !["range", "checkbox"].includes(target.type);
    if (target.isContentEditable || (field && (target.value || target === typed))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    model.send({ step: event.shiftKey ? "redo" : "undo" });
  }

  function handleClick(event) {
    if (event.target.tagName !== "IMG" || !panel()?.contains(event.target)) return;
    event.target.closest(CHOICE)?.querySelector("button")?.click();
  }

  // Set names, values and pressed states for screen readers, which ipywidgets leaves out.
  // JupyterLab uses the arrow keys itself unless a slider asks it not to.
  function setNames() {
    const all = (selector) => panel()?.querySelectorAll(selector) ?? [];
    // Setting an equal value counts as a mutation and would call this function again.
    const set = (part, key, value) => {
      if (part.getAttribute(key) !== `${value}`) part.setAttribute(key, value);
    };
    for (const image of all("img.widget-image")) {
      const source = image.closest(CHOICE)?.querySelector("button")
        ?? image.closest(IMAGE)?.querySelector(CAPTION);
      if (source) set(image, "alt", source.title);
    }
    for (const slider of all(".widget-slider")) {
      const [label, handle, number] = [".widget-label", ".noUi-handle", ".widget-readout"].map(
        (part) => slider.querySelector(part)
      );
      if (!label || !handle || !number) continue;
      set(handle, "aria-label", label.title);
      set(handle, "aria-valuetext", number.textContent);
      set(number, "aria-label", `${label.textContent}, as a number`);
      for (const part of [handle, number]) part.dataset.lmSuppressShortcuts = "true";
    }
    for (const box of all(".widget-checkbox input")) {
      const label = box.closest(".widget-hbox")?.querySelector(".widget-slider .widget-label");
      if (label) set(box, "aria-label", `${label.textContent} on`);
    }
    for (const field of all(".widget-inline-hbox > input, .widget-inline-hbox > select")) {
      const label = field.parentElement.querySelector(".widget-label");
      if (label) set(field, "title", label.title || model.get("tips")[label.textContent] || "");
    }
    for (const button of all(".widget-toggle-button, .widget-toggle-buttons button")) {
      set(button, "aria-pressed", button.classList.contains("mod-active"));
    }
  }

  const observer = new MutationObserver(setNames);
  let removed = false;
  function observePanel() {
    if (removed) return;
    if (!panel()) return void requestAnimationFrame(observePanel);
    panel().tabIndex = -1;  // A click on an image then gives the panel the focus.
    const names = { attributes: true, attributeFilter: ["title", "class"] };
    observer.observe(panel(), { childList: true, subtree: true, ...names });
    setNames();
  }
  requestAnimationFrame(observePanel);
  model.on("change:tips", setNames);
  // The capture phase comes before the page's own shortcuts, which would undo in the notebook.
  const listeners = {
    keydown: handleKey,
    input: noteInput,
    focusin: noteFocus,
    pointerdown: noteFocus,
    click: handleClick,
  };
  for (const kind in listeners) window.addEventListener(kind, listeners[kind], true);
  return () => {
    removed = true;
    observer.disconnect();
    model.off("change:tips", setNames);
    for (const kind in listeners) window.removeEventListener(kind, listeners[kind], true);
  };
}

export default { render };
